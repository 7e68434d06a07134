"""Coefficients of aliased monomials, and errors by init exponent: table, figure, kept files."""

import json

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import write_run

from pvr_jax.reporting import read_runs, stored, study_figures, summary_table, write_report
from pvr_jax.reporting.comparison import compare
from pvr_jax.reporting.initialisation import exponents, initialisation_table
from pvr_jax.reporting.statistics import mean_interval
from pvr_jax.reporting.twins import monomial_text, render_twins, twin_table


def runs_of(workdir):
    return read_runs(workdir / "canonical_holdout")[0]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("twins")
    for number, model in enumerate(("mlp", "mixer")):
        write_run(
            workdir,
            f"chain-{model}-0000000{number}",
            influences={7: 0.2},
            seeds=5,
            task_label="chain (n=11)",
            model_label=f"{model} (depth=2)",
            generator_seed=number,
        )
    return workdir


def test_a_row_holds_what_was_learned_and_what_was_predicted(workdir):
    runs = runs_of(workdir)
    table = twin_table(runs)
    assert len(table) == 2 * 6  # the pair whose twin is not in the target is left out
    assert table["arm"].tolist() == ["mixer"] * 6 + ["mlp"] * 6
    [run] = [run for run in runs if run.model == "mlp"]
    for row in table[table["arm"] == "mlp"].itertuples():
        [i] = [i for i, pair in enumerate(run.pairs[7]) if monomial_text(pair.low) == row.low]
        final = run.pair_coefficients[7][-1, :, i]
        assert row.limit == run.pairs[7][i].target_low + run.pairs[7][i].target_high
        assert (row.low_mean, row.high_mean) == pytest.approx(final.mean(axis=0))
        bounds = np.array(mean_interval(final[:, 1]))
        assert (row.high_low, row.high_high) == pytest.approx(bounds)
    sizes = table["target_high"].abs().to_numpy().reshape(2, 6)
    assert (np.diff(sizes, axis=1) <= 0).all()


def test_targets_with_many_pairs_are_left_to_the_leak(workdir, monkeypatch):
    monkeypatch.setattr("pvr_jax.reporting.twins.MOST_PAIRS", 5)
    assert twin_table(runs_of(workdir)).empty


def test_studies_with_many_rows_are_left_to_the_leak(workdir, monkeypatch):
    monkeypatch.setattr("pvr_jax.reporting.twins.MOST_ROWS", 11)
    assert twin_table(runs_of(workdir)).empty


@pytest.mark.slow
def test_report_page_and_kept_results_have_the_twins(workdir, tmp_path):
    written = write_report(workdir, tmp_path / "report")["canonical_holdout"]
    assert {"twins.md", "twins.csv"} <= set(written.tables)
    assert "twins" in written.figures
    assert render_twins(twin_table(runs_of(workdir))) in written.text
    assert '<section id="twins">' in written.page.read_text()
    assert len(pd.read_csv(written.tables["twins.csv"])) == 12
    stored.keep(workdir / "canonical_holdout", tmp_path / "kept")
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {"twins.md", "twins.csv", "twins.png"} <= kept


@pytest.mark.parametrize(
    "coordinates, text",
    [((), "1"), ((7, 6), "x6 x7"), ((0, 1, 2, 3, 9), "x0…x3 x9"), ((0, 1, 2), "x0 x1 x2")],
)
def test_monomials_are_written_as_text(coordinates, text):
    assert monomial_text(coordinates) == text


@pytest.mark.slow
def test_the_init_exponent_has_a_figure_of_its_own(tmp_path):
    for number, (depth, alpha) in enumerate((d, a) for d in (2, 3) for a in (0.5, 1.5, 2.5)):
        write_run(
            tmp_path,
            f"linear-deep_linear-0000000{number}",
            influences={7: 81.0},
            shrink={7: alpha / 2.5},
            scale=100.0,
            model_label=f"deep_linear (depth={depth}, width=64, alpha={alpha})",
            generator_seed=number,
        )
    runs = runs_of(tmp_path)
    cells = compare(runs, summary_table(runs)).cells
    assert {alpha for _, alpha in exponents(cells).values()} == {0.5, 1.5, 2.5}
    [axis] = study_figures.initialisation(cells).axes
    drawn = [line for line in axis.lines if len(line.get_xdata()) == 3]
    assert len(drawn) == 2
    means = cells[cells["model_label"].str.contains("depth=3")].sort_values("model_label")
    np.testing.assert_array_equal(drawn[1].get_xdata(), [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(drawn[1].get_ydata(), means["generalization_error"])
    table = initialisation_table(cells)
    assert table["model"].tolist() == ["deep_linear (depth=2)", "deep_linear (depth=3)"]
    middle = cells[cells["model_label"] == "deep_linear (depth=3, width=64, alpha=1.5)"].iloc[0]
    assert f"{middle['generalization_error']:.2f} [" in table.loc[1, "α = 1.5 [95 %]"]
    paths = write_report(tmp_path)["canonical_holdout"]
    assert "initialisation" in paths.figures
    assert "### From linear regression to the influence" in paths.text
    assert 'id="initialisation"' in paths.page.read_text()
    # A network that did not fit would stretch the axis until nothing else is seen.
    unfitted = cells["model_label"].str.contains("depth=3, width=64, alpha=2.5")
    assert unfitted.sum() == 1
    [axis] = study_figures.initialisation(
        cells.assign(fit=np.where(unfitted, "unfinished", "finished"))
    ).axes
    assert [list(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) == 2] == [
        [0.5, 1.5],
        [0, 1],  # the influence
    ]


def scan(workdir, alphas=(0.5, 1.5, 2.5), first=0, **settings):
    """Write a scan of init exponents, a run each, whose errors no other scan has."""
    for number, alpha in enumerate(alphas, first):
        write_run(
            workdir,
            f"linear-deep_linear-{number:08x}",
            influences={7: 81.0},
            shrink={7: (alpha + first) / 20},
            model_label=f"deep_linear (depth=2, width=64, alpha={alpha})",
            generator_seed=number,
            scale=100.0,
            **settings,
        )


def table_and_lines(workdir):
    """Return the cells, the table by model, and the lines of errors in the figure."""
    runs = runs_of(workdir)
    cells = compare(runs, summary_table(runs)).cells
    [axis] = study_figures.initialisation(cells.assign(fit="finished")).axes
    lines = [(list(x.get_xdata()), list(x.get_ydata())) for x in axis.lines]
    return cells, initialisation_table(cells), [own for own in lines if len(own[0]) == 3]


@pytest.mark.parametrize(
    "settings, words, column",
    [
        ([{"optimizer": "adam"}, {"optimizer": "sgd"}], ["adam", "sgd"], "optimizer"),
        (
            [{"rates": (0.01, 0.0100000001)}],
            ["learning rate 0.01", "learning rate 0.0100000001"],
            "learning_rate",
        ),
    ],
)
def test_a_scan_shows_every_error_under_its_own_setting(tmp_path, settings, words, column):
    for number, own in enumerate(settings):
        scan(tmp_path, first=8 * number, **own)
    cells, table, lines = table_and_lines(tmp_path)
    assert table["model"].tolist() == [f"deep_linear, {word}" for word in words]
    values = sorted(set(cells[column]))
    for place, value in enumerate(values):
        own = cells[cells[column] == value]
        assert len(own) == 3
        for error, label in zip(own["generalization_error"], own["model_label"], strict=True):
            alpha = label.partition("alpha=")[2].rstrip(")")
            assert table.loc[place, f"α = {alpha} [95 %]"].startswith(f"{error:.2f} [")
    # A line each, and none goes back.
    means = [tuple(own["generalization_error"]) for _, own in cells.groupby(column)]
    assert [x for x, _ in lines] == [[0.5, 1.5, 2.5]] * 2
    assert sorted(tuple(sorted(y)) for _, y in lines) == sorted(tuple(sorted(y)) for y in means)


def test_runs_that_differ_in_what_nobody_sees_are_no_scan(tmp_path):
    scan(tmp_path)
    scan(tmp_path, first=8)  # another batch size, say
    runs = runs_of(tmp_path)
    cells = compare(runs, summary_table(runs)).cells
    assert exponents(cells) == {} and initialisation_table(cells).empty
    assert cells["arm"].nunique() == 6  # which tell them by the digits of their configurations


def test_a_model_of_defaults_is_in_the_scan(tmp_path):
    """Its label names no parameter, and so no exponent: the configuration has them."""
    scan(tmp_path)
    directory = tmp_path / "canonical_holdout" / "linear-deep_linear-00000001"
    model = {"name": "deep_linear", "depth": 2, "width": 64, "alpha": 1.5}
    changed = {"measures.json": {"model_label": "deep_linear"}, "config.json": {"model": model}}
    for file, own in changed.items():
        document = json.loads((directory / file).read_text())
        (directory / file).write_text(json.dumps(document | own))
    _, table, [(alphas, _)] = table_and_lines(tmp_path)
    assert alphas == [0.5, 1.5, 2.5]
    assert len(table) == 1 and "–" not in table["α = 1.5 [95 %]"][0]


def test_two_exponents_are_no_scan(workdir):
    runs = runs_of(workdir)
    cells = compare(runs, summary_table(runs)).cells
    assert exponents(cells) == {}
    assert initialisation_table(cells).empty
