"""Means over replicas and their 95 % intervals."""

import math
from collections.abc import Iterable

import numpy as np
import scipy.stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0
# With fewer replicas the percentile bootstrap is clearly too narrow: of 95 % intervals of normal
# values, 51 % hold the mean with 2 replicas, 74 % with 3, 84 % with 5 and 91 % with 10.
FEW_REPLICAS = 10
FEWEST_PAIRS = 4  # of which a rank correlation can have an interval

# Resampled values held in memory at one time; bounds memory for many bits and many replicas.
_VALUES_PER_BATCH = 20_000_000


def mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of `values` [..., R] over its last axis.

    NaN entries are left out; a row without any finite entry gives NaN.
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    counts = finite.sum(axis=-1)
    totals = np.where(finite, values, 0.0).sum(axis=-1)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def mean_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds [...] of the 95 % interval of the mean of `values` [..., R] that is shown.

    Row by row, by its finite entries: the percentile bootstrap of `FEW_REPLICAS` or more,
    Student's t of fewer; NaN bounds of fewer than two.
    """
    few = np.isfinite(np.asarray(values, dtype=float)).sum(axis=-1) < FEW_REPLICAS
    student, bootstrap = student_interval(values), bootstrap_interval(values)
    return tuple(np.where(few, *bounds) for bounds in zip(student, bootstrap, strict=True))


def interval_words(counts: Iterable[int]) -> str:
    """Return what `mean_interval` gives for these numbers of replicas, in words."""
    counts = [count for count in counts if count >= 2]
    bootstrap = f"percentile bootstrap interval of the mean, {RESAMPLES} resamples"
    student = "Student's t interval of the mean"
    if all(count >= FEW_REPLICAS for count in counts):
        return bootstrap
    if all(count < FEW_REPLICAS for count in counts):
        return student
    return f"{bootstrap}, or, with fewer than {FEW_REPLICAS} replicas, {student}"


def bootstrap_interval(
    values: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds [...] of the percentile bootstrap interval of the mean over the last axis.

    `values` [..., R] holds one entry per replica; NaN entries are left out. A row with fewer
    than two finite entries has no interval (NaN bounds); a row of equal entries has an interval of
    width zero. Every row is resampled from the same seed, so its interval does not depend on which
    other rows are passed with it.
    """
    values = np.asarray(values, dtype=float)
    rows = values.reshape(math.prod(values.shape[:-1]), values.shape[-1])
    finite = np.isfinite(rows)
    counts = finite.sum(axis=-1)
    low = np.full(len(rows), np.nan)
    high = np.full(len(rows), np.nan)
    for count in np.unique(counts[counts >= 2]):
        chosen = np.flatnonzero(counts == count)
        sample = rows[chosen][finite[chosen]].reshape(len(chosen), count)
        constant = np.ptp(sample, axis=-1) == 0
        low[chosen[constant]] = high[chosen[constant]] = sample[constant, 0]
        chosen, sample = chosen[~constant], sample[~constant]
        if len(chosen) == 0:
            continue
        result = scipy.stats.bootstrap(
            (sample,),
            np.mean,
            axis=-1,
            vectorized=True,
            method="percentile",
            confidence_level=confidence,
            n_resamples=resamples,
            batch=min(resamples, max(1, _VALUES_PER_BATCH // sample.size)),
            rng=np.random.default_rng(seed),
        )
        low[chosen] = result.confidence_interval.low
        high[chosen] = result.confidence_interval.high
    return low.reshape(values.shape[:-1]), high.reshape(values.shape[:-1])


def student_interval(
    values: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds [...] of Student's t interval of the mean of `values` [..., R].

    NaN entries are left out; fewer than two finite entries give NaN bounds.
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    counts = finite.sum(axis=-1)
    center = mean(values)
    squares = np.where(finite, (values - center[..., None]) ** 2, 0.0).sum(axis=-1)
    freedom = np.maximum(counts - 1, 1)
    standard_error = np.sqrt(squares / freedom / np.maximum(counts, 1))
    half_width = scipy.stats.t.ppf((1 + confidence) / 2, freedom) * standard_error
    half_width = np.where(counts >= 2, half_width, np.nan)
    return center - half_width, center + half_width


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rank correlation of `first` [N] with `second` [N], ties at mean rank.

    Pairs with a NaN are left out. NaN where it says nothing: fewer than three distinct values
    in `first`, or only one in `second`.
    """
    first = np.asarray(first, dtype=float)
    second = np.asarray(second, dtype=float)
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    if len(np.unique(first)) < 3 or len(np.unique(second)) < 2:
        return float("nan")
    return float(scipy.stats.spearmanr(first, second).statistic)


def rank_correlation_interval(
    first: np.ndarray,
    second: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of Spearman's rank correlation over the N pairs.

    Pairs with a NaN are left out, and so are resamples in which one side is constant. NaN bounds
    with fewer than four pairs left, or where `rank_correlation` is NaN.
    """
    first = np.asarray(first, dtype=float)
    second = np.asarray(second, dtype=float)
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    if len(first) < FEWEST_PAIRS or math.isnan(rank_correlation(first, second)):
        return float("nan"), float("nan")
    chosen = np.random.default_rng(seed).integers(0, len(first), (resamples, len(first)))
    ranks = [scipy.stats.rankdata(values[chosen], axis=1) for values in (first, second)]
    ranks = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    scale = np.sqrt((ranks[0] ** 2).sum(axis=1) * (ranks[1] ** 2).sum(axis=1))
    products = (ranks[0] * ranks[1]).sum(axis=1)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(products[scale > 0] / scale[scale > 0], tails)
    return float(low), float(high)


def mean_over_cells(values: np.ndarray) -> float:
    """Return the mean over cells of the mean over seeds of `values` [C, S], NaN left out."""
    return float(mean(mean(values)))


def interval_over_seeds(
    values: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float]:
    """Return the interval of `mean_over_cells` of `values` [C, S], as of S replicas.

    Seeds are what varies, not cells, as replicas of one seed share their data: the percentile
    bootstrap draws seeds, one draw for all cells. With fewer than `FEW_REPLICAS` seeds it is
    Student's t interval, of every seed's mean distance from the means of its cells. NaN entries
    are left out; NaN bounds with fewer than two seeds.
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    values, finite = values[:, finite.any(axis=0)], finite[:, finite.any(axis=0)]
    seeds = values.shape[1]
    if seeds < 2:
        return float("nan"), float("nan")
    if seeds < FEW_REPLICAS:
        distances = mean((values - mean(values)[:, None]).T)
        low, high = mean_over_cells(values) + np.array(student_interval(distances, confidence))
        return float(low), float(high)
    chosen = np.random.default_rng(seed).integers(0, seeds, (resamples, seeds))
    weights = np.zeros((resamples, seeds))
    np.add.at(weights, (np.arange(resamples)[:, None], chosen), 1.0)
    counts = weights @ finite.T.astype(float)
    totals = weights @ np.where(finite, values, 0.0).T
    cells = np.where(counts > 0, totals / np.maximum(counts, 1.0), np.nan)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.nanquantile(mean(cells), tails)
    return float(low), float(high)
