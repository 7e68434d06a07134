"""Boolean measures from random points, for functions on more coordinates than can be listed.

A function is a callable on rows, x[b, n] in {-1, +1} -> y[b], that can be jitted. It is evaluated
at blocks of uniform random points in one compiled program, so memory is that of a block at any
number of points. If it is `jax.tree_util.Partial(apply, params)`, other `params` need no new
program. Every estimate is unbiased, with its standard error and an interval. The intervals of all
that one call returns hold jointly with the given confidence: Student's t at Bonferroni's level.

Standard errors are those of the points that were drawn. If none of N points has a property, it may
still hold for about 3 / N of all: a function that is constant on the sample gets the standard error
0. Points are drawn from a stream of their own, which shares no random numbers with other draws from
the same key.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jax.typing import ArrayLike

from pvr_jax import checks
from pvr_jax.boolean.estimates import (
    CONFIDENCE,
    HIGHEST,
    Estimate,
    Function,
    Samples,
    stream,
    traceable,
    uniform_points,
    values_at,
)
from pvr_jax.refusal import Refusal

Draw = Callable[[jax.Array], jax.Array]

POINTS = 2**17
BLOCK = 2**12
MOST_CHARACTERS = 2**24  # values of characters in memory at once
# Degree weights: the points of a block are paired with each other, and the standard error is that
# of the mean over blocks. These are skewed: with 128 of them, joint intervals of three weights hold
# 93 % of the time, with 256 94 to 95 %.
PAIRED_BLOCK = 2**10
FEWEST_BLOCKS = 256


def members(sets: Iterable[Sequence[int]], n: int) -> np.ndarray:
    """Return which coordinates are in which set: M sets of coordinates to bool [M, n].

    Raises ValueError if a coordinate is not from 0 to n-1 or is listed twice.

    >>> from pvr_jax.boolean import sampling
    >>> sampling.members([(), (0, 2)], 3).astype(int).tolist()
    [[0, 0, 0], [1, 0, 1]]
    """
    sets = [tuple(each) for each in sets]
    rows = np.zeros((len(sets), n), bool)
    for row, each in zip(rows, sets, strict=True):
        for coordinate in each:
            place = checks.bit_number(coordinate, n)
            if row[place]:
                raise Refusal(f"sets: given {coordinate} twice in {each}; allowed once each")
            row[place] = True
    return rows


def sets_up_to(n: int, max_degree: int) -> list[tuple[int, ...]]:
    """Return all sets of at most `max_degree` of n coordinates, smaller ones first.

    >>> from pvr_jax.boolean import sampling
    >>> sampling.sets_up_to(3, 2)
    [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    """
    degrees = range(max_degree + 1)
    return [each for d in degrees for each in itertools.combinations(range(n), d)]


def characters(x: jax.Array, chosen: ArrayLike) -> jax.Array:
    """Return χ_S(x) of points x [b, n] and sets bool [M, n], float [b, M], in the dtype of x."""
    # The number of -1 among the coordinates of S. A product of zeros and ones is exact in float32,
    # whatever precision an accelerator has for its factors.
    minus = jnp.matmul((x < 0).astype(jnp.float32), jnp.asarray(chosen).astype(jnp.float32).T)
    return 1 - 2 * (minus.astype(jnp.int32) & 1).astype(x.dtype)


def moments(
    function: Function,
    n: int,
    key: jax.Array,
    *,
    draw: Draw | None = None,
    points: int = POINTS,
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """Return `mean` E f and `mean_square` E f².

    Args:
        function: x[b, n] -> y[b].
        n: number of coordinates.
        key: of the random points.
        draw: `draw(key) -> x[n]`, such as `sample` of a seen set; None: uniform over the cube.
        points: how many, rounded up to whole blocks of 4096.
        confidence: of the intervals, jointly.

    >>> import jax
    >>> from pvr_jax.boolean import sampling
    >>> found = sampling.moments(lambda x: 2 + 0 * x[:, 0], 64, jax.random.key(0), points=4096)
    >>> float(found["mean_square"].value)
    4.0
    """
    arguments = (traceable(function), None if draw is None else traceable(draw))
    return stream(_moment_samples, key, points, (BLOCK, n), arguments, confidence)


def _moment_samples(
    key: jax.Array, sizes: tuple[int, int], function: Partial, draw: Partial | None
) -> Samples:
    x = (
        uniform_points(key, sizes)
        if draw is None
        else jax.vmap(draw)(jax.random.split(key, sizes[0]))
    )
    y = values_at(function, x)
    return {"mean": (y, None), "mean_square": (jnp.square(y), None)}


def coefficients(
    function: Function,
    n: int,
    sets: Iterable[Sequence[int]],
    key: jax.Array,
    *,
    points: int = POINTS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the Fourier coefficients f^(S) = E f χ_S of M chosen sets, [M], all from one stream.

    Args:
        function: x[b, n] -> y[b].
        n: number of coordinates.
        sets: the coordinates of every set.
        key: of the random points.
        points: how many, rounded up to whole blocks. Standard errors are at most √(E f² / points).
        confidence: of the intervals, jointly.

    >>> import jax
    >>> from pvr_jax.boolean import sampling
    >>> parity = lambda x: x[:, 0] * x[:, 63]
    >>> sampling.coefficients(parity, 64, [(0, 63)], jax.random.key(0), points=4096).value.tolist()
    [1.0]
    """
    chosen = members(sets, n)
    sizes = (max(1, min(BLOCK, MOST_CHARACTERS // max(1, len(chosen)))), n)
    arguments = (traceable(function), jnp.asarray(chosen))
    (found,) = stream(_coefficient_samples, key, points, sizes, arguments, confidence).values()
    return found


def _coefficient_samples(
    key: jax.Array, sizes: tuple[int, int], function: Partial, chosen: jax.Array
) -> Samples:
    x = uniform_points(key, sizes)
    y = values_at(function, x)
    return {"coefficients": (y[:, None] * characters(x, chosen).astype(y.dtype), None)}


def influences(
    function: Function,
    n: int,
    key: jax.Array,
    *,
    bits: Sequence[int] | None = None,
    points: int = POINTS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return Inf_k(f) = E[((f(x) - f(x with x_k flipped)) / 2)²] of every coordinate, [n].

    Args:
        function: x[b, n] -> y[b]; evaluated at 1 + len(bits) points for each one that is drawn.
        n: number of coordinates.
        key: of the random points.
        bits: the coordinates k; None: all.
        points: how many, rounded up to whole blocks.
        confidence: of the intervals, jointly.

    >>> import jax
    >>> from pvr_jax.boolean import sampling
    >>> parity = lambda x: x[:, 0] * x[:, 63]
    >>> found = sampling.influences(parity, 64, jax.random.key(0), bits=[0, 1], points=4096)
    >>> found.value.tolist()
    [1.0, 0.0]
    """
    chosen = range(n) if bits is None else [checks.bit_number(bit, n) for bit in bits]
    arguments = (traceable(function), jnp.asarray(list(chosen), jnp.int32))
    (found,) = stream(_influence_samples, key, points, (BLOCK, n), arguments, confidence).values()
    return found


def _influence_samples(
    key: jax.Array, sizes: tuple[int, int], function: Partial, bits: jax.Array
) -> Samples:
    x = uniform_points(key, sizes)
    y = values_at(function, x)

    def of_one(bit: jax.Array) -> jax.Array:
        return jnp.square((y - values_at(function, x.at[:, bit].multiply(-1))) / 2)

    return {"influences": (lax.map(of_one, bits).T, None)}


def noise_stability(
    function: Function,
    n: int,
    rho: ArrayLike,
    key: jax.Array,
    *,
    points: int = POINTS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return Stab_ρ(f) = E f(x) f(y), y being x with each bit flipped with probability (1 - ρ) / 2.

    Args:
        function: x[b, n] -> y[b].
        n: number of coordinates.
        rho: from -1 to 1, a scalar or [R]; all of them share their points.
        key: of the random points.
        points: how many, rounded up to whole blocks.
        confidence: of the intervals, jointly.

    Returns:
        Arrays in the shape of `rho`.

    >>> import jax
    >>> from pvr_jax.boolean import sampling
    >>> key = jax.random.key(0)
    >>> float(sampling.noise_stability(lambda x: x[:, 0], 64, -1.0, key, points=4096).value)
    -1.0
    """
    checks.in_range("rho", rho, -1, 1)
    arguments = (traceable(function), jnp.atleast_1d(jnp.asarray(rho, jnp.float32)))
    (found,) = stream(_stability_samples, key, points, (BLOCK, n), arguments, confidence).values()
    return Estimate(*(array.reshape(np.shape(rho)) for array in found))


def _stability_samples(
    key: jax.Array, sizes: tuple[int, int], function: Partial, rho: jax.Array
) -> Samples:
    of_points, of_flips = jax.random.split(key)
    x = uniform_points(of_points, sizes)
    y = values_at(function, x)
    uniform = jax.random.uniform(of_flips, sizes, jnp.float32)

    def of_one(rho: jax.Array) -> jax.Array:
        return y * values_at(function, jnp.where(uniform < (1 - rho) / 2, -x, x))

    return {"stability": (lax.map(of_one, rho).T, None)}


def degree_weights(
    function: Function,
    n: int,
    max_degree: int,
    key: jax.Array,
    *,
    points: int = POINTS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return W_d(f) = Σ f^(S)² over |S| = d, for d from 0 to `max_degree`, [max_degree + 1].

    A U-statistic: Σ_{|S|=d} χ_S(x) χ_S(y) is Krawtchouk's polynomial of x·y, and the mean of
    f(x) f(y) times it over pairs of different points is unbiased. Its standard error is about
    E f² √(2 C(n, d) / (points · block)), block up to 1024, so degrees with C(n, d) far below
    points · block can be had. (Noise stabilities at several ρ determine the weights too, but
    unbiased only with all n + 1 degrees, which multiplies their errors by about 2.4^n.) An estimate
    of a small weight may be negative.

    Args:
        function: x[b, n] -> y[b].
        n: number of coordinates.
        max_degree: the largest degree.
        key: of the random points.
        points: how many, at least 512; rounded up to whole blocks.
        confidence: of the intervals, jointly.

    >>> import jax
    >>> from pvr_jax.boolean import sampling
    >>> key = jax.random.key(0)
    >>> found = sampling.degree_weights(lambda x: x[:, 0], 64, 2, key, points=2**16)
    >>> abs(found.value - [0, 1, 0]).round(1).tolist()
    [0.0, 0.0, 0.0]
    """
    checks.integer(0, n).check("max_degree", max_degree)
    checks.integer(2 * FEWEST_BLOCKS).check("points", points)
    sizes = (min(PAIRED_BLOCK, points // FEWEST_BLOCKS), n, max_degree)
    arguments = (traceable(function),)
    (found,) = stream(_weight_samples, key, points, sizes, arguments, confidence).values()
    return found


def _weight_samples(key: jax.Array, sizes: tuple[int, int, int], function: Partial) -> Samples:
    x = uniform_points(key, sizes[:2])
    y = values_at(function, x)[:, None]
    return {"weights": (paired_weights(x, y, sizes[2], sizes[1]), None)}


def paired_weights(x: jax.Array, values: jax.Array, max_degree: int, free: int) -> jax.Array:
    """Return the weights by degree of m functions, from the pairs of different points of a block.

    Args:
        x: points [b, n], equal in all but `free` coordinates.
        values: of the functions, [b, m].
        max_degree: the largest degree.
        free: the number of coordinates of the cube that the points are drawn from.

    Returns:
        [m, max_degree + 1].
    """
    count = len(x)
    # Sums of signs are exact at any precision.
    products = (x @ x.T).astype(values.dtype) - (x.shape[1] - free)
    # Krawtchouk's polynomials by their recursion, 0 where a point meets itself.
    before, polynomial = jnp.zeros_like(products), 1 - jnp.eye(count, dtype=values.dtype)
    weights = []
    for d in range(max_degree + 1):
        sums = values * jnp.matmul(polynomial, values, precision=HIGHEST)
        weights.append(sums.sum(axis=0) / (count * (count - 1)))
        following = (products * polynomial - (free - d + 1) * before) / (d + 1)
        before, polynomial = polynomial, following
    return jnp.stack(weights, axis=-1)


def errors(
    function: Function,
    target: Function,
    n: int,
    key: jax.Array,
    *,
    seen: Function | None = None,
    points: int = POINTS,
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """Return the half squared errors ½E(g - f)² of a function g against a target f.

    `generalization_error` over the whole cube; with `seen`, also `in_distribution_error` over the
    points it holds for and `unseen_error` over the others (NaN if none was drawn).

    Args:
        function: g, x[b, n] -> y[b].
        target: f, the same.
        n: number of coordinates.
        key: of the random points.
        seen: predicate x[b, n] -> bool[b]. To sample a small set, use `moments` with its `draw`.
        points: how many, rounded up to whole blocks.
        confidence: of the intervals, jointly.

    >>> import jax
    >>> from pvr_jax.boolean import sampling
    >>> found = sampling.errors(
    ...     lambda x: x[:, 1],
    ...     lambda x: x[:, 0] * x[:, 1],
    ...     64,
    ...     jax.random.key(0),
    ...     seen=lambda x: x[:, 0] == 1,
    ...     points=4096,
    ... )
    >>> float(found["in_distribution_error"].value), float(found["unseen_error"].value)
    (0.0, 2.0)
    """
    arguments = (traceable(function), traceable(target), None if seen is None else traceable(seen))
    return stream(_error_samples, key, points, (BLOCK, n), arguments, confidence)


def _error_samples(
    key: jax.Array,
    sizes: tuple[int, int],
    function: Partial,
    target: Partial,
    seen: Partial | None,
) -> Samples:
    x = uniform_points(key, sizes)
    halves = jnp.square(values_at(function, x) - values_at(target, x)) / 2
    if seen is None:
        return {"generalization_error": (halves, None)}
    shown = seen(x)
    return {
        "generalization_error": (halves, None),
        "in_distribution_error": (halves, shown),
        "unseen_error": (halves, ~shown),
    }
