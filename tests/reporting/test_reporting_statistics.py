"""Means and intervals: their coverage, simulated, independent computations, degenerate input."""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.special
import scipy.stats

from pvr_jax.results.statistics import (
    against,
    can_be_judged,
    crossing,
    difference_interval,
    groups_of_seeds,
    interval_over_seeds,
    mean,
    mean_interval,
    mean_over_cells,
    rank_correlation,
    rank_correlation_interval,
    seed_means,
    simultaneous,
    unfinished,
    without_rounding,
)

REPEATS = 4000
SEEDS = (3, 5, 10, 20, 40)


def normal(rng, shape):
    return rng.normal(1.0, 0.15, shape), 1.0


def mildly_skewed(rng, shape):
    return rng.lognormal(0.0, 0.5, shape), np.exp(0.125)


def strongly_skewed(rng, shape):
    return rng.lognormal(0.0, 1.0, shape), np.exp(0.5)


def accuracy(rng, shape):
    return rng.beta(8.0, 0.8, shape), 8.0 / 8.8


def two_groups(rng, shape):
    learned = rng.random(shape) < 0.8
    return np.where(learned, rng.normal(0.9, 0.02, shape), rng.normal(0.2, 0.02, shape)), 0.76


# What a nominal 95 % interval covers with 3, 5, 10, 20 and 40 seeds, in percent. Student's t is
# exact for normal values. The other rows were simulated apart from this code; a run of REPEATS has
# a standard error of .35 to .8 points. No method covers two groups with few seeds.
COVERAGE = {
    (normal, "real"): (95.0, 95.0, 95.0, 95.0, 95.0),
    (normal, "positive"): (95.0, 95.0, 95.0, 95.0, 95.0),
    (mildly_skewed, "positive"): (94.0, 93.3, 93.0, 93.3, 94.0),
    (strongly_skewed, "positive"): (91.0, 89.0, 88.0, 89.0, 91.0),
    (accuracy, "unit"): (95.0, 94.5, 94.0, 94.5, 95.0),
    (two_groups, "unit"): (50.0, 67.0, 86.0, 92.0, 95.0),
}


@pytest.mark.parametrize(("values_of", "scale"), COVERAGE)
def test_an_interval_covers_the_mean_as_often_as_is_said(values_of, scale):
    for seeds, expected in zip(SEEDS, COVERAGE[values_of, scale], strict=True):
        values, truth = values_of(np.random.default_rng(seeds), (REPEATS, seeds))
        low, high = mean_interval(values, scale)
        held = 100 * np.mean((low <= truth) & (truth <= high))
        assert held == pytest.approx(expected, abs=2.5), (seeds, held)


def test_means_of_transformed_values_would_cover_another_quantity():
    # The mean of logits is not the logit of the mean: with 40 seeds its interval misses the mean.
    values, truth = accuracy(np.random.default_rng(0), (REPEATS, 40))
    low, high = mean_interval(scipy.special.logit(values))
    held = np.mean((low <= scipy.special.logit(truth)) & (scipy.special.logit(truth) <= high))
    assert held < 0.3


@pytest.mark.parametrize("seeds", SEEDS)
def test_no_interval_leaves_the_range_of_its_quantity(seeds):
    values, _ = two_groups(np.random.default_rng(seeds), (500, seeds))
    low, high = mean_interval(np.clip(values, 0, 1), "unit")
    assert np.isfinite(low).all() and (low > 0).all() and (high < 1).all()
    low, high = mean_interval(
        strongly_skewed(np.random.default_rng(0), (500, seeds))[0], "positive"
    )
    assert (low > 0).all() and np.isfinite(high).all()


def test_bounds_of_three_scales_by_hand():
    # Four withheld accuracies of which one network learned the function: mean .36, s .4300,
    # t(3) = 3.1824, so h = .6843; on the logit scale the half width is h / (.36 · .64) = 2.970.
    values = np.array([0.02, 0.06, 0.42, 0.94])
    half = 3.182446 * values.std(ddof=1) / 2
    assert mean_interval(values) == pytest.approx((0.36 - half, 0.36 + half))
    low, high = mean_interval(values, "unit")
    center = np.log(0.36 / 0.64)
    expected = [1 / (1 + np.exp(-(center + side * half / (0.36 * 0.64)))) for side in (-1, 1)]
    assert (low, high) == pytest.approx(expected)
    assert mean_interval(values, "positive") == pytest.approx(
        (0.36 * np.exp(-half / 0.36), 0.36 * np.exp(half / 0.36))
    )


def test_real_interval_equals_scipy():
    values = np.random.default_rng(5).normal(2.0, 1.0, size=(4, 12))
    low, high = mean_interval(values)
    for i, row in enumerate(values):
        expected = scipy.stats.ttest_1samp(row, 0.0).confidence_interval(0.95)
        assert (low[i], high[i]) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("scale", ["real", "positive", "unit"])
def test_nan_entries_are_left_out(scale):
    values = np.random.default_rng(5).uniform(0.2, 0.4, size=(4, 12))
    with_gap = np.insert(values, 3, np.nan, axis=1)
    assert np.allclose(mean(with_gap), values.mean(axis=1))
    assert np.allclose(mean_interval(with_gap, scale), mean_interval(values, scale))


@pytest.mark.parametrize("scale", ["real", "positive", "unit"])
def test_no_interval_where_there_can_be_none(scale):
    nothing = [[np.nan, 0.5], [np.nan, np.nan], [0.25, 0.25], [0.1, 0.1]]
    assert np.isnan(mean_interval(np.array(nothing), scale)).all()
    assert np.isnan(mean_interval(np.full(7, 0.1), scale)).all()  # the mean is rounded
    assert np.isnan(mean_interval(np.empty((2, 0)), scale)).all()
    assert np.isnan(mean(np.empty((2, 0)))).all()
    if scale != "real":  # a mean on the border, or past it
        assert np.isnan(mean_interval(np.array([-0.1, 0.1]), scale)).all()
    if scale == "unit":
        assert np.isnan(mean_interval(np.array([0.9, 1.1]), scale)).all()


def test_groups_of_seeds_are_found_and_rarely_invented():
    rng = np.random.default_rng(7)

    def share(values_of, seeds):
        return np.mean(
            [groups_of_seeds(row) is not None for row in values_of(rng, (1000, seeds))[0]]
        )

    assert share(two_groups, 10) > 0.85 and share(two_groups, 40) > 0.99
    assert share(normal, 10) < 0.02 and share(normal, 40) < 0.01
    assert share(mildly_skewed, 10) < 0.08
    low, high = groups_of_seeds([0.9, 0.91, 0.1, 0.92, 0.9, 0.89, 0.11, 0.9, 0.9, 0.91])
    assert (len(low), len(high)) == (2, 8) and high.mean() == pytest.approx(0.90375)
    assert groups_of_seeds([0.9] * 8 + [0.1]) is None  # nine seeds are too few to tell


def test_there_is_no_verdict_on_two_groups_below_twenty_seeds():
    ten = np.array([0.9, 0.91, 0.1, 0.92, 0.9, 0.89, 0.11, 0.9, 0.9, 0.91])
    assert not can_be_judged(ten)
    assert can_be_judged(np.concatenate([ten, ten]))
    assert can_be_judged(np.arange(10.0)) and can_be_judged([1.0, 2.0])
    assert not can_be_judged([1.0]) and not can_be_judged([1.0, np.nan])


def test_a_missing_number_satisfies_no_comparison():
    assert [against(0.9, 1.1, level) for level in (0.5, 1.0, 2.0)] == ["above", "inside", "below"]
    for numbers in ((np.nan, 1.1, 1), (0.9, np.nan, 1), (0.9, 1.1, np.nan), (np.nan,) * 3):
        assert against(*numbers) == ""


def test_simultaneous_intervals_hold_together():
    rng = np.random.default_rng(8)
    low, high = mean_interval(rng.normal(size=(2000, 11, 5)), confidence=simultaneous(11))
    together = np.mean(((low <= 0) & (high >= 0)).all(axis=1))
    assert together == pytest.approx(0.95, abs=0.015)
    low, high = mean_interval(rng.normal(size=(2000, 11, 5)))
    assert np.mean(((low <= 0) & (high >= 0)).all(axis=1)) < 0.65


def test_difference_interval_equals_scipy_and_covers():
    rng = np.random.default_rng(9)
    first, second = rng.normal(1.0, 0.2, 4), rng.normal(1.3, 0.5, 9)
    found = scipy.stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert difference_interval(first, second) == pytest.approx((found.low, found.high))
    assert np.isnan(difference_interval(first, second[:1])).all()
    assert np.isnan(difference_interval(first[:1], second)).all()


@pytest.mark.parametrize("seeds", [4, 12])
def test_seeds_vary_not_cells(seeds):
    # The cells of a seed move together, as its data do: three cells say no more than one.
    common = np.random.default_rng(3).normal(1.0, 0.1, size=seeds)
    together = interval_over_seeds(np.tile(common, (3, 1)))
    assert together == pytest.approx(interval_over_seeds(common[None]))
    assert together == pytest.approx(mean_interval(common))
    cells = common + np.array([[-0.2], [0.0], [0.5]])
    center, shifted = mean_over_cells(cells), interval_over_seeds(cells)
    assert center == pytest.approx(common.mean() + 0.1)
    assert shifted == pytest.approx((together[0] + 0.1, together[1] + 0.1))


def _designs(design):
    """Which of 8 seeds each of 4 cells has."""
    held = np.ones((4, 8), bool)
    if design == "disjoint":
        held = np.repeat(np.eye(4, dtype=bool), 2, axis=1)
    if design == "incomplete":
        held[0, 5:] = held[2, :3] = False
    return held


@pytest.mark.parametrize("design", ["balanced", "disjoint", "incomplete"])
def test_intervals_over_seeds_cover_for_every_design(design):
    rng, held = np.random.default_rng(10), _designs(design)
    covered = []
    for _ in range(1000):
        values = 1 + rng.normal(0, 0.1, 8) + rng.normal(0, 0.1, (4, 8)) + np.arange(4)[:, None]
        low, high = interval_over_seeds(np.where(held, values, np.nan))
        covered.append(low <= 2.5 <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.025)


def _cells_of(counts, step):
    """Which seeds each cell has: counts[c] of them from c·step on, or where the last cell ends."""
    starts = np.arange(len(counts)) * step if step else np.cumsum([0, *counts[:-1]])
    seeds = np.arange(max(np.add(starts, counts)))
    return (seeds >= starts[:, None]) & (seeds < (starts + counts)[:, None])


@pytest.mark.parametrize("spread", [0.0, 0.44])  # of the logarithm of cells' standard deviations
@pytest.mark.parametrize(
    ("counts", "step"),
    [
        ((2, 10), 0),
        pytest.param(*((2, 3, 4, 10), 0), marks=pytest.mark.slow),
        pytest.param(*((3, 5, 9), 0), marks=pytest.mark.slow),
        pytest.param(*((5, 5), 0), marks=pytest.mark.slow),
        pytest.param(*((2, 2, 2), 1), marks=pytest.mark.slow),
        pytest.param(*((3, 3), 2), marks=pytest.mark.slow),
        ((10, 2), 1),  # one cell's seeds are among the other's
        pytest.param(*((9, 10, 10), 1), marks=pytest.mark.slow),
    ],
)
def test_intervals_over_seeds_of_unequal_cells_cover(counts, step, spread):
    # 1000 repetitions have a standard error of .7 points.
    rng, held = np.random.default_rng(12), _cells_of(counts, step)
    covered = []
    for _ in range(1000):
        scales = 0.1 * np.exp(spread * rng.normal(size=(len(counts), 1)))
        noise = rng.normal(size=held.shape[1]) + rng.normal(size=held.shape)
        values = scales * noise + np.arange(len(counts))[:, None]
        low, high = interval_over_seeds(np.where(held, values, np.nan))
        covered.append(low <= (len(counts) - 1) / 2 <= high)
    assert np.mean(covered) > 0.93


def test_intervals_over_seeds_of_two_disjoint_cells_are_between_welch_and_the_smaller_cell():
    # Cells without a seed in common are two samples: half of Welch's difference, with one's sign
    # turned. Degrees of freedom: never more than of equal variances, (1/3 + 1/9)² / (1/18 + 1/648).
    rng = np.random.default_rng(13)
    first, second = rng.normal(1, 1, 3), rng.normal(2, 1, 9)
    values = np.full((2, 12), np.nan)
    values[0, :3], values[1, 3:] = first, second
    low, high = interval_over_seeds(values)
    error = np.sqrt(first.var(ddof=1) / 3 + second.var(ddof=1) / 9) / 2
    fewest, most = 2, (1 / 3 + 1 / 9) ** 2 / (1 / 18 + 1 / 648)
    factor = (high - low) / 2 / error
    assert (low + high) / 2 == pytest.approx((first.mean() + second.mean()) / 2)
    assert scipy.stats.t.ppf(0.975, most) * (1 - 1e-9) <= factor
    assert factor <= scipy.stats.t.ppf(0.975, fewest)


def test_cells_of_their_own_seeds_that_are_all_equal_have_no_interval():
    alone = np.full((2, 5), np.nan)
    alone[0, :2], alone[1, 2:] = 0.9333, [0.1, 0.2, 0.4]
    assert np.isnan(interval_over_seeds(alone)).all()
    assert np.isnan(interval_over_seeds(np.full((3, 4), 0.1))).all()
    shared = np.stack([np.full(3, 0.9333), [0.1, 0.2, 0.4]])  # the means of three seeds do differ
    assert interval_over_seeds(shared) == pytest.approx(mean_interval(shared.mean(axis=0)))


def test_seeds_of_cells_that_differ_are_no_groups_of_seeds():
    rng, held = np.random.default_rng(14), _cells_of((5, 6), 0)
    values = np.where(held, rng.normal([[0.1], [0.9]], 0.01, held.shape), np.nan)
    assert not can_be_judged(mean(values.T))  # means of other cells, not of other seeds
    assert can_be_judged(seed_means(values))
    assert mean(seed_means(values)) == pytest.approx(mean_over_cells(values))
    complete = rng.normal(size=(3, 5))
    np.testing.assert_array_equal(seed_means(complete), mean(complete.T))


def test_a_cell_with_one_seed_has_no_interval():
    values = np.random.default_rng(4).normal(size=(3, 5))
    values[0, 1:] = np.nan
    assert np.isnan(interval_over_seeds(values)).all()
    assert np.isfinite(interval_over_seeds(values[1:])).all()
    assert np.isnan(interval_over_seeds(np.empty((0, 0)))).all()


def test_rank_correlation_with_ties_and_degenerate_input():
    assert rank_correlation([1, 2, 2, 3], [0.1, 0.2, 0.2, 0.9]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation([1, 1, 2], [1, 2, 3]))
    assert np.isnan(rank_correlation([1, 2, 3], [1, 1, 1]))
    assert np.isnan(rank_correlation([1, 2, np.nan], [1, 2, 3]))


def exact_rank_correlation(first, second):
    """Pearson's correlation of mean ranks, in fractions until the root."""
    ranks = [
        [Fraction(sum(b < a for b in own) + sum(b <= a for b in own) + 1, 2) for a in own]
        for own in (first, second)
    ]
    middle = Fraction(len(first) + 1, 2)
    x, y = ([rank - middle for rank in own] for own in ranks)
    product = sum(a * b for a, b in zip(x, y, strict=True))
    return float(product) / float(sum(a * a for a in x) * sum(b * b for b in y)) ** 0.5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_last_bit_breaks_no_tie_of_ranks(dtype):
    # Sums of the same tenths in another order; in float64 one that is 0 but for rounding.
    tenths = [(1, 2), (3,), (8, -5), (1, 1, 1), (5,), (7, 1, 1), (9,), (), (7, 1)]
    tenths[6] = (3, -1, -2) if dtype is np.float64 else tenths[6]
    exact = [Fraction(sum(terms), 10) for terms in tenths]
    first = [float(sum((dtype(t) / dtype(10) for t in terms), dtype(0))) for terms in tenths]
    assert len(set(first)) > len(set(exact)), "no last bit to break a tie"
    second = [Fraction(k, 3) for k in (4, 1, 3, 2, 5, 9, 7, 6, 8)]
    expected = exact_rank_correlation(exact, second)
    for own in (first, first[::-1]):
        other = second if own is first else second[::-1]
        assert rank_correlation(own, list(map(float, other))) == pytest.approx(expected, abs=1e-12)
        assert rank_correlation(list(map(float, other)), own) == pytest.approx(expected, abs=1e-12)


def test_numbers_that_differ_stay_different():
    # The finest of exact influences of 20 bits, and errors far below the largest.
    values = np.array([0.5, 0.5 + 2**-20, 0.5 + 2**-19, 3e-9, 3.001e-9, 1e-11, -1e-11, -0.5])
    np.testing.assert_array_equal(without_rounding(values), values)
    with_rounding = np.array([0.3, 0.1 + 0.2, 1e-17, 0.0, -1e-17, -0.3, -0.1 - 0.2])
    assert without_rounding(with_rounding).tolist() == [0.3, 0.3, *[-1e-17] * 3, *[-0.1 - 0.2] * 2]
    assert without_rounding(np.array([])).tolist() == []


@pytest.mark.parametrize("pairs", [6, 10, 30])
def test_interval_of_a_rank_correlation_covers_and_stays_in_its_range(pairs):
    rng = np.random.default_rng(11)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's of a normal pair with correlation .6
    covered = []
    for _ in range(800):
        first = rng.normal(size=pairs)
        second = 0.6 * first + 0.8 * rng.normal(size=pairs)
        low, high = rank_correlation_interval(first, second)
        covered.append(low <= truth <= high)
        assert -1 <= low <= high <= 1 or np.isnan(low)
    assert np.mean(covered) > 0.92
    assert np.isnan(rank_correlation_interval([1, 2, 3], [1, 3, 2])).all()


@pytest.mark.parametrize("seeds", SEEDS)
def test_intervals_of_differences_of_shares_stay_within_their_range_and_cover(seeds):
    # A skewed difference (most of it is lost, .84 in the mean), and one around 0.
    rng = np.random.default_rng(seeds)
    lost = rng.beta(40, 0.5, (REPEATS, seeds)) - rng.beta(0.8, 4, (REPEATS, seeds))
    none = rng.beta(8, 2, (REPEATS, seeds)) - rng.beta(8, 2, (REPEATS, seeds))
    for values, truth in ((lost, 40 / 40.5 - 0.8 / 4.8), (none, 0.0)):
        low, high = mean_interval(values, "signed")
        assert ((low > -1) & (high < 1)).all()
        assert 0.92 < np.mean((low <= truth) & (truth <= high)) < 0.98


def test_crossing_is_linear_in_the_logarithm():
    sizes = np.array([100, 1000, 10000])
    assert crossing(sizes, np.array([0.5, 0.9, 1.0]), 0.95) == pytest.approx(1000 * 10**0.5)
    assert crossing(sizes, np.array([0.95, 0.9, 1.0]), 0.95) == 100
    in_float32 = float(np.float32(19) / np.float32(20))
    assert in_float32 < 0.95 and crossing(sizes, np.array([in_float32, 0.9, 1.0]), 0.95) == 100
    assert crossing(sizes, np.array([0.5, 0.6, in_float32]), 0.95) == pytest.approx(10_000)
    assert crossing(sizes, np.array([0.5, 0.6, 0.7]), 0.95) == math.inf
    assert crossing(sizes, np.array([0.9, math.nan, 1.0]), 0.95) == pytest.approx(1000)
    assert math.isnan(crossing(sizes, np.full(3, math.nan), 0.95))
    # Whether the last, which is missing, reaches it is not known.
    assert math.isnan(crossing(sizes, np.array([0.5, 0.9, math.nan]), 0.95))
    # At 0 there is no logarithm to start from.
    assert crossing(np.array([0, 256, 2560]), np.array([0.1, 0.96, 1.0]), 0.95) == 256


def test_a_fit_is_unfinished_above_one_percent_of_the_error_of_the_best_constant():
    errors = np.array([0.0051, 0.0049, math.nan])
    assert unfinished(errors, np.full(3, 0.5)).tolist() == [True, False, False]
