"""What theories predict and leave unexplained: columns, tables, sentences, damaged files."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from synthetic_runs import write_run

from pvr_jax.reporting import read_run, read_runs, replica_table, stored, summary_table
from pvr_jax.reporting.comparison import compare, render_comparison
from pvr_jax.reporting.report import write_report
from pvr_jax.reporting.statistics import jackknife_error
from pvr_jax.reporting.tables import display_table
from pvr_jax.reporting.theories import reasons_table, theory_table
from pvr_jax.reporting.theory_findings import place, theory_sentences
from pvr_jax.reporting.verdicts import nearest

THEORIES = {
    "influence": {0: (0.46875, 0.02), 7: (0.1875, 0.03)},
    "wide_ntk": {0: (0.35, 0.05), 7: (0.15, 0.015)},
    "empirical_ntk": {0: (0.34, 0.06), 7: (0.14, 0.04)},
}
PVR = "pvr (pointer_bits=3, window={}, aggregation=parity, boundary=cyclic, tie=0)"


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("single")
    directory = write_run(workdir, theories=THEORIES, diverged={"bit7-seed1": 300}, shrink={0: 0.8})
    return directory, summary_table([read_run(directory)])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two tasks and two models; the transformer has no infinitely wide network."""
    workdir = tmp_path_factory.mktemp("study")
    for number, window in enumerate((2, 3)):
        for model, names in (("mlp", THEORIES), ("transformer", ("influence", "empirical_ntk"))):
            write_run(
                workdir,
                f"pvr-{model}-0000000{number}",
                task_label=PVR.format(window),
                model_label=model,
                theories={name: THEORIES[name] for name in names},
                seeds=4,
                generator_seed=number,
            )
    return workdir


def test_predictions_and_what_they_leave_are_columns_of_the_summary(single):
    directory, table = single
    document = json.loads((directory / "predictions.json").read_text())
    row = table.set_index("frozen_bit").loc[7]
    for name, values in THEORIES.items():
        left = [v for v in document["unexplained"][name][3:] if v is not None]
        assert len(left) == 2
        assert row[f"unexplained_{name}"] == pytest.approx(np.mean(left))
        half = scipy.stats.t.ppf(0.975, 1) * scipy.stats.sem(left)
        bounds = np.mean(left) * np.exp(np.array([-1, 1]) * half / np.mean(left))
        for suffix, bound in zip(("low", "high"), bounds, strict=True):
            assert row[f"unexplained_{name}_{suffix}"] == pytest.approx(bound)
        if name != "influence":
            assert row[f"prediction_{name}"] == values[7][0]
    # Its error is the column "influence"; and a limit has no deviation that is worth naming.
    assert "prediction_influence" not in table
    assert not [column for column in table if column.startswith("deviation_")]


def test_replicas_have_their_own_values(single):
    directory, _ = single
    table = replica_table([read_run(directory)])
    document = json.loads((directory / "predictions.json").read_text())
    expected = np.array(document["unexplained"]["wide_ntk"], float)
    np.testing.assert_array_equal(table["unexplained_wide_ntk"], expected)
    assert np.isnan(expected[4])
    assert table["prediction_wide_ntk"].tolist() == [0.35] * 3 + [0.15] * 3
    assert "prediction_influence" not in table


def test_a_run_split_by_rate_has_each_its_own_replicas(tmp_path):
    directory = write_run(tmp_path, rates=(1e-3, 1e-4), theories=THEORIES)
    document = json.loads((directory / "predictions.json").read_text())
    slow, fast = read_runs(directory.parent)[0]
    left = np.array(document["unexplained"]["wide_ntk"])
    np.testing.assert_array_equal(slow.unexplained["wide_ntk"], left[[3, 4, 5, 9, 10, 11]])
    np.testing.assert_array_equal(fast.unexplained["wide_ntk"], left[[0, 1, 2, 6, 7, 8]])


def test_the_main_table_sets_predictions_beside_the_error(single):
    shown = display_table(single[1])
    assert list(shown) == [
        "frozen bit",
        "replicas",
        "excluded",
        "in-distribution error",
        "generalization error [95 %]",
        "influence",
        "wide NTK",
        "empirical NTK",
        "error − influence [95 %]",
    ]
    assert shown["wide NTK"].tolist() == ["0.3500", "0.1500"]


def test_the_theory_table_names_what_leaves_the_least(single):
    _, table = single
    shown = theory_table(table)
    assert list(shown) == [
        "frozen bit",
        "degree temperature [95 %]",
        "left by influence [95 %]",
        "left by wide NTK [95 %]",
        "left by empirical NTK [95 %]",
        "nearest",
    ]
    assert shown["nearest"].tolist() == ["influence", "wide NTK"]
    assert shown.loc[0, "degree temperature [95 %]"] == "0.1111 [–] (0.111, 0.111, 0.111)"
    left = shown.loc[0, "left by influence [95 %]"]
    assert left.startswith("0.02000 [0.0195") and left.endswith("] (0.0198, 0.0200, 0.0202)")


def test_a_bit_of_which_nothing_is_left_has_a_dash(tmp_path):
    diverged = {f"bit7-seed{seed}": 30 for seed in range(3)}
    run = read_run(write_run(tmp_path, theories=THEORIES, diverged=diverged))
    assert theory_table(summary_table([run])).iloc[1].tolist() == ["7", *["–"] * 5]


def test_a_theory_alone_is_nearest_to_nothing(tmp_path):
    run = read_run(write_run(tmp_path, theories={"influence": THEORIES["influence"]}))
    assert theory_table(summary_table([run]))["nearest"].tolist() == ["–", "–"]


def test_the_reasons_are_all_other_measures(single, tmp_path):
    expected = [
        "frozen bit",
        "leak",
        "projection c",
        "overlap",
        "learned influence",
        "residual variance",
        "not fitted",
    ]
    assert list(reasons_table(single[1])) == expected
    without = summary_table([read_run(write_run(tmp_path))])
    assert list(reasons_table(without)) == [*expected[:3], "degree temperature", *expected[3:]]


@pytest.mark.slow
def test_a_report_of_one_run_has_three_tables_and_the_sentences(single):
    directory, _ = single
    written = write_report(directory.parent)["canonical_holdout"]
    texts = {name: path.read_text() for name, path in written.tables.items()}
    for name in ("table.md", "theory.md", "why.md", "findings.md"):
        assert texts[name] in written.text
    assert "projection c" not in texts["table.md"] and "left by" not in texts["table.md"]
    assert "wide NTK" in texts["table.tex"] and "left by" not in texts["table.tex"]
    page = written.page.read_text()
    for words in (
        "Which theory explains it",
        "left by wide NTK [95&nbsp;%]",
        "Set against two predictions without free parameters",
        "regression with the tangent kernel of the network",
        "two theories may predict one error with different functions".capitalize(),
        'href="theory.md"',
        "predictions.json",
    ):
        assert words in page


@pytest.mark.slow
def test_results_without_predictions_are_still_told(tmp_path):
    written = write_report(write_run(tmp_path).parent)["canonical_holdout"]
    assert "theory.md" not in written.tables and "why.md" in written.tables
    page = written.page.read_text()
    assert "Which theory explains it" not in page and "Set against" not in page
    assert "theory.md" not in page


@pytest.mark.slow
def test_a_theory_that_is_not_defined_says_why(tmp_path):
    some = {name: THEORIES[name] for name in ("influence", "wide_ntk")}
    run = read_run(write_run(tmp_path, theories=some))
    assert run.not_defined == {"empirical_ntk": "n = 14: allowed up to 12"}
    page = write_report(run.directory.parent)["canonical_holdout"].page.read_text()
    assert "<dt>empirical NTK not defined</dt><dd>n = 14: allowed up to 12</dd>" in page


def test_the_tables_of_a_run_are_kept(single, tmp_path):
    directory, table = single
    stored.keep(directory, tmp_path)
    for name, columns in (
        ("theory.md", theory_table(table)),
        ("why.md", reasons_table(table)),
        ("table.md", display_table(table)),
    ):
        lines = (tmp_path / name).read_text().splitlines()
        assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(columns)
        assert len(lines) == 4


@pytest.mark.parametrize(
    ("interval", "influence", "kernel", "expected"),
    [
        ((0.45, 0.48), 0.47, 0.35, "influence"),
        ((0.34, 0.36), 0.47, 0.35, "kernel"),
        ((0.34, 0.48), 0.47, 0.35, "both"),
        ((0.40, 0.42), 0.47, 0.35, "between"),
        ((0.40, 0.42), 0.35, 0.47, "between"),
        ((0.50, 0.52), 0.47, 0.35, "above"),
        ((0.30, 0.32), 0.35, 0.47, "below"),
    ],
)
def test_an_interval_has_one_place_among_the_predictions(interval, influence, kernel, expected):
    assert place(*interval, influence, kernel) == expected


def rows(errors, influences, kernels, name="wide_ntk"):
    """Rows of a summary table, as far as the sentences read it."""
    return pd.DataFrame(
        {
            "frozen_bit": [0, 3, 7, 10][: len(errors)],
            "verdict": "inside",
            "generalization_error": [(low + high) / 2 for low, high in errors],
            "judged_low": [low for low, _ in errors],
            "judged_high": [high for _, high in errors],
            "influence": influences,
            f"prediction_{name}": kernels,
        }
    )


def bits(chosen):
    return f"for bits {', '.join(map(str, chosen['frozen_bit']))}"


def test_the_quickstart_has_one_sentence():
    table = rows(
        [(0.3396, 0.4681), (0.04801, 0.10769), (0.1337, 0.2250), (0.2015, 0.2589)],
        [0.46875, 0.0625, 0.1875, 0.21875],
        [0.348, 0.0885, 0.157, 0.216],
    )
    assert theory_sentences(table, {}, bits) == [
        "Set against two predictions without free parameters, the influence (low-degree bias) and "
        "the wide NTK (lazy training), the mean error lies between the two for bits 0, 3, 7 and "
        "outside both for bits 10; its interval holds the error of the wide NTK alone for bits "
        "0, as lazy training has it; it holds both for bits 3, 7, 10 and does not tell them apart."
    ]


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.45, 0.48), "holds the influence alone for bits 0, as the low-degree bias of the hypo"),
        ((0.34, 0.36), "holds the error of the empirical NTK alone for bits 0, as lazy training"),
        ((0.34, 0.48), "holds both for bits 0 and does not tell them apart"),
        ((0.40, 0.42), "lies between the two for bits 0: feature learning has moved the network"),
        ((0.50, 0.52), "lies above both for bits 0, which neither theory says"),
        ((0.30, 0.32), "lies below both for bits 0, which neither theory says"),
    ],
)
def test_every_place_has_its_meaning(interval, words):
    (text,) = theory_sentences(rows([interval], [0.47], [0.35], "empirical_ntk"), {}, bits)
    assert words in text


def test_nothing_is_said_without_intervals_or_kernels():
    table = rows([(np.nan, np.nan)], [0.47], [0.35]).assign(verdict="")
    assert theory_sentences(table, {}, bits) == []
    assert theory_sentences(rows([(0.4, 0.5)], [0.47], [np.nan]), {}, bits) == []
    # A linear regression's own error is no theory of lazy training.
    assert theory_sentences(rows([(0.4, 0.5)], [0.47], [0.4], "linear_regression"), {}, bits) == []


# Five seeds of two cells; what a theory leaves differs between seeds more than between theories.
SEEDS = np.array([[-0.04, 0.03, 0.0, 0.02, -0.01], [0.02, -0.01, 0.03, 0.0, -0.04]])
WIGGLE = np.array([[1, -1, 1, -1, 0], [0, 1, -1, 1, -1]])


def test_the_theory_that_leaves_the_least_is_named_with_the_others():
    left = {
        "influence": 0.3 + SEEDS + 0.01 * WIGGLE,
        "wide_ntk": 0.25 + SEEDS,
        "empirical_ntk": 0.251 + SEEDS + 0.002 * WIGGLE,
    }
    assert nearest(left) == "wide NTK or empirical NTK"
    assert theory_sentences(rows([], [], []), left, bits) == [
        "Least of what was learned is left unexplained by the wide NTK (25 %) and the empirical "
        "NTK (25.1 %) of the influence on average, which are not told apart, against the "
        "low-degree bias (30 %)."
    ]
    left["empirical_ntk"] = 0.251 + SEEDS + 0.0002 * WIGGLE  # now every seed says the same
    assert nearest(left) == "wide NTK"


def test_theories_that_leave_the_same_are_not_told_apart():
    left = {"influence": 0.2 + SEEDS, "empirical_ntk": 0.2 + SEEDS}
    assert theory_sentences(rows([], [], []), left, bits) == [
        "Which theory leaves the least of what was learned unexplained is not told apart: the "
        "low-degree bias (20 %) and the empirical NTK (20 %) of the influence on average."
    ]


def test_means_that_are_compared_are_of_the_same_bits():
    unknown = np.where([[False], [True]], np.nan, 0.4 + SEEDS + 0.01 * WIGGLE)
    left = {"influence": 0.2 + SEEDS + [[0.0], [0.5]], "wide_ntk": unknown}
    (text,) = theory_sentences(rows([], [], []), left, bits)
    assert "by the low-degree bias (20 %) of the influence" in text
    assert "against the wide NTK (40 %)" in text
    nothing = {"influence": 0.2 + SEEDS, "wide_ntk": np.full((2, 5), np.nan)}
    assert theory_sentences(rows([], [], []), nothing, bits) == []


def test_one_seed_tells_no_theories_apart():
    left = {"influence": np.array([[0.3]]), "wide_ntk": np.array([[0.2]])}
    assert nearest(left) == "not told apart"


def test_a_study_has_a_row_per_model_and_kind_of_bit(study):
    runs = read_runs(study / "canonical_holdout")[0]
    found = compare(runs, summary_table(runs))
    table = found.theories
    assert list(table) == [
        "model",
        "frozen",
        "cells",
        "error / influence [95 %]",
        "wide NTK / influence",
        "empirical NTK / influence",
        "left by influence [95 %]",
        "left by wide NTK [95 %]",
        "left by empirical NTK [95 %]",
        "nearest",
    ]
    assert table["model"].tolist() == ["mlp", "", "transformer", ""]
    assert table["frozen"].tolist() == ["pointer bits", "value bits"] * 2
    assert table["cells"].tolist() == ["2"] * 4
    assert table["nearest"].tolist() == ["influence", "wide NTK", "influence", "influence"]
    assert table["wide NTK / influence"].tolist() == ["0.747", "0.800", "–", "–"]
    assert table.loc[3, "left by wide NTK [95 %]"] == "–"
    assert table.loc[1, "left by wide NTK [95 %]"].startswith("0.08000 [0.07")
    assert table["error / influence [95 %]"].tolist() == (
        found.kinds["error / influence [95 %]"].tolist()
    )


@pytest.mark.slow
def test_predictions_of_limits_leave_the_errors_of_a_study_side_by_side(study, tmp_path):
    runs = read_runs(study / "canonical_holdout")[0]
    found = compare(runs, summary_table(runs))
    assert list(found.errors) == [
        "task",
        "frozen bit",
        "influence",
        "mlp [95 %]",
        "transformer [95 %]",
    ]
    assert "### Which theory explains it" in render_comparison(found)
    stored.keep(study / "canonical_holdout", tmp_path)
    assert (tmp_path / "theory.md").read_text() in render_comparison(found)
    page = write_report(study)["canonical_holdout"].page.read_text()
    assert page.count("Which theory explains it") == 2


def test_a_study_shows_every_cell_beside_its_predictions(study):
    runs = read_runs(study / "canonical_holdout")[0]
    found = compare(runs, summary_table(runs))
    table, cells = found.predictions, found.cells
    assert len(table) == len(cells)
    assert table["influence"].tolist() == [f"{value:.6g}" for value in cells["influence"]]
    for name in ("wide NTK", "empirical NTK", "left by influence [95 %]", "nearest"):
        assert name in table
    assert table["model"].tolist() == cells["arm"].tolist()
    row = int(cells.index[cells["arm"] == "mlp"][0])
    low = cells.loc[row, "unexplained_wide_ntk_low"]
    assert f"{low:.2g}"[:3] in table.loc[row, "left by wide NTK [95 %]"]
    text = render_comparison(found)
    assert "Errors and predictions, cell by cell" in text


def test_the_findings_of_a_study_count_cells(study):
    runs = read_runs(study / "canonical_holdout")[0]
    findings = dict(compare(runs, summary_table(runs)).findings)
    assert "the wide NTK (lazy training), the mean error lies " in findings["mlp"]
    assert "the empirical NTK (lazy training)" in findings["transformer"]
    assert "in 2 cells" in findings["mlp"] or "in 4 cells" in findings["mlp"]
    assert "left unexplained by the low-degree bias" in findings["transformer"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda d: d["theories"]["wide_ntk"]["error"].pop("7"), "no entry '7'"),
        (lambda d: d["theories"].update(wide_ntk=3), "."),
        (lambda d: d["unexplained"]["wide_ntk"].pop(), r"what wide_ntk leaves has shape \[5\]"),
        (lambda d: d.update(unexplained=[1]), "."),
        (lambda d: d.clear(), "no entry 'theories'"),
        (lambda d: d.pop("unexplained"), "no entry 'unexplained'"),
    ],
)
def test_damaged_predictions_are_named_with_their_stage(tmp_path, damage, reason):
    path = write_run(tmp_path, theories=THEORIES) / "predictions.json"
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=reason) as error:
        read_run(path.parent)
    assert str(error.value).startswith(f"damaged file {path}: ")
    assert "./launch.sh run CONFIG --stage=predict" in str(error.value)
    assert "\n" not in str(error.value)


def test_cut_off_predictions_are_named(tmp_path):
    path = write_run(tmp_path, theories=THEORIES) / "predictions.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match=r"damaged file .*predictions\.json: .*--stage=predict"):
        read_run(path.parent)


def test_bits_of_which_the_starts_leave_the_kernel_open_are_left_out():
    table = rows([(0.45, 0.48)] * 2, [0.47, 0.46], [0.35, 0.9], "empirical_ntk").assign(
        standard_error_empirical_ntk=[0.01, 0.3]
    )
    first, second = theory_sentences(table, {}, bits)
    assert "between the two for bits 0; its interval holds the influence alone for bits 0" in first
    assert second == (
        "Left out of this for bits 3: there two standard errors of the empirical NTK over its "
        "starts reach the influence."
    )
    assert theory_sentences(table[1:], {}, bits) == [second]
    table["standard_error_empirical_ntk"] = np.nan
    assert len(theory_sentences(table, {}, bits)) == 1


def test_a_prediction_of_few_starts_has_its_standard_error(tmp_path):
    directory = write_run(tmp_path, theories=THEORIES)
    path = directory / "predictions.json"
    document = json.loads(path.read_text())
    document["theories"]["empirical_ntk"]["standard_error"] = {"0": 0.0123, "7": 0.5}
    path.write_text(json.dumps(document))
    table = summary_table([read_run(directory)])
    assert table["standard_error_empirical_ntk"].tolist() == [0.0123, 0.5]
    shown = display_table(table)
    assert shown["empirical NTK"].tolist() == ["0.340 ± 0.012", "0.14 ± 0.50"]
    assert shown["wide NTK"].tolist() == ["0.3500", "0.1500"]


def test_jackknife_of_means_is_the_standard_error_of_the_mean():
    values = np.array([1.0, 4.0, 2.0, 7.0])
    others = [np.delete(values, i).mean() for i in range(4)]
    assert jackknife_error(others) == pytest.approx(values.std(ddof=1) / 2)
