"""Means and intervals against independent computations and on degenerate input."""

import numpy as np
import pytest
import scipy.stats

from pvr_jax.reporting.statistics import (
    bootstrap_interval,
    interval_over_seeds,
    interval_words,
    mean,
    mean_interval,
    mean_over_cells,
    rank_correlation,
    student_interval,
)


@pytest.fixture
def values():
    return np.random.default_rng(5).normal(2.0, 1.0, size=(4, 12))


def test_bootstrap_equals_direct_resampling_of_each_row(values):
    low, high = bootstrap_interval(values)
    chosen = np.random.default_rng(0).integers(0, 12, size=(10_000, 12))
    for i, row in enumerate(values):
        expected = np.quantile(row[chosen].mean(axis=1), [0.025, 0.975])
        # Another draw of the same size differs by the resampling error alone.
        assert np.allclose([low[i], high[i]], expected, atol=0.02)


def test_bootstrap_interval_of_many_values_approaches_the_normal_one():
    row = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap_interval(row)
    half_width = 1.96 * row.std() / np.sqrt(400)
    assert low == pytest.approx(row.mean() - half_width, abs=0.01)
    assert high == pytest.approx(row.mean() + half_width, abs=0.01)


def test_interval_of_a_row_does_not_depend_on_its_company(values):
    together = bootstrap_interval(values)
    alone = [bootstrap_interval(row) for row in values]
    assert np.allclose(together, np.transpose(alone), rtol=1e-12)


def test_nan_entries_are_left_out(values):
    with_gap = np.insert(values, 3, np.nan, axis=1)
    assert np.allclose(mean(with_gap), values.mean(axis=1))
    assert np.allclose(bootstrap_interval(with_gap), bootstrap_interval(values))
    assert np.allclose(student_interval(with_gap), student_interval(values))


def test_student_interval_equals_scipy(values):
    low, high = student_interval(values)
    for i, row in enumerate(values):
        expected = scipy.stats.ttest_1samp(row, 0.0).confidence_interval(0.95)
        assert (low[i], high[i]) == pytest.approx((expected.low, expected.high))


def test_few_replicas_have_the_wider_interval_of_student(values):
    rows = values.copy()
    rows[1, :3] = np.nan  # 9 replicas are left
    low, high = mean_interval(rows)
    for i, expected in enumerate((bootstrap_interval, student_interval, bootstrap_interval)):
        assert (low[i], high[i]) == pytest.approx(np.array(expected(rows[i])))
    assert interval_words([12]).startswith("percentile bootstrap")
    assert interval_words([9, 1]).startswith("Student")
    assert "or, with fewer than 10 replicas, Student's t" in interval_words([9, 12])


def test_of_five_replicas_the_interval_holds_the_mean_as_often_as_it_says():
    # Student's interval is exact for normal values: 95 % of 4,000, give or take 3 standard errors.
    low, high = mean_interval(np.random.default_rng(2).normal(3.0, 2.0, size=(4000, 5)))
    held = np.mean((low <= 3.0) & (high >= 3.0))
    assert held == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 4000))


@pytest.mark.parametrize("seeds", [4, 12])
def test_seeds_vary_not_cells(seeds):
    # The cells of a seed move together, as its data do: three cells say no more than one.
    common = np.random.default_rng(3).normal(1.0, 0.1, size=seeds)
    together = interval_over_seeds(np.tile(common, (3, 1)))
    assert together == pytest.approx(interval_over_seeds(common[None]))
    cells = common + np.array([[-0.2], [0.0], [0.5]])
    center, shifted = mean_over_cells(cells), interval_over_seeds(cells)
    assert center == pytest.approx(common.mean() + 0.1)
    assert shifted == pytest.approx((together[0] + 0.1, together[1] + 0.1))


def test_interval_over_few_seeds_is_that_of_student():
    values = np.random.default_rng(4).normal(size=(3, 5))
    assert interval_over_seeds(values) == pytest.approx(student_interval(values.mean(axis=0)))
    values[0, 1] = np.nan
    low, high = interval_over_seeds(values)
    assert low < mean_over_cells(values) < high
    assert np.isnan(interval_over_seeds(values[:, :1])).all()


@pytest.mark.parametrize("interval", [bootstrap_interval, student_interval])
def test_fewer_than_two_values_have_no_interval(interval):
    rows = np.array([[np.nan, 0.5], [np.nan, np.nan]])
    assert np.isnan(interval(rows)).all()
    assert np.isnan(interval(np.empty((2, 0)))).all()
    assert np.isnan(mean(np.empty((2, 0)))).all()


@pytest.mark.parametrize("interval", [bootstrap_interval, student_interval])
def test_equal_values_have_an_interval_of_width_zero(interval):
    low, high = interval(np.full((1, 3), 0.25))
    assert low == high == 0.25


def test_rank_correlation_with_ties_and_degenerate_input():
    assert rank_correlation([1, 2, 2, 3], [0.1, 0.2, 0.2, 0.9]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation([1, 1, 2], [1, 2, 3]))
    assert np.isnan(rank_correlation([1, 2, 3], [1, 1, 1]))
    assert np.isnan(rank_correlation([1, 2, np.nan], [1, 2, 3]))
