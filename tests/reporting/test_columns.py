"""The columns of tables: their numbers against independent computations, their texts and marks."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import toy_study

from pvr_jax.reporting import columns, numbers
from pvr_jax.reporting.exhibits import context_of

STUDY = toy_study.study()
CONTEXT = context_of(STUDY)
FINAL = STUDY.final()
ONE = FINAL[FINAL["frozen_bit"] == 1]


def cell(column, group=ONE):
    return column.cell(group, CONTEXT)


def test_a_mean_of_a_positive_quantity_has_students_interval_on_the_log_scale():
    values = ONE["generalization_error"].to_numpy()
    width = scipy.stats.t.ppf(0.975, 4) * scipy.stats.sem(values) / values.mean()
    found = cell(columns.mean("generalization_error"))
    assert found.values[""] == pytest.approx(values.mean())
    assert found.bounds == pytest.approx([values.mean() * math.exp(s * width) for s in (-1, 1)])
    assert found.text == "0.5200 [0.5007, 0.5400]"


def test_an_interval_never_leaves_the_range_of_its_quantity():
    group = pd.DataFrame({"accuracy": [0.02, 0.06, 0.42, 0.94], "seed": range(4)})
    low, high = cell(columns.mean("accuracy"), group).bounds
    assert 0 < low < 0.36 < high < 1
    text = cell(columns.mean("accuracy", percent=True, decimals=1), group).text
    assert text.startswith("36.0 [") and text.endswith("(2.00, 6.00, 42.0, 94.0)")


def test_over_several_cells_seeds_vary_and_cells_do_not():
    found = cell(columns.mean("generalization_error", per="influence"), FINAL)
    by_seed = 1 + 0.02 * np.arange(5)
    width = scipy.stats.t.ppf(0.975, 4) * scipy.stats.sem(by_seed) / by_seed.mean()
    assert found.values[""] == pytest.approx(by_seed.mean())
    assert found.bounds[1] == pytest.approx(by_seed.mean() * math.exp(width))


@pytest.mark.parametrize(
    ("level", "mark"), [(0.3, " ↑"), (0.9, " ↓"), (0.52, ""), ("influence", " ↑"), (math.nan, "")]
)
def test_marks_say_where_the_interval_leaves_out_a_level(level, mark):
    found = cell(columns.mean("generalization_error", mark=columns.against(level)))
    assert found.text == f"0.5200 [0.5007, 0.5400]{mark}"


def test_an_unfinished_fit_has_a_dagger_and_no_verdict():
    group = ONE.assign(unfitted=[False, True, False, False, False])
    mark = columns.against(0.3, unfitted="unfitted")
    assert cell(columns.mean("generalization_error", mark=mark), group).text.endswith("] †")


def test_seeds_stand_beside_a_mean_that_describes_none_of_them():
    two = pd.DataFrame({"value": [1.0] * 3 + [1.01] * 6 + [9.0], "seed": range(10)})
    assert cell(columns.mean("value"), two).text.endswith("(9 at 1.01 and 1 at 9.00)")
    few = two.iloc[-3:]
    assert cell(columns.mean("value"), few).text.endswith("(1.01, 1.01, 9.00)")
    assert "(" not in cell(columns.mean("value", values=False), few).text


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_nothing_is_a_dash(values):
    group = pd.DataFrame({"value": np.array(values, float), "seed": range(len(values))})
    for column in (columns.mean("value"), columns.number("value"), columns.exact("value")):
        assert cell(column, group).text == "–"


def test_one_or_equal_seeds_have_no_interval():
    for count in (1, 3):
        group = pd.DataFrame({"value": [2.0] * count, "seed": range(count)})
        assert cell(columns.mean("value"), group).text.startswith("2.000 [–]")


def test_counts_leave_out_what_is_not_known():
    group = pd.DataFrame({"a": [True, False, None, True], "b": [True, True, True, True]})
    assert cell(columns.count("a"), group).text == "2 of 3"
    assert cell(columns.count("a", "b"), group).text == "2 of 3, 4 of 4"
    assert cell(columns.count("b", "b"), group).text == "4, 4 of 4"


def test_a_ratio_is_the_geometric_mean_of_what_both_have():
    group = pd.DataFrame({"a": [1.0, 4, 9, math.inf], "b": [2.0, 2, 3, 5]})
    logs = np.log([0.5, 2, 3])
    low, high = scipy.stats.t.interval(0.95, 2, logs.mean(), scipy.stats.sem(logs))
    found = cell(columns.ratio("a", "b"), group)
    assert found.values[""] == pytest.approx(3 ** (1 / 3)) and found.values["_seeds"] == 3
    assert found.bounds == pytest.approx((math.exp(low), math.exp(high)))


def test_a_sign_test_leaves_ties_out():
    group = pd.DataFrame({"a": [1.0, 1, 5, math.inf, 0], "b": [2.0, 2, 5, math.inf, math.nan]})
    assert cell(columns.sign_test("a", "b"), group).text == "2 of 2"
    assert cell(columns.sign_test_p("a", "b"), group).text == "0.50"
    nothing = pd.DataFrame({"a": [math.nan], "b": [1.0]})
    assert columns.sign_test_of(nothing, "a", "b")[:2] == (0, 0)
    assert cell(columns.sign_test_p("a", "b"), nothing).text == "–"


def test_a_rank_correlation_is_spearmans():
    generator = np.random.default_rng(0)
    group = pd.DataFrame(generator.normal(size=(30, 2)), columns=["a", "b"])
    found = cell(columns.correlation("a", "b"), group)
    assert found.values[""] == pytest.approx(scipy.stats.spearmanr(group["a"], group["b"])[0])
    assert -1 < found.bounds[0] < found.values[""] < found.bounds[1] < 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (numbers.interval(0.12345, 0.1, 0.2), "0.1235 [0.1000, 0.2000]"),
        (numbers.interval(1234.5, 1000, 2000, decimals=0), "1234 [1000, 2000]"),
        (numbers.interval(2e-8, 1e-8, 3e-8), "2.000e-08 [1.000e-08, 3.000e-08]"),
        (numbers.interval(0.0, math.nan, math.nan), "0.000 [–]"),
        (numbers.interval(math.nan, 0, 1), "–"),
        (numbers.share(1.2), "120 %"),
        (numbers.share(0.0031), "0.31 %"),
        (numbers.share(0.12, "+"), "+12 %"),
        (numbers.p_value(0.0000123), "1e-05"),
        (numbers.p_value(0.021), "0.021"),
        (numbers.exact_value(0.46875), "0.46875"),
        (numbers.number(-0.0), "0.000"),
    ],
)
def test_numbers_as_text(text, expected):
    assert text == expected
