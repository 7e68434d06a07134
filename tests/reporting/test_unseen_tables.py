"""Numbers, text, findings and figures of an unseen domain against the raw files."""

import json

import numpy as np
import pytest
import scipy.stats
from synthetic_unseen import LENGTH, THREE_SYMMETRIC, write_unseen

from pvr_jax.reporting.drawing import style
from pvr_jax.reporting.unseen import read_cells, read_cells_of
from pvr_jax.reporting.unseen.cells import (
    cell_table,
    coefficient_table,
    rate_groups,
    replica_table,
)
from pvr_jax.reporting.unseen.figures import MOST_PANELS, drawings, shown_cells
from pvr_jax.reporting.unseen.findings import (
    all_findings,
    overview,
    rate_correlation,
    rate_finding,
)
from pvr_jax.reporting.unseen.labels import arm_names, monomial_text, task_names
from pvr_jax.reporting.unseen.tables import (
    interval_text,
    shown_coefficients,
    shown_degrees,
    shown_errors,
    shown_explanation,
    table_notes,
)


def edit(directory, change, name="measures.json"):
    path = directory / name
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return directory


def findings_of(cells):
    return dict(all_findings(cells, cell_table(cells), coefficient_table(cells)))


def test_means_shares_and_intervals_equal_an_independent_computation(tmp_path):
    directory = write_unseen(tmp_path, seeds=5, diverged={"rate0.003-scale1.0-seed2": 400})
    raw = json.loads((directory / "measures.json").read_text())["measures"]
    kept = [0, 1, 3, 4]
    row = cell_table(read_cells_of(directory)).iloc[0]
    assert (row["replicas"], row["excluded"], row["min_degree_unseen_error"]) == (4, 1, 8.0)
    assert row["excluded_replicas"] == "rate0.003-scale1.0-seed2 diverged at step 400"
    distances, errors = (
        np.array([raw[name][-1][i] for i in kept]) for name in ("unseen_distance", "unseen_error")
    )
    mean = distances.mean()
    width = scipy.stats.t.ppf(0.975, 3) * scipy.stats.sem(distances) / mean  # of the logarithm
    assert row["unseen_distance"] == pytest.approx(mean)
    assert row["unseen_distance_low"] == pytest.approx(mean * np.exp(-width))
    assert row["distance_share"] == pytest.approx(mean / 8)
    assert row["distance_share_high"] == pytest.approx(mean * np.exp(width) / 8)
    assert row["error_share"] == pytest.approx(errors.mean() / 8)
    assert row["rival_margin"] == pytest.approx((distances - (3 * distances + 0.2)).mean())
    margins = (distances - errors) / 8
    low, high = scipy.stats.t.interval(0.95, 3, margins.mean(), scipy.stats.sem(margins))
    assert (row["judged_low"], row["judged_high"]) == pytest.approx((low, high))
    assert (row["nearer"], row["nearest"], row["close"]) == ("MDI", "min_degree", True)


def test_mass_above_the_degree_of_the_interpolator(tmp_path):
    directory = write_unseen(tmp_path, "parity-mlp-44444444", LENGTH, leak=0.6)
    profile = np.array(json.loads((directory / "measures.json").read_text())["degree_profile"])
    cells = read_cells_of(directory)
    row = cell_table(cells).iloc[0]
    assert (row["highest_degree"], row["target_mass_above"]) == (3, 1.0)
    assert row["mass_above"] == pytest.approx(profile[-1, :, 4:].sum(axis=-1).mean())
    assert row["far"]
    assert row["nearer"] == ""
    text = findings_of(cells)["lengthgen3, mlp, learning rate 0.003"]
    assert "errs by 1.50e+06, 3.00e+06 times the error of the zero function" in text
    assert "Above its degree r = 3 the MDI has no mass and the target 1" in text
    assert "In 1 setting the MDI is so large" in overview(cell_table(cells))
    assert shown_explanation(cell_table(cells))["distance / MDI's error [95 %]"][0] == (
        "1.0000 [1.0000, 1.0000] (1.00, 1.00, 1.00)"
    )


def test_no_degree_is_above_where_the_interpolator_has_the_highest(tmp_path):
    directory = write_unseen(tmp_path)
    edit(directory, lambda d: d["min_degree_profile"].__setitem__(-1, 1.0))
    table = cell_table(read_cells_of(directory))
    assert np.isnan(table["mass_above"]).all()
    assert "r" not in shown_degrees(table)


def test_an_unfinished_fit_is_marked_and_not_judged(tmp_path):
    directory = write_unseen(tmp_path, in_distribution=0.006)
    table = cell_table(read_cells_of(directory))
    assert shown_errors(table)["in-distribution error"].tolist() == ["0.00600 †"]
    assert "1 setting did not finish the fit" in overview(table)
    assert "judged" in overview(table)
    [text] = findings_of(read_cells_of(directory)).values()
    assert "more than 1 % of ½ E f² (0.00500), so nothing is judged" in text
    for words in ("nearer to", "told apart", "leaves more", "leaves less", "off the MDI"):
        assert words not in text
    assert (table["nearer"][0], table["nearest"][0], table["close"][0]) == ("", "", False)


def test_a_sampled_target_is_measured_as_a_whole_not_by_what_is_followed(tmp_path):
    # 57 terms of which 4 are followed: ½ E f² is 28.5, a hundredth of it .285.
    directory = write_unseen(
        tmp_path,
        exact=False,
        in_distribution=0.1,
        target_mean_square=57.0,
        min_degree_unseen=56.0,
    )
    cells = read_cells_of(directory)
    table = cell_table(cells)
    assert (table["target_mean_square"][0], table["fit"][0], table["far"][0]) == (57, "finished", 0)
    assert "†" not in shown_errors(table)["in-distribution error"][0]
    # Where another target is so large that the MDI is far, the finding says by how much.
    edit(directory, lambda d: d.update(target_mean_square=0.5))
    [text] = findings_of(read_cells_of(directory)).values()
    assert "errs by 56.0, 224 times the error of the zero function" in text


def test_an_earlier_version_did_not_write_the_mean_square(tmp_path):
    directory = write_unseen(tmp_path, exact=False)
    cells = read_cells_of(directory)
    table = cell_table(cells)
    # Before, the sum over the followed monomials stood in for it, however many there were.
    assert np.isnan(table["target_mean_square"][0]) and table["fit"][0] == "not measured"
    assert f"command of the run again: {directory.name}." in " ".join(table_notes(cells, table))
    for asked, expected in ((4, np.nan), (5, 1.0)):
        config = json.loads((directory / "config.json").read_text())
        config["evaluation"] = {"monomials": asked}
        (directory / "config.json").write_text(json.dumps(config))
        # Of fewer than were asked for none is left out.
        np.testing.assert_equal(read_cells_of(directory)[0].mean_square, expected)
    edit(directory, lambda d: d.update(target_degree_profile=[0, 1, 2.5, 0, 0, 0, 0]))
    assert read_cells_of(directory)[0].mean_square == 3.5


def test_findings_say_which_is_nearer_what_leaks_and_which_theory_explains_more(tmp_path):
    near = findings_of(read_cells_of(write_unseen(tmp_path, leak=0.02)))
    [text] = near.values()
    assert "nearer to the MDI than to the target" in text
    assert "No tracked coefficient is shown to be off the MDI" in text
    assert "The wide NTK leaves more unexplained than the MDI" in text
    directory = write_unseen(tmp_path, "polynomial-mlp-11111111", THREE_SYMMETRIC, leak=0.8)
    edit(
        directory,
        lambda d: d["unexplained"].update(wide_ntk=[0.1, 0.11, 0.12]),
        "predictions.json",
    )
    [text] = findings_of(read_cells_of(directory)).values()
    assert "nearer to the target than to the MDI" in text
    assert "x₁ at 0." in text
    assert "x₁x₂ at −" in text
    assert "and 2 more" in text
    assert "The wide NTK leaves less unexplained than the MDI: 0.110 against" in text


def test_without_predictions_only_measures_are_shown(tmp_path):
    directory = write_unseen(tmp_path, predictions=False)
    cells = read_cells_of(directory)
    table = cell_table(cells)
    assert not any("MDI's unseen" in name for name in shown_errors(table))
    assert "distance to MDI [95 %]" in shown_explanation(table)
    assert "distance / MDI's error [95 %]" not in shown_explanation(table)
    [text] = findings_of(cells).values()
    assert "nothing to judge" in text
    assert f"--stage=predict): {directory.name}." in "\n".join(table_notes(cells, table))


def test_a_sampled_cube_has_no_degrees_and_says_so(tmp_path):
    directory = write_unseen(tmp_path, n=40, exact=False, temperature=False, wide=False)
    cells = read_cells_of(directory)
    table = cell_table(cells)
    assert shown_degrees(table) is None
    notes = "\n".join(table_notes(cells, table))
    assert "evaluated on 32\u2009768 random inputs" in notes
    assert "wide NTK, not computed for 2parity, mlp: The limit is implemented" in notes
    assert "degree_profile" not in drawings(cells)


def test_nothing_unseen_and_all_diverged_leave_empty_columns(tmp_path):
    whole = write_unseen(tmp_path, seen_fraction=1.0, seen="all", min_degree_unseen=0.0)
    names = ("unseen_error", "unseen_distance", "dropped_share", "degree_temperature")

    def nothing_unseen(document):
        for name in names:
            document["measures"][name] = [[None] * 3] * 4

    edit(whole, nothing_unseen)
    lost = {f"rate0.003-scale1.0-seed{seed}": 40 for seed in range(3)}
    write_unseen(tmp_path, "polynomial-mlp-11111111", THREE_SYMMETRIC, diverged=lost)
    cells, _ = read_cells(tmp_path / "unseen_domain")
    table = cell_table(cells)
    assert table["distance_share"].isna().all()
    texts = findings_of(cells)
    assert "The MDI is the target here" in texts["2parity, mlp, learning rate 0.003"]
    assert texts["threesym, mlp, learning rate 0.003"].startswith("All replicas diverged")
    for name, draw in drawings(cells).items():
        with style(name):
            draw().draw_without_rendering()


@pytest.mark.parametrize(
    ("slope", "words"),
    [(0.2, "the leak grows with"), (-0.04, "the leak shrinks"), (0.0, "no trend is shown")],
)
def test_leak_against_learning_rate(tmp_path, slope, words):
    rates = (0.001, 0.01, 0.1, 1.0)
    write_unseen(tmp_path, rates=rates, leak_per_decade=slope, leak=0.15, seeds=6)
    cells, _ = read_cells(tmp_path / "unseen_domain")
    assert [cell.variant for cell in cells] == [f"learning rate {rate:g}" for rate in rates]
    [(title, own)] = rate_groups(cells)
    assert title == "2parity, mlp"
    table = replica_table(cells)
    expected = scipy.stats.spearmanr(table["learning_rate"], table["dropped_share"]).statistic
    assert f"learning rate is {expected:.2f} [" in rate_finding(own)
    assert words in rate_finding(own)
    assert findings_of(cells)["Learning rates, 2parity, mlp"] == rate_finding(own).replace(
        "is -", "is −"
    ).replace("[-", "[−").replace(" -", " −")


def test_no_scan_of_learning_rates_holds_two_conditions(tmp_path):
    rates = (0.001, 0.01, 0.1)
    write_unseen(tmp_path, rates=rates, leak=0.1)
    # Whatever it is that differs, the digits of the configuration do.
    write_unseen(tmp_path, "polynomial-mlp-11111111", rates=rates, leak=0.5)
    cells, _ = read_cells(tmp_path / "unseen_domain")
    groups = rate_groups(cells)
    assert [title for title, _ in groups] == ["2parity, mlp, 0123abcd", "2parity, mlp, 11111111"]
    for _, own in groups:
        assert [cell.learning_rate for cell in own] == list(rates)
        assert len({cell.directory for cell in own}) == 1
    write_unseen(tmp_path, "polynomial-mlp-22222222", rates=(2.0, 3.0, 4.0), size="paper")
    cells, _ = read_cells(tmp_path / "unseen_domain")
    sizes = [{cell.size for cell in own} for _, own in rate_groups(cells)]
    assert sizes == [{"small"}, {"small"}, {"paper"}]
    assert len({title for title, _ in rate_groups(cells)}) == 3


def test_two_learning_rates_are_no_scan_and_three_may_be_several_runs(tmp_path):
    write_unseen(tmp_path, rates=(0.001, 0.01))
    cells, _ = read_cells(tmp_path / "unseen_domain")
    assert rate_groups(cells) == []
    write_unseen(tmp_path, "polynomial-mlp-11111111", rates=(0.1,), in_distribution=0.3)
    cells, _ = read_cells(tmp_path / "unseen_domain")
    [(_, own)] = rate_groups(cells)
    assert "The fit is not finished at learning rate 0.1, which is left out" in rate_finding(own)
    assert "too few rates left" in rate_finding(own)
    assert rate_correlation(own)[0] == "not defined"


def test_coefficients_show_target_theories_and_what_was_learned(tmp_path):
    directory = write_unseen(tmp_path)
    raw = np.array(json.loads((directory / "measures.json").read_text())["coefficients"])
    table = coefficient_table(read_cells_of(directory)).set_index("monomial")
    assert table.loc["x₀x₁", ["target", "min_degree", "wide_ntk"]].tolist() == [1, 0, 0.5]
    assert table.loc["x₀x₁", "learned"] == pytest.approx(raw[-1, :, 3].mean())
    shown = shown_coefficients(table.reset_index())
    assert shown.columns[-4:].tolist() == ["target", "MDI", "wide NTK", "learned [95 %]"]


def test_names_tell_tasks_and_models_apart(tmp_path):
    write_unseen(tmp_path, setting="", n=6)
    write_unseen(tmp_path, "polynomial-mlp-11111111", setting="", n=7)
    write_unseen(tmp_path, "polynomial-mlp-22222222", setting="", n=7, size="full")
    cells, _ = read_cells(tmp_path / "unseen_domain")
    tasks, arms = task_names(cells), arm_names(cells)
    assert tasks["polynomial-mlp-0123abcd"] == "x0·x1 (n = 6, seen: x0 = 1 or x1 = 1)"
    keys = {(tasks[cell.name], arms[cell.name]) for cell in cells}
    assert len(keys) == 3


def test_powers_are_shown_as_powers(tmp_path):
    write_unseen(tmp_path, setting="", task_label="(x0 + x1)**2*x2")
    cells, _ = read_cells(tmp_path / "unseen_domain")
    assert set(task_names(cells).values()) == {"(x0 + x1)^2·x2"}


def test_optimizers_of_one_model_are_told_apart_and_unfinished_fits_everywhere(tmp_path):
    write_unseen(tmp_path)
    path = write_unseen(tmp_path, "polynomial-mlp-11111111", rates=(0.1,), in_distribution=0.3)
    edit(path, lambda d: d["train"].update(optimizer="adam"), "config.json")
    cells, _ = read_cells(tmp_path / "unseen_domain")
    assert sorted(arm_names(cells).values()) == ["mlp, adam", "mlp, sgd"]
    table = cell_table(cells)
    for shown in (shown_explanation(table), shown_degrees(table)):
        assert shown["model"].tolist() == ["mlp, adam †", "mlp, sgd"]
    coefficients = shown_coefficients(coefficient_table(cells))
    assert set(coefficients["model"]) == {"mlp, adam †", "mlp, sgd"}
    assert shown_errors(table)["model"].tolist() == ["mlp, adam", "mlp, sgd"]


def test_every_model_of_a_task_is_drawn_before_any_second_rate(tmp_path):
    rates = tuple(0.001 * 2**i for i in range(MOST_PANELS))
    write_unseen(tmp_path, rates=rates, seeds=1)
    write_unseen(tmp_path, "polynomial-transformer-11111111", seeds=1)
    cells, _ = read_cells(tmp_path / "unseen_domain")
    shown = shown_cells(cells)
    assert len(cells) == MOST_PANELS + 1
    assert len(shown) == MOST_PANELS
    assert [cell.model for cell in shown].count("transformer") == 1
    first = shown_cells(cells, first=lambda cell: cell.learning_rate > 0.0015)
    assert 0.001 not in [cell.learning_rate for cell in first if cell.model == "mlp"]


def test_monomials_and_intervals_as_text():
    assert monomial_text(()) == "1"
    assert monomial_text((10, 2)) == "x₂x₁₀"
    assert monomial_text((0, 2, 3, 4, 5, 11)) == "x₀x₂…x₅x₁₁"
    assert interval_text(1.5e8, 1e8, 2e8) == "1.500e+08 [1.000e+08, 2.000e+08]"
    assert interval_text(0.001, -0.00001, 0.002, 0.1) == "0.0010 [0.0000, 0.0020]"
    assert interval_text(np.nan, np.nan, np.nan) == "–"
