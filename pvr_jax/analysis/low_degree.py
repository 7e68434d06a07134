"""The low-degree part of a function on any number of coordinates, by regression with LASSO."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from pvr_jax import checks
from pvr_jax.boolean import sampling, sparse_spectrum
from pvr_jax.boolean.estimates import (
    CONFIDENCE,
    STREAM,
    Estimate,
    Function,
    traceable,
    uniform_points,
    values_at,
)

BLOCK = 2**10
MOST_ENTRIES = 2**28  # of the matrix of characters, 1 GiB in float32
# The penalty follows the standard deviation of the residual until that changes by less.
MOST_ROUNDS, TOLERANCE = 20, 0.01


class LowDegreeFit(NamedTuple):
    """What `low_degree_lasso` found.

    Attributes:
        sets: the coordinates of every found set, the largest coefficients first.
        coefficients: [M], from points that the regression did not use.
        max_degree: the largest degree that was searched. Nothing is said of larger ones.
        penalty: of the regression, which finds no coefficient well below this.
        mean_square: E f².
        explained: E f² - E (f - h)², h the sum of the found coefficients times characters.
    """

    sets: list[tuple[int, ...]]
    coefficients: Estimate
    max_degree: int
    penalty: float
    mean_square: Estimate
    explained: Estimate


def low_degree_lasso(
    function: Function,
    n: int,
    max_degree: int,
    key: jax.Array,
    *,
    points: int = 2**14,
    refined_points: int = sampling.POINTS,
    confidence: float = CONFIDENCE,
) -> LowDegreeFit:
    """Find the sets of at most `max_degree` coordinates with large Fourier coefficients.

    Regression on all p characters up to that degree with an L1 penalty: σ √(2 ln p / points), σ the
    standard deviation of the residual, which includes all of f of higher degree. The selected
    coefficients are then estimated without bias from fresh points, and those whose interval
    contains 0 are left out. It needs far fewer evaluations than `sparse_spectrum.search` if p is
    small.

    Args:
        function: f, x[b, n] -> y[b].
        n: number of coordinates.
        max_degree: the largest degree.
        key: of the random points.
        points: of the regression; points times p is at most 2^28.
        refined_points: of the final estimates.
        confidence: of the intervals of all coefficients, jointly.

    Source: Sun and Zhang 2012, for σ.

    >>> import jax
    >>> from pvr_jax.analysis import low_degree
    >>> f = lambda x: x[:, 0] * x[:, 9] + x[:, 19] / 2
    >>> found = low_degree.low_degree_lasso(
    ...     f, 20, 2, jax.random.key(0), points=2048, refined_points=4096
    ... )
    >>> found.sets
    [(0, 9), (19,)]
    """
    checks.integer(2).check("points", points)
    checks.integer(0, n).check("max_degree", max_degree)
    count = sum(math.comb(n, d) for d in range(max_degree + 1))
    if points * count > MOST_ENTRIES:
        allowed = f"one with at most {MOST_ENTRIES // points} sets, or fewer points"
        raise checks.invalid("max_degree", f"{max_degree}, with {count} sets", allowed)
    candidates = sampling.sets_up_to(n, max_degree)
    regression, refining = jax.random.split(jax.random.fold_in(key, STREAM))
    signs, y = _rows(traceable(function), n, candidates, regression, points)
    weights, penalty = _scaled_lasso(signs, y)
    sets = [candidates[place] for place in np.flatnonzero(weights)]
    shared = {"points": refined_points, "confidence": confidence}
    found = sampling.coefficients(function, n, sets, refining, **shared)
    order = [p for p in np.argsort(-np.abs(found.value)) if not found.low[p] <= 0 <= found.high[p]]
    sets = [sets[place] for place in order]
    found = Estimate(*(array[order] for array in found))
    energy = sparse_spectrum.explained_energy(function, n, sets, found.value, refining, **shared)
    return LowDegreeFit(sets, found, max_degree, penalty, *energy)


def _rows(
    function: Partial, n: int, sets: Sequence[Sequence[int]], key: jax.Array, points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return characters float32 [points, p], and the values of the function [points]."""
    chosen = jnp.asarray(sampling.members(sets, n))
    signs = np.empty((points, len(sets)), np.float32, order="F")
    y = np.empty(points, np.float32)
    for first in range(0, points, BLOCK):
        own = slice(first, min(first + BLOCK, points))
        block = _row_block(function, chosen, jax.random.fold_in(key, first))
        signs[own], y[own] = (np.asarray(array)[: own.stop - first] for array in block)
    return signs, y


@jax.jit
def _row_block(function: Partial, chosen: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    x = uniform_points(key, (BLOCK, chosen.shape[1]))
    return sampling.characters(x, chosen), values_at(function, x)


def _scaled_lasso(signs: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the coefficients [p] of the regression on characters [N, p], and its penalty."""
    from sklearn.linear_model import Lasso  # takes a second; other analysis does not need it

    unit = math.sqrt(2 * math.log(max(signs.shape[1], 2)) / len(y))
    coefficients, penalty = np.zeros(signs.shape[1]), 0.0
    sigma, before = float(np.sqrt(np.mean(np.square(y)))), math.inf
    smallest = 1e-6 * sigma  # of a function that is fitted exactly
    model = Lasso(fit_intercept=False, copy_X=False, warm_start=True, max_iter=10_000, tol=1e-4)
    for _ in range(MOST_ROUNDS):
        if sigma <= smallest or abs(before - sigma) <= TOLERANCE * sigma:
            break
        penalty = sigma * unit
        coefficients = model.set_params(alpha=penalty).fit(signs, y).coef_
        before, sigma = sigma, float((y - signs @ coefficients).std())
    return coefficients, penalty
