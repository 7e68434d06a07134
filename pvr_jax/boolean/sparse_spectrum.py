"""The large Fourier coefficients of a function on any number of coordinates, found by sampling.

The algorithm of Goldreich and Levin in the form of Kushilevitz and Mansour: sets are extended by
one coordinate at a time, and a part of all sets is searched further while their weight is large.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # loads scipy.special, which takes long, where it is used
from jax.tree_util import Partial

from pvr_jax import checks
from pvr_jax.boolean import sampling
from pvr_jax.boolean.estimates import (
    CONFIDENCE,
    HIGHEST,
    STREAM,
    Estimate,
    Function,
    Moments,
    Samples,
    stream,
    streamed,
    traceable,
    uniform_points,
    values_at,
)

# Of the mean square, from which the numbers of points follow.
PILOT_POINTS = 2**14
LEAST_SUFFIXES, LEAST_PREFIXES = 256, 8
# Standard errors of found coefficients are at most the threshold over 20.
REFINED_POINTS_PER_SQUARE = 400
MOST_BUCKETS = 2**16


class SparseSpectrum(NamedTuple):
    """What `search` found.

    Attributes:
        sets: the coordinates of every found set, the largest coefficients first.
        coefficients: [M], from points that the search did not use.
        threshold: τ, the size of the coefficients that were searched for.
        complete_above: no set with |f^(S)| above this was missed, with the given confidence. What
            is below is not shown to be zero.
        mean_square: E f², the sum of the squares of all coefficients.
        explained: E f² - E (f - h)², h the sum of the found coefficients times characters.
        confidence: of `complete_above`; and of the intervals of all coefficients; and of those of
            the last two numbers.
        evaluations: at about how many points f was evaluated.
    """

    sets: list[tuple[int, ...]]
    coefficients: Estimate
    threshold: float
    complete_above: float
    mean_square: Estimate
    explained: Estimate
    confidence: float
    evaluations: int

    def statement(self) -> str:
        """Return in words what was found, and what was not shown."""
        share = self.explained.value / self.mean_square.value if self.mean_square.value > 0 else 0
        return (
            f"{len(self.sets)} coefficients found, searching for those of size "
            f"{self.threshold:g} or more; they explain {100 * share:.1f} % of the mean square. "
            f"With {100 * self.confidence:g} % confidence, no coefficient above "
            f"{self.complete_above:.3g} was missed. The remaining coefficients are not shown to be "
            f"zero. {self.evaluations:,} evaluations."
        )


def search(
    function: Function,
    n: int,
    threshold: float,
    key: jax.Array,
    *,
    suffixes: int | None = None,
    prefixes: int | None = None,
    points: int | None = None,
    confidence: float = CONFIDENCE,
) -> SparseSpectrum:
    """Find all sets S with |f^(S)| of at least `threshold`.

    The weight Σ f^(S)² of all S whose part in the first l coordinates is A is
    E_z (E_x f(x, z) χ_A(x))², x being the first l coordinates and z the others. Every z gets r
    prefixes x, and the mean of f χ_A over pairs of different prefixes is an unbiased estimate, with
    a standard error from its spread over z. (The square of the mean over prefixes would be too
    large by a variance over r, and junk would be searched on.) One set of points per l serves all
    A. What weighs at least threshold² / 2 is extended by the next coordinate. The found
    coefficients are estimated again from fresh points.

    By default r = E f² / (2 threshold²), and the number of z is such that threshold² / 2 is as many
    standard errors as the joint confidence needs for a set whose coefficient is just at the
    threshold. Then about 700 E f² / threshold² points are evaluated for each of the n coordinates.

    Args:
        function: f, x[b, n] -> y[b].
        n: number of coordinates.
        threshold: τ > 0, in units of f.
        key: of the random points.
        suffixes: the number of z per coordinate.
        prefixes: the number r of x per z, at least 2.
        points: for the final estimates; by default at least 400 E f² / threshold².
        confidence: of the statement and of the intervals.

    Raises:
        Refusal: more than 65,536 parts of the sets weigh threshold² / 2 each.

    Sources: Goldreich and Levin 1989; Kushilevitz and Mansour 1993; O'Donnell 2014, section 3.5.

    >>> import jax
    >>> from pvr_jax.boolean import sparse_spectrum
    >>> f = lambda x: x[:, 0] * x[:, 7] + x[:, 5] / 2
    >>> sparse_spectrum.search(f, 8, 0.4, jax.random.key(0)).sets
    [(0, 7), (5,)]
    """
    threshold = checks.above(0).check("threshold", threshold)
    pilot, searched, refining = jax.random.split(jax.random.fold_in(key, STREAM), 3)
    function = traceable(function)
    square = sampling.moments(function, n, pilot, points=PILOT_POINTS)["mean_square"].value
    relative = float(square) / threshold**2
    tail = (1 - confidence) / (n + 1)
    # Of a part at the threshold, the variance per z is at most (4 threshold²)² with these r: half
    # from noise in both factors, half from noise in one.
    z = scipy.special.ndtri(1 - tail / max(4 * relative, 1))
    suffixes = suffixes or max(LEAST_SUFFIXES, math.ceil((8 * z) ** 2))
    prefixes = prefixes or max(LEAST_PREFIXES, math.ceil(relative / 2))
    checks.integer(2).check("suffixes", suffixes)
    checks.integer(2).check("prefixes", prefixes)
    least = threshold**2 / 2

    alive, missed, evaluations = np.zeros((1, n), bool), 0.0, PILOT_POINTS
    for level in range(1, n + 1):
        extended = alive.copy()
        extended[:, level - 1] = True
        alive = np.concatenate([alive, extended])
        parts = weights(
            function, alive, level, jax.random.fold_in(searched, level), suffixes, prefixes
        )
        upper = _upper(parts, tail)
        keeps = parts.mean >= least
        missed = max(missed, upper[~keeps].max(initial=0.0))
        alive = alive[keeps]
        evaluations += int(parts.count) * prefixes
        if not len(alive):
            break
        if len(alive) > MOST_BUCKETS:
            raise checks.invalid(
                "threshold", threshold, f"a larger one: {len(alive)} parts weigh half its square"
            )

    points = points or max(PILOT_POINTS, math.ceil(REFINED_POINTS_PER_SQUARE * relative))
    sets = [tuple(map(int, np.flatnonzero(row))) for row in alive]
    found = sampling.coefficients(function, n, sets, refining, points=points, confidence=confidence)
    evaluations += 2 * points
    sizes = np.abs(found.value)
    keeps = np.square(sizes) >= least
    quantile = -scipy.special.stdtrit(points - 1, tail / max(len(sets), 1))
    upper = np.square(sizes + quantile * found.standard_error)
    missed = max(missed, upper[~keeps].max(initial=0.0))
    order = [place for place in np.argsort(-sizes, kind="stable") if keeps[place]]
    sets = [sets[place] for place in order]
    found = Estimate(*(array[order] for array in found))
    energy = explained_energy(function, n, sets, found.value, refining, points, confidence)
    return SparseSpectrum(
        sets, found, threshold, math.sqrt(missed), *energy, confidence, evaluations
    )


def explained_energy(
    function: Function,
    n: int,
    sets: list[tuple[int, ...]],
    values: np.ndarray,
    key: jax.Array,
    points: int,
    confidence: float = CONFIDENCE,
) -> tuple[Estimate, Estimate]:
    """Return estimates of E f² and of E f² - E (f - h)², h the sum of `values` times characters.

    `values` [M] must not come from points drawn from the same key by this function.
    """
    arguments = (
        traceable(function),
        jnp.asarray(sampling.members(sets, n)),
        jnp.asarray(values, jnp.float32),
    )
    sizes = (_block_size(len(sets)), n)
    key = jax.random.fold_in(key, 1)
    found = stream(_energy_samples, key, points, sizes, arguments, confidence)
    return found["mean_square"], found["explained"]


def _energy_samples(
    key: jax.Array,
    sizes: tuple[int, int],
    function: Partial,
    chosen: jax.Array,
    values: jax.Array,
) -> Samples:
    x = uniform_points(key, sizes)
    y = values_at(function, x)
    h = jnp.matmul(sampling.characters(x, chosen), values, precision=HIGHEST).astype(y.dtype)
    return {"mean_square": (jnp.square(y), None), "explained": (h * (2 * y - h), None)}


def _upper(weights: Moments, tail: float) -> np.ndarray:
    """Return upper limits [B] of the weights that hold jointly, except with probability `tail`."""
    freedom = weights.count - 1
    error = np.sqrt(weights.squares / freedom / weights.count)
    return weights.mean - scipy.special.stdtrit(freedom, tail / len(error)) * error


def weights(
    function: Partial,
    alive: np.ndarray,
    level: int,
    key: jax.Array,
    suffixes: int,
    prefixes: int,
) -> Moments:
    """Return the moments over z of the weights of B parts, bool [B, n]."""
    # Programs are compiled for powers of two; the rows that are added are dropped.
    count = 1 << max(3, (len(alive) - 1).bit_length())
    padded = jnp.asarray(np.pad(alive, ((0, count - len(alive)), (0, 0))))
    sizes = (max(1, _block_size(count) // prefixes), alive.shape[1], prefixes)
    arguments = (function, padded, np.int32(level))
    (total,) = streamed(_weight_samples, key, suffixes, sizes, arguments).values()
    return Moments(total.count, total.mean[: len(alive)], total.squares[: len(alive)])


def _weight_samples(
    key: jax.Array,
    sizes: tuple[int, int, int],
    function: Partial,
    alive: jax.Array,
    level: jax.Array,
) -> Samples:
    suffixes, n, prefixes = sizes
    of_suffix, of_prefix = jax.random.split(key)
    suffix = uniform_points(of_suffix, (suffixes, 1, n))
    prefix = uniform_points(of_prefix, (suffixes, prefixes, n))
    is_prefix = (jnp.arange(n) < level)[None, None]
    x = jnp.where(is_prefix, prefix, suffix).reshape(-1, n)
    y = values_at(function, x).reshape(suffixes, prefixes)
    signs = sampling.characters(x, alive).reshape(suffixes, prefixes, -1).astype(y.dtype)
    sums = jnp.einsum("zr,zrb->zb", y, signs, precision=HIGHEST)
    itself = jnp.square(y).sum(axis=1)[:, None]
    return {"weights": ((jnp.square(sums) - itself) / (prefixes * (prefixes - 1)), None)}


def _block_size(sets: int) -> int:
    return max(1, min(sampling.BLOCK, sampling.MOST_CHARACTERS // max(1, sets)))
