"""A study of many runs: its tables and findings against numbers that are known beforehand."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from synthetic_runs import write_run

from pvr_jax.reporting import read_runs, stored, summary_table, write_report
from pvr_jax.reporting.comparison import arms_of, compare, render_comparison
from pvr_jax.reporting.kinds import kinds_by_arm
from pvr_jax.reporting.labels import arm_labels, natural, short_labels
from pvr_jax.reporting.matched import match, render_matched
from pvr_jax.reporting.reading import read_run, read_runs_of
from pvr_jax.reporting.study import study_of
from pvr_jax.reporting.verdicts import not_fitted

PVR = "pvr (pointer_bits=3, window={}, aggregation=parity, boundary=cyclic, tie=0)"
INFLUENCES = {0: 0.5, 1: 0.375, 7: 0.25}
TARGETS = {2: (0.2, 1.0), 3: (0.1, 1.0), 4: (0.05, 1.0), 5: (0.4, 0.75)}


def runs_of(workdir):
    return read_runs(workdir / "canonical_holdout")[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two tasks x two models; the MLP shrinks off the support where a pointer bit is frozen."""
    workdir = tmp_path_factory.mktemp("study")
    for number, window in enumerate((2, 3)):
        for model, shrink in (("mlp", {0: 0.6, 1: 0.6}), ("transformer", {})):
            write_run(
                workdir,
                f"pvr-{model}-0000000{number}",
                task_label=PVR.format(window),
                model_label=f"{model} (depth=2)",
                influences=INFLUENCES,
                shrink=shrink,
                seeds=6,
                generator_seed=number,
                diverged={"bit7-seed3": 300} if (model, window) == ("mlp", 3) else {},
            )
    return workdir


@pytest.fixture(scope="module")
def comparison(study):
    runs = runs_of(study)
    return compare(runs, summary_table(runs))


def test_cells_are_sorted_and_named_by_what_differs(comparison):
    cells = comparison.cells
    assert len(cells) == 2 * 3 * 2
    assert cells["task_short"].tolist() == ["pvr (window=2)"] * 6 + ["pvr (window=3)"] * 6
    assert cells["arm"].tolist() == ["mlp", "transformer"] * 6
    assert cells["frozen_bit"].tolist() == [0, 0, 1, 1, 7, 7] * 2
    assert cells["pointer_bit"].tolist() == [True] * 4 + [False] * 2 + [True] * 4 + [False] * 2


def test_arrows_follow_the_intervals(comparison):
    for arm in ("mlp", "transformer"):
        own = comparison.cells[comparison.cells["arm"] == arm]
        for text, row in zip(comparison.errors[f"{arm} [95 %]"], own.itertuples(), strict=True):
            low, high = row.judged_low, row.judged_high
            assert ("↓" in text) == (high < row.influence)
            assert ("↑" in text) == (low > row.influence)
    shrunk = comparison.errors.loc[[0, 1, 3, 4], "mlp [95 %]"]
    assert all("↓" in text for text in shrunk)


def test_why_table_holds_ratio_projection_and_leak(study, comparison):
    table = comparison.why.set_index("model")
    assert len(table) == 12
    ratios = table.loc["mlp", "error / influence"].astype(float).to_numpy()
    assert ratios[[0, 1, 3, 4]] == pytest.approx((1 + 0.6**2) / 2, rel=0.02)
    assert ratios[[2, 5]] == pytest.approx(1, rel=0.02)
    assert table.loc["mlp", "projection c"].astype(float).iloc[0] == pytest.approx(0.6, abs=0.03)
    assert table.loc["mlp", "excluded"].tolist() == ["0"] * 5 + ["1"]


def test_findings_keep_models_and_kinds_of_bits_apart(comparison):
    findings = dict(comparison.findings)
    assert set(findings) == {"mlp", "transformer"}
    assert "With a pointer bit of PVR frozen (4 cells) the error is 0.6" in findings["mlp"]
    assert "Off the support it shrinks towards zero (c < 1)" in findings["mlp"]
    assert "1 replica diverged and is left out of all means." in findings["mlp"]
    assert "shrinks" not in findings["transformer"]
    cells = comparison.cells[comparison.cells["arm"] == "mlp"]
    counts = [(cells["verdict"] == side).sum() for side in ("inside", "below", "above")]
    assert (
        f"inside the interval of the error in {counts[0]}; the error lies below it in {counts[1]} "
        f"and above it in {counts[2]} (95 % for all cells at once)"
    ) in findings["mlp"]
    expected = scipy.stats.spearmanr(cells["influence"], cells["generalization_error"])[0]
    assert f"rank correlation of error with influence is {expected:.2f}" in findings["mlp"]


@pytest.mark.parametrize(
    ("shrink", "leak", "words"),
    [
        (0.99, 0.01, "below it, significantly but by less than"),
        (0.5, 0.01, "below it: error = influence does not hold on average. Why"),
        (0.5, 0.01, "1 − 0.500 (twice the overlap: its dependence on the frozen bit agrees"),
        (0.5, 0.01, "+ 0.125 (the learned influence"),
        (0.5, 0.01, "Off the support it shrinks towards zero (c < 1)"),
        (1.5, 0.01, "above it: error = influence does not hold on average. Why"),
        (1.5, 0.01, "1 + 0.500 (twice the overlap: its dependence on the frozen bit disagrees"),
        (1.5, 0.2, "Part of what it learned sits on the high-degree twins"),
    ],
)
def test_a_difference_is_explained_by_what_was_measured(tmp_path, shrink, leak, words):
    # At projection c, without a residual, the error is (1 + c^2) / 2 of a pointer bit's influence.
    for number in range(2):
        directory = write_run(
            tmp_path,
            f"pvr-mlp-0000000{number}",
            task_label=PVR.format(number + 2),
            influences={0: 0.5, 1: 0.375},
            shrink={0: shrink, 1: shrink},
            seeds=12,
            generator_seed=number,
        )
        path = directory / "measures.json"
        document = json.loads(path.read_text())
        measured = document["measures"]
        for name, center in (("generalization_error", None), ("leak", leak)):
            for index, replica in enumerate(document["replicas"]):
                wiggle = 1 + 1e-3 * (replica["seed"] % 5 - 2)
                exact = (1 + shrink**2) / 2 * {0: 0.5, 1: 0.375}[replica["bit"]]
                measured[name][-1][index] = wiggle * (exact if center is None else center)
        path.write_text(json.dumps(document))
    runs = runs_of(tmp_path)
    assert words in dict(compare(runs, summary_table(runs)).findings)["mlp"]


def test_a_text_says_what_was_excluded_and_what_is_short_for_what(comparison):
    text = render_comparison(comparison)
    assert "bit7-seed3 diverged at step 300" in text
    assert f"pvr (window=2): {PVR.format(2)}." in text
    assert "Student's t interval of the mean, on the log scale" in text
    assert "holds for all 12 cells at once with 95 %" in text


def test_kinds_of_bits_are_summed_up_by_model(study, comparison):
    table = comparison.kinds
    assert table["model"].tolist() == ["mlp", "", "transformer", ""]
    assert table["frozen"].tolist() == ["pointer bits", "value bits"] * 2
    assert table["cells"].tolist() == ["4", "2"] * 2
    # c = 0.6: 1 - (1 - c) + (1 - c)^2 / 2 of the influence.
    assert table.loc[0, "2·overlap"] == "0.400"
    assert table.loc[0, "learned influence"] == "0.0800"
    assert table.loc[0, "error / influence [95 %]"].endswith("↓")
    assert table.loc[0, "degree temperature [95 %]"] == "0.2500 [–]"  # all seeds are equal
    rows = comparison.cells[comparison.cells["arm"] == "mlp"]
    ratios = rows["generalization_error"] / rows["influence"]
    expected = ratios[rows["pointer_bit"]].mean()
    assert table.loc[0, "error / influence [95 %]"].startswith(f"{expected:.4f} [")
    assert "### By model" in render_comparison(comparison)


def test_what_is_not_fitted_closes_the_sum(study, comparison):
    # Any f and g: [pair of points that differ in the frozen bit, seen or unseen].
    f, g = np.random.default_rng(0).normal(size=(2, 16, 2))
    odd = [(h[:, 0] - h[:, 1]) / 2 for h in (f, g)]  # the part that depends on the bit
    table = pd.DataFrame(
        {
            "generalization_error": [np.square(g - f).mean() / 2],
            "influence": [np.square(odd[0]).mean()],
            "influence_overlap": [(odd[0] * odd[1]).mean()],
            "learned_influence": [np.square(odd[1]).mean()],
        }
    )
    missed = g[:, 0] - f[:, 0]
    expected = (missed * (missed - 2 * (odd[1] - odd[0]))).mean() / 2
    assert not_fitted(table)[0] == pytest.approx(expected, rel=1e-12)
    runs = runs_of(study)
    for run in runs:
        run.measures["generalization_error"][-1] *= 1.01
    found = compare(runs, summary_table(runs))
    for _, kind in kinds_by_arm(runs, found.cells):
        rest = kind.ratio.mean - (1 - kind.overlap + kind.learned)
        assert kind.not_fitted == pytest.approx(rest, rel=1e-12) != 0
    assert "(not fitted on the seen inputs)" in dict(found.findings)["mlp"]
    for run in runs:
        dependence = run.measures["learned_influence"] - 2 * run.measures["influence_overlap"]
        influences = [run.influences[replica.bit] for replica in run.replicas]
        run.measures["generalization_error"][-1] = influences + dependence[-1]
    found = compare(runs, summary_table(runs))
    assert "(not fitted on the seen inputs)" not in dict(found.findings)["mlp"]


def test_cells_that_did_not_fit_are_marked(study, comparison):
    assert not any("†" in text for text in [*comparison.errors["mlp [95 %]"], *comparison.notes])
    runs = runs_of(study)
    for run in runs:
        shares = np.array([0.11 if replica.bit == 7 else 0.09 for replica in run.replicas])
        influences = np.array([run.influences[replica.bit] for replica in run.replicas])
        run.measures["in_distribution_error"][-1] = shares * influences
    found = compare(runs, summary_table(runs))
    for column in ("mlp [95 %]", "transformer [95 %]"):
        marked = found.errors[column].str.endswith("†")
        assert marked.tolist() == (found.errors["frozen bit"] == "7").tolist()
    assert found.kinds["error / influence [95 %]"].str.endswith("†").tolist() == [False, True] * 2
    assert any(note.startswith("†: the mean in-distribution error") for note in found.notes)
    text = dict(found.findings)["mlp"]
    assert text.startswith("12 of 35 replicas did not fit") or text.startswith("11 of 35 replicas")
    assert "Not judged: the fit is not finished or not measured (2)." in text
    assert "no verdict, as the fit of some cell is not finished" in text


def test_exact_predictions_have_their_own_columns_and_deviation(tmp_path):
    write_run(
        tmp_path,
        "linear-linear_regression-00000001",
        influences={1: 9.0, 7: 81.0},
        predictions={1: 4.0, 7: 25.0},
        seeds=4,
    )
    write_run(tmp_path, "linear-deep_linear-00000002", influences={1: 9.0, 7: 81.0}, seeds=4)
    runs = runs_of(tmp_path)
    found = compare(runs, summary_table(runs))
    rows = found.cells.set_index(["arm", "frozen_bit"])
    assert rows.loc[("linear_regression", 7), "prediction_linear_regression"] == 25
    assert np.isnan(rows.loc[("deep_linear", 7), "prediction_linear_regression"])
    errors = next(run for run in runs if run.predictions).final("generalization_error", 7)
    deviation = rows.loc[("linear_regression", 7), "deviation_linear_regression"]
    assert deviation == pytest.approx(np.abs(errors / 25 - 1).max())
    shown = found.errors.set_index("model")
    assert shown.loc["linear_regression", "linear regression"].tolist() == ["4.000", "25.00"]
    # No deep network has this prediction: its cells are empty, not zero.
    assert "0" not in "".join(shown.loc["deep_linear", "linear regression"])
    assert "largest relative deviation of any replica" in dict(found.findings)["linear_regression"]


def test_a_run_is_split_by_learning_rate(tmp_path):
    directory = write_run(tmp_path, rates=(1e-3, 1e-4), seeds=3)
    document = json.loads((directory / "measures.json").read_text())
    slow, fast = read_runs_of(directory)
    assert (slow.variant, fast.variant) == ("learning rate 0.0001", "learning rate 0.001")
    for run in (slow, fast):
        assert len(run.replicas) == 6
        expected = [
            document["measures"]["leak"][-1][i]
            for i, entry in enumerate(document["replicas"])
            if entry["learning_rate"] == run.learning_rate and entry["bit"] == 7
        ]
        assert run.final("leak", 7).tolist() == expected
    assert set(arm_labels([slow, fast]).values()) == {
        "mlp, learning rate 0.0001",
        "mlp, learning rate 0.001",
    }
    with pytest.raises(ValueError, match="holds 2 runs"):
        read_run(directory)


def test_optimizers_name_arms_only_where_they_tell_them_apart(tmp_path):
    write_run(tmp_path, "staircase-mlp-00000001", optimizer="adam")
    write_run(tmp_path, "staircase-mlp-00000002", optimizer="sgd")
    assert sorted(arm_labels(runs_of(tmp_path)).values()) == ["mlp, adam", "mlp, sgd"]


def test_an_arm_of_two_tasks_has_one_optimizer_and_says_its_rates(tmp_path):
    write_run(tmp_path, "staircase-mlp-00000001", task_label="staircase", rates=(0.1,))
    write_run(tmp_path, "chain-mlp-00000002", task_label="chain", rates=(0.2,))
    study = study_of(runs_of(tmp_path))
    assert arms_of(study.comparison.cells) == ["mlp"]
    [note] = [note for note in study.comparison.notes if "learning rate of its own" in note]
    assert "0.1 for staircase" in note and "0.2 for chain" in note
    write_run(tmp_path, "other-mlp-00000003", task_label="other", optimizer="sgd", rates=(0.1,))
    study = study_of(runs_of(tmp_path))
    assert arms_of(study.comparison.cells) == ["mlp, adam", "mlp, sgd"]
    assert study.comparison.kinds["model"].tolist() == ["mlp, adam", "mlp, sgd"]


def test_one_label_of_two_targets_is_two_tasks(tmp_path):
    label = "mine (path=table.npy)"
    for number, influence in enumerate((0.25, 0.75)):
        for model in ("mlp", "mixer"):
            write_run(
                tmp_path,
                f"mine-{model}-0000000{number}",
                influences={7: influence, 8: 0.5},
                task_label=label,
                model_label=f"{model} (depth={number})",
            )
    comparison = study_of(runs_of(tmp_path)).comparison
    cells = comparison.cells
    assert set(cells["task_short"]) == {"mine, 00000000", "mine, 00000001"}
    shown = comparison.errors
    rows = shown[(shown["task"] == "mine, 00000001") & (shown["frozen bit"] == "7")]
    assert rows.filter(like="nfluence").to_numpy().tolist() == [["0.75"]]
    # The last bit makes no second task.
    for number, influence in enumerate((0.3, 0.1 + 0.2)):
        write_run(
            tmp_path / "same",
            f"mine-mlp-0000000{number}",
            influences={7: influence},
            task_label=label,
            model_label=f"mlp (depth={number})",
        )
    cells = study_of(runs_of(tmp_path / "same")).comparison.cells
    assert set(cells["task_short"]) == {"mine"}


def test_rates_equal_in_six_digits_are_two_runs(tmp_path):
    directory = write_run(tmp_path, rates=(1e-3, 1.0000001e-3), seeds=3)
    runs = read_runs_of(directory)
    assert len({run.name for run in runs}) == 2
    study = study_of(runs)
    assert arms_of(study.comparison.cells) == [
        "mlp, learning rate 0.001",
        "mlp, learning rate 0.0010000001",
    ]
    for run in runs:
        rows = study.table[study.table["run"] == run.name]
        for row in rows.itertuples():
            mean = run.final("generalization_error", row.frozen_bit).mean()
            assert row.generalization_error == pytest.approx(mean)
    assert study.comparison.kinds["cells"].tolist() == ["1"] * 4, "two kinds of bits of two arms"


@pytest.mark.slow
def test_a_null_bit_and_single_seeds_are_no_trouble(tmp_path):
    write_run(tmp_path, "pvr-mlp-00000001", influences={0: 0.0, 7: 0.25}, seeds=1)
    write_run(tmp_path, "pvr-mixer-00000002", influences={0: 0.0, 7: 0.25}, seeds=1)
    runs = runs_of(tmp_path)
    found = compare(runs, summary_table(runs))
    text = dict(found.findings)["mlp"]
    assert "None of 2 cells (a task with a frozen bit) can be judged: fewer than two" in text
    assert found.why.loc[0, "error / influence"] == "–"
    assert write_report(tmp_path)


def test_a_bit_without_influence_is_told_first_and_in_absolute_numbers(tmp_path):
    # The control: a target that does not depend on bit 0, whose network depends on it all the same.
    theories = {
        "influence": {0: (0.0, 1.17), 1: (1.0, 0.01)},
        "wide_ntk": {0: (1.0, 0.17), 1: (1.0, 0.01)},
    }
    for number, model in enumerate(("mlp", "mixer")):
        directory = write_run(
            tmp_path,
            f"polynomial-{model}-0000000{number}",
            influences={0: 0.0, 1: 1.0},
            seeds=6,
            theories=theories,
        )
        path = directory / "measures.json"
        document = json.loads(path.read_text())
        errors = [1.17 + 0.01 * seed for seed in range(6)]
        document["measures"]["generalization_error"][-1][:6] = errors
        path.write_text(json.dumps(document))
    runs = runs_of(tmp_path)
    found = compare(runs, summary_table(runs))
    assert found.kinds["frozen"].tolist() == ["bit 0 (influence 0)", "bits"] * 2
    assert found.kinds.loc[0, "error / influence [95 %]"].startswith("1.195 [")
    assert found.kinds.loc[0, "error / influence [95 %]"].endswith("↑")
    assert found.theories.loc[0, "left by influence [95 %]"].startswith("1.170 [")
    assert found.theories["nearest"].tolist()[0] == "wide NTK"
    text = dict(found.findings)["mlp"]
    control = "With bit 0 (influence 0) frozen (1 cell), which the target does not depend on, the "
    assert control + "error is 1.195 [" in text
    assert "error = influence does not hold, the unseen inputs add to the error" in text
    assert text.index(control) < text.index("With a bit frozen (1 cell)")
    assert "certain" not in text and "negligible" not in text


def test_natural_order_takes_numbers_as_numbers():
    labels = ["depth=10", "depth=2", "alpha=2.5", "alpha=0.5"]
    assert sorted(labels, key=natural) == ["alpha=0.5", "alpha=2.5", "depth=2", "depth=10"]


def test_short_labels_stay_distinct():
    labels = ["f (a=1, b=2)", "f (a=1, b=3)", "g (c=1)", "h"]
    assert list(short_labels(labels).values()) == ["f (b=2)", "f (b=3)", "g", "h"]


@pytest.fixture
def matched_workdir(tmp_path):
    for window, (stability, variance) in TARGETS.items():
        write_run(
            tmp_path,
            f"pvr-mlp-0000000{window}",
            task_label=PVR.format(window),
            influences={None: 0.02 / stability},
            seeds=5,
            target={
                "mean": 0.0,
                "variance": variance,
                "noise_stability": stability,
                "orbit_cross_predictability": stability / 4,
                "orbit_cross_predictability_bound": stability / 2,
            },
        )
    return tmp_path


def test_matched_runs_are_ordered_by_stability_and_related_to_the_constant(matched_workdir):
    runs = runs_of(matched_workdir)
    assert [run.bits for run in runs] == [[None]] * 4
    found = match(runs)
    assert found.cells["target_noise_stability"].tolist() == [0.4, 0.2, 0.1, 0.05]
    for row in found.cells.itertuples():
        [run] = [run for run in runs if run.name == row.run]
        errors = run.final("generalization_error", None)
        assert row.generalization_error == pytest.approx(errors.mean())
        assert row.relative_error == pytest.approx(errors.mean() / (row.target_variance / 2))
    assert "Spearman's rank correlation of error with Stab_½ is -1.00" in found.findings[0][1]


def test_the_bound_is_judged_and_no_prefactor_claimed(matched_workdir):
    [*_, (title, text)] = match(runs_of(matched_workdir)).findings
    assert title == "The bound"
    assert "CP ≤ bound ≤ Stab_½ holds for all 4 targets" in text
    assert "no value of it is claimed" in text
    path = matched_workdir / "canonical_holdout" / "pvr-mlp-00000002" / "measures.json"
    document = json.loads(path.read_text())
    document["target"]["orbit_cross_predictability"] = 0.5
    path.write_text(json.dumps(document))
    [*_, (_, text)] = match(runs_of(matched_workdir)).findings
    assert "fails for pvr (window=2)" in text


def test_a_matched_report_has_table_figure_and_section(matched_workdir):
    paths = write_report(matched_workdir)["canonical_holdout"]
    assert {"matched.md", "matched.csv", "replicas.csv"} == set(paths.tables)
    assert "matched" in paths.figures
    assert render_matched(match(runs_of(matched_workdir))) in paths.text
    constant = pd.read_csv(paths.tables["replicas.csv"])["constant_error"]
    assert sorted(set(constant)) == sorted({variance / 2 for _, variance in TARGETS.values()})
    page = paths.page.read_text()
    assert 'id="matched"' in page
    assert "<h1>Nothing frozen: error and noise stability</h1>" in page


def test_a_study_is_kept_small_and_whole(study, tmp_path):
    stored.keep(study / "canonical_holdout", tmp_path / "kept")
    kept = tmp_path / "kept"
    assert {path.name for path in kept.iterdir()} == {
        "replicas.csv",
        "run.json",
        "table.csv",
        "table.md",
        "kinds.md",
        "why.md",
        "findings.md",
        "comparison.png",
    }
    assert len(pd.read_csv(kept / "replicas.csv")) == 4 * 3 * 6
    records = json.loads((kept / "run.json").read_text())["runs"]
    assert len(records) == 4
    for record in records.values():
        assert {"config", "run"} == set(record)
        assert record["run"]["command"].startswith("python -m ")
    text = "<!-- table: table.md -->\nold\n<!-- end of table -->\n"
    assert (kept / "table.md").read_text() in stored.fill(text, kept)
    assert "old" not in stored.fill(text, kept)


def test_a_study_of_one_run_is_kept_as_that_run(tmp_path):
    run = write_run(tmp_path)
    stored.keep(tmp_path / "canonical_holdout", tmp_path / "kept")
    stored.keep(run, tmp_path / "alone")
    kept, alone = (
        {p.name: p.read_bytes() for p in (tmp_path / d).iterdir()} for d in ("kept", "alone")
    )
    assert kept == alone
    assert "0.46875" in kept["table.md"].decode()
    assert "degree temperature" in kept["why.md"].decode()
    assert "theory.md" not in kept


def test_an_unfinished_study_is_not_kept(study, tmp_path):
    write_run(tmp_path, "pvr-mlp-00000001")
    write_run(tmp_path, "pvr-mlp-00000002", finished=False)
    with pytest.raises(FileNotFoundError, match="unfinished: pvr-mlp-00000002"):
        stored.keep(tmp_path / "canonical_holdout", tmp_path / "kept")
