"""What the report of unseen domains judges, and what it leaves alone: missing numbers, seeds."""

import json

import numpy as np
import pytest
import scipy.stats
from synthetic_unseen import LENGTH, THREE_SYMMETRIC, write_unseen

from pvr_jax.reporting.drawing import style
from pvr_jax.reporting.unseen import read_cells, read_cells_of, write_report
from pvr_jax.reporting.unseen.cells import cell_table, coefficient_table, rate_groups
from pvr_jax.reporting.unseen.figures import drawings
from pvr_jax.reporting.unseen.findings import (
    all_findings,
    overview,
    rate_correlation,
    rate_finding,
)
from pvr_jax.reporting.unseen.tables import shown_errors, shown_explanation, table_notes

VERDICTS = ("nearer to", "told apart", "leaves more", "leaves less", "off the MDI", "fitted:")


def edit(directory, name="measures.json", /, **last):
    """Give measures their values [r] at every evaluation, or fields of a document other values."""
    path = directory / name
    document = json.loads(path.read_text())
    for key, values in last.items():
        if key in document.get("measures", {}):
            document["measures"][key] = [values] * len(document["steps"])
        else:
            document[key] = values
    path.write_text(json.dumps(document))
    return directory


def judged(directory, **last):
    """Return cells, the row of the first, and its finding."""
    cells = read_cells_of(edit(directory, **last))
    table, coefficients = cell_table(cells), coefficient_table(cells)
    return cells, table, all_findings(cells, table, coefficients)[0][1]


@pytest.mark.parametrize("problem", [THREE_SYMMETRIC, LENGTH], ids=["near", "far"])
def test_a_missing_fit_is_not_a_fit(tmp_path, problem):
    directory = write_unseen(tmp_path, problem=problem)
    cells, table, text = judged(directory, in_distribution_error=[None] * 3)
    assert table["fit"].tolist() == ["not measured"]
    assert text.startswith("Whether the seen inputs are fitted was not measured")
    assert not [words for words in VERDICTS if words in text]
    assert table["nearer"].tolist() == [""] and not table["close"].any()
    assert "1 setting has no measure of the fit and is not counted here." in overview(table)
    assert "In none of them" in overview(table) and "the testable claim" not in overview(table)
    assert shown_errors(table)["in-distribution error"].tolist() == ["–"]
    assert any("was not measured" in note for note in table_notes(cells, table))
    assert rate_correlation(cells)[0] == "not defined"
    _, table, _ = judged(directory, in_distribution_error=[1e-5, None, 1e-5])
    assert table["fit"].tolist() == ["not measured"]


def test_a_target_of_unknown_size_makes_no_fit(tmp_path):
    directory = write_unseen(tmp_path, predictions=False)
    none = {"monomials": [], "coefficients": None, "target_degree_profile": None}
    _, table, text = judged(directory, **none)
    assert table["fit"].tolist() == ["not measured"]
    assert "1 % of ½ E f² –" in text


@pytest.mark.parametrize("name", ["unseen_distance", "unseen_error"])
def test_a_missing_distance_is_neither_near_nor_close(tmp_path, name):
    _, table, text = judged(write_unseen(tmp_path), **{name: [None] * 3})
    assert table["nearer"].tolist() == [""] and not table["close"].any()
    assert "not measured" in text and "so nothing is judged" in text
    assert "In none of them" in overview(table)


def test_without_an_interpolator_everything_else_is_reported(tmp_path):
    directory = write_unseen(tmp_path)
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    for name in ("distance", "unseen_distance", "dropped_share", "degree_temperature"):
        document["measures"].pop(name)
    for monomial in document["monomials"]:
        monomial["min_degree"] = None
    document["min_degree_profile"] = None
    path.write_text(json.dumps(document))
    reason = "8,192 unseen points, at most 4,096"
    theories = json.loads((directory / "predictions.json").read_text())
    theories["theories"].pop("min_degree")
    theories["unexplained"].pop("min_degree")
    theories["not_defined"] = {"min_degree": reason}
    (directory / "predictions.json").write_text(json.dumps(theories))
    cells, table, text = judged(directory)
    assert f"The MDI is not computed: {reason}." in text
    assert "In 1 setting the MDI is not computed." in overview(table)
    assert f"MDI, not computed for 2parity, mlp: {reason}." in table_notes(cells, table)
    assert shown_errors(table)["unseen error [95 %]"][0].startswith("6.")
    assert shown_explanation(table)["distance to MDI [95 %]"].tolist() == ["–"]
    report = write_report(tmp_path / "unseen_domain")
    assert reason in report.page.read_text(encoding="utf-8")
    theories["not_defined"] = {}
    (directory / "predictions.json").write_text(json.dumps(theories))
    with pytest.raises(ValueError, match="no entry 'min_degree'"):
        read_cells_of(directory)


def test_where_the_interpolator_is_the_target_errors_stay_absolute_and_named(tmp_path):
    directory = write_unseen(tmp_path)
    rounding = {"generalization_error": 0.0, "unseen_error": 1e-31, "coefficients": None}
    edit(directory, "predictions.json", theories={"min_degree": rounding})
    _, table, text = judged(directory, unseen_error=[0.5, 0.25, 0.25])
    assert table["distance_share"].isna().all() and table["nearer"].tolist() == [""]
    assert "the networks' unseen error is 0.3333 [" in text
    assert "nothing is judged: 2parity, mlp, learning rate 0.003." in overview(table)


def margins(values, own=8.0):
    """Return the measures of seeds by their distance to the MDI minus that to the target."""
    values = np.asarray(values) * own
    return {"unseen_error": [own] * len(values), "unseen_distance": (own + values).tolist()}


def test_what_is_nearer_is_judged_for_all_settings_at_once(tmp_path):
    values = [-0.1, -0.12, -0.08]
    single = margins(values)
    _, table, text = judged(write_unseen(tmp_path / "one"), **single)
    assert table["nearer"][0] == "MDI" and "nearer to the MDI than to the target" in text
    rates = tuple(0.001 * 1.1**i for i in range(20))
    many = {name: column * 20 for name, column in single.items()}
    cells, table, text = judged(write_unseen(tmp_path / "many", rates=rates), **many)
    low, high = scipy.stats.t.interval(1 - 0.05 / 20, 2, -0.1, scipy.stats.sem(values))
    assert (table["judged_low"][0], table["judged_high"][0]) == pytest.approx((low, high))
    assert high > 0 > table["nearer_margin_high"][0]
    assert set(table["nearer"]) == {"not told apart"}
    assert "to the target, which are not told apart." in text
    assert "hold for all settings at once with 95 %" in overview(table)
    assert any("99.75 % each" in note for note in table_notes(cells, table))


def test_seeds_in_two_groups_are_shown_and_not_judged(tmp_path):
    values = [-0.5 + 0.001 * i for i in range(10)] + [0.3, 0.301]
    directory = write_unseen(tmp_path, seeds=12)
    _, table, text = judged(directory, **margins(values))
    assert table["nearer"].tolist() == [""] and table["nearer_margin_high"][0] < 0
    assert "The seeds fall into two groups, so nothing is judged." in text
    assert "In 1 setting the seeds fall into two groups" in overview(table)
    assert "(10 at 4.04 and 2 at 10.4)" in shown_explanation(table)["distance to MDI [95 %]"][0]
    _, table, _ = judged(write_unseen(tmp_path / "20", seeds=24), **margins(values * 2))
    assert table["nearer"].tolist() == ["MDI"]


def test_few_seeds_stand_beside_their_mean_and_no_interval_leaves_its_range(tmp_path):
    directory = write_unseen(tmp_path)
    columns = ("unseen_error", "unseen_distance", "in_distribution_error", "distance")
    skewed = {name: [0.001, 0.002, 0.9] for name in columns}
    _, table, _ = judged(directory, **skewed, degree_temperature=[0.01, 0.02, 0.95])
    assert shown_errors(table)["unseen error [95 %]"][0].endswith("] (0.00100, 0.00200, 0.900)")
    for name in (*columns, "generalization_error", "distance_share", "error_share", "mass_above"):
        assert not table[f"{name}_low"][0] <= 0, name
    assert 0 < table["degree_temperature_low"][0] < table["degree_temperature_high"][0] < 1
    _, table, _ = judged(write_unseen(tmp_path / "five", seeds=5))
    assert "(" not in shown_errors(table)["unseen error [95 %]"][0]


def test_a_coefficient_is_off_by_intervals_that_hold_for_all_of_them(tmp_path):
    directory = write_unseen(tmp_path, leak=0.3)
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    learned = np.array(document["coefficients"])
    learned[-1] = [-1, 1, 1, 0]
    learned[-1, :, 3] = [0.25, 0.3, 0.2]  # 0.25 ± 0.12 alone, ± 0.25 of four; a tenth is 0.1
    document["coefficients"] = learned.tolist()
    path.write_text(json.dumps(document))
    table = coefficient_table(read_cells_of(directory)).set_index("monomial")
    assert table.loc["x₀x₁", "learned_low"] > 0.1 > table.loc["x₀x₁", "judged_low"]
    assert "No tracked coefficient is shown to be off the MDI" in judged(directory)[2]
    learned[-1, :, 3] = [0.25, 0.26, 0.24]
    document["coefficients"] = learned.tolist()
    path.write_text(json.dumps(document))
    assert "by intervals that hold for all 4 at once: x₀x₁ at 0.25" in judged(directory)[2]


def test_theories_that_are_not_told_apart_have_no_nearest(tmp_path):
    directory = write_unseen(tmp_path)
    own = {"min_degree": [0.3, 0.2, 0.1], "wide_ntk": [0.1, 0.2, 0.21]}
    edit(directory, "predictions.json", unexplained=own)
    _, table, text = judged(directory)
    assert table["nearest"].tolist() == ["wide_ntk min_degree"]
    assert "leave unexplained is not told apart: 0.170 against 0.200." in text
    edit(directory, "predictions.json", unexplained=own | {"wide_ntk": [None] * 3})
    _, table, text = judged(directory)
    assert "wide NTK" not in text and table["nearest"].tolist() == [""]


def test_a_trend_is_that_of_finished_fits_and_corrected_for_the_scans(tmp_path):
    rates = (0.001, 0.01, 0.1, 1.0)
    directory = write_unseen(tmp_path, rates=rates, leak_per_decade=0.2, leak=0.15, seeds=4)
    # The two slowest rates are not fitted, and the rest says too little.
    edit(directory, in_distribution_error=[0.5] * 4 + [None] * 4 + [1e-5] * 8)
    cells = read_cells_of(directory)
    text = rate_finding(cells)
    assert "not finished at learning rate 0.001, which" in text
    assert "not measured at learning rate 0.01, which" in text
    assert text.endswith("too few rates left to say anything.")
    edit(directory, in_distribution_error=[0.5] * 4 + [1e-5] * 12)
    cells = read_cells_of(directory)
    [(_, own)] = rate_groups(cells)
    leaks = np.concatenate([cell.final("dropped_share") for cell in own[1:]])
    expected = scipy.stats.spearmanr(np.repeat(rates[1:], 4), leaks).statistic
    assert (
        f"Over 12 replicas at 3 learning rates, Spearman's rank correlation of the share of "
        f"dropped monomials that is learned with the learning rate is {expected:.2f} ["
        in rate_finding(own)
    )
    one, two = (rate_correlation(own, scans)[1] for scans in (1, 2))
    assert two[0] < one[0] and two[1] > one[1]
    assert "(95 % for all 2 scans at once, Fisher's z" in rate_finding(own, 2)


def test_figures_are_drawn_of_what_is_there(tmp_path):
    directory = write_unseen(tmp_path)
    edit(directory, in_distribution_error=[None] * 3, generalization_error=[None, 0.1, 0.2])
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    document["measures"].pop("unseen_distance")
    document["degree_profile"][-1][0] = None
    for monomial in document["monomials"]:
        monomial["min_degree"] = None
    path.write_text(json.dumps(document))
    edit(directory, "predictions.json", theories={}, not_defined={"min_degree": "too large"})
    cells, _ = read_cells(tmp_path / "unseen_domain")
    assert {"distance", "coefficient_distance"} <= drawings(cells).keys()
    for name, draw in drawings(cells).items():
        with style(name):
            draw().draw_without_rendering()
