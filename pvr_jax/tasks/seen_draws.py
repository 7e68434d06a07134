"""Draws from a seen set, using its structure if known.

A draw is a function of one key, `draw(key) -> x [n]`, and may be traced and vmapped. It is uniform,
or conditioned on the seen set from independent coordinates that are +1 with probability `bias`.
"""

import itertools
import math
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # loads scipy.stats, which takes long, where it is used

from pvr_jax.boolean.cube import points_at

Draw = Callable[[jax.Array], jax.Array]
Predicate = Callable[[jax.Array], jax.Array]

UNIFORM = 0.5
# Trials per row. At a seen share of `MIN_SHARE` all of them miss with probability 4e-22.
MAX_TRIALS = 2**14
MIN_SHARE = 0.003
# Random inputs for estimating a share, and the probability that its lower bound is too high.
SHARE_POINTS = 2**16
SHARE_RISK = 1e-9
SHARE_KEY = 2**31 - 3
CHUNK = 2**12  # points at which a predicate is evaluated at once


def anywhere(n: int, bias: float = UNIFORM) -> Draw:
    """Draw from the whole cube."""
    return lambda key: _point(key, 0, n, bias)


def subcube(
    n: int, coordinates: Sequence[int], values: Sequence[int], bias: float = UNIFORM
) -> Draw:
    """Draw from the inputs with given values at some coordinates."""
    places, fixed = jnp.asarray(coordinates), jnp.asarray(values, jnp.float32)
    return lambda key: _point(key, 0, n, bias).at[places].set(fixed)


def parity(n: int, coordinates: Sequence[int], value: int) -> Draw:
    """Draw from the inputs whose product over some coordinates is `value`."""
    solved, others = coordinates[0], jnp.asarray(coordinates[1:], jnp.int32)

    def draw(key: jax.Array) -> jax.Array:
        x = _point(key, 0, n)
        return x.at[solved].set(value * jnp.prod(x[others]))

    return draw


def by_level(count: int, levels: Collection[int], bias: float = UNIFORM) -> Draw:
    """Draw x [count] with one of some numbers of entries -1: first their number, then which.

    A number k has its exact probability, to 2^-64.
    """
    sizes = level_sizes(count, bias)
    number = _number([size if k in levels else 0 for k, size in enumerate(sizes)])

    def draw(key: jax.Array) -> jax.Array:
        level_key, order_key = jax.random.split(key)
        order = jax.random.permutation(order_key, count)
        return jnp.where(order < number(level_key), jnp.float32(-1), jnp.float32(1))

    return draw


def level_sizes(count: int, bias: float = UNIFORM) -> list[int]:
    """Return integers [count + 1], proportional to the probabilities of 0 to `count` entries -1."""
    up = Fraction(str(bias))
    low, high = up.denominator - up.numerator, up.numerator
    return [math.comb(count, k) * low**k * high ** (count - k) for k in range(count + 1)]


def _number(sizes: Sequence[int]) -> Callable[[jax.Array], jax.Array]:
    """Return a draw of a number, each with a probability proportional to its size, to 2^-64."""
    total = sum(sizes)
    last = max(k for k, size in enumerate(sizes) if size)
    # The number exceeds k if 64 random bits are at least 2^64 times the share up to k.
    limits = [(share << 64) // total for share in itertools.accumulate(sizes[:last])]
    of_64_bits = np.array(limits, dtype=np.uint64)
    high, low = (
        jnp.asarray(part, jnp.uint32) for part in (of_64_bits >> 32, of_64_bits & 0xFFFFFFFF)
    )

    def draw(key: jax.Array) -> jax.Array:
        first, second = jax.random.bits(key, (2,), jnp.uint32)
        return jnp.sum((first > high) | ((first == high) & (second >= low)))

    return draw


def listed(count: int, numbers: np.ndarray, bias: float = UNIFORM) -> Draw:
    """Draw x [count] from points given by their indices int32[m] in `cube.points`."""
    if bias == UNIFORM:
        own = jnp.asarray(numbers)
        return lambda key: points_at(
            own[jax.random.randint(key, (), 0, len(numbers), jnp.int32)], count
        )
    # Points with equally many entries -1 are equally likely.
    minus = count - np.bitwise_count(numbers)
    sizes = np.bincount(minus, minlength=count + 1)
    own = jnp.asarray(numbers[np.argsort(minus, kind="stable")])
    first = jnp.asarray(np.cumsum(sizes) - sizes, jnp.int32)
    number, counts = _number(_listed_sizes(count, numbers, bias)), jnp.asarray(sizes, jnp.int32)

    def draw(key: jax.Array) -> jax.Array:
        level_key, row_key = jax.random.split(key)
        level = number(level_key)
        row = jax.random.randint(row_key, (), 0, counts[level], jnp.int32)
        return points_at(own[first[level] + row], count)

    return draw


def listed_share(count: int, numbers: np.ndarray, bias: float = UNIFORM) -> float:
    """Return the probability of points given by their indices int32[m] in `cube.points`."""
    return sum(_listed_sizes(count, numbers, bias)) / sum(level_sizes(count, bias))


def _listed_sizes(count: int, numbers: np.ndarray, bias: float) -> list[int]:
    """Return integers [count + 1], proportional to the probabilities of the points' levels."""
    own = np.bincount(count - np.bitwise_count(numbers), minlength=count + 1)
    whole = level_sizes(count, bias)
    return [size // math.comb(count, k) * int(own[k]) for k, size in enumerate(whole)]


def product(n: int, factors: Sequence[tuple[Sequence[int], Draw]], bias: float = UNIFORM) -> Draw:
    """Draw from a product of sets on disjoint coordinates; the other coordinates are free.

    A factor is its coordinates and a draw of their values.
    """

    def draw(key: jax.Array) -> jax.Array:
        x = _point(key, 0, n, bias)
        for i, (coordinates, own) in enumerate(factors):
            x = x.at[jnp.asarray(coordinates)].set(own(jax.random.fold_in(key, i + 1)))
        return x

    return draw


def indices_where(predicate: Predicate, coordinates: Sequence[int], n: int) -> np.ndarray:
    """Return the indices int32[m] of the points on some coordinates at which a predicate holds.

    `predicate(x[..., n])` depends on no other coordinate.
    """
    places = jnp.asarray(coordinates)

    def holds(number: jax.Array) -> jax.Array:
        return predicate(jnp.ones(n).at[places].set(points_at(number, len(coordinates))))

    every = jnp.arange(2 ** len(coordinates), dtype=jnp.int32)
    found = jax.jit(lambda: jax.lax.map(holds, every, batch_size=CHUNK))()
    return np.flatnonzero(found).astype(np.int32)


def by_trial(n: int, predicate: Predicate, bias: float = UNIFORM) -> Draw:
    """Draw from the cube until an input is seen; NaN after `MAX_TRIALS` unseen ones."""

    def draw(key: jax.Array) -> jax.Array:
        def missed(trial: jax.Array) -> jax.Array:
            return ~predicate(_point(key, trial, n, bias)) & (trial < MAX_TRIALS)

        trial = jax.lax.while_loop(missed, lambda trial: trial + 1, jnp.int32(0))
        return jnp.where(trial < MAX_TRIALS, _point(key, trial, n, bias), jnp.nan)

    return draw


def seen_share(predicate: Predicate, n: int, bias: float = UNIFORM) -> tuple[float, float]:
    """Return the seen share of random inputs, and a lower bound of the share of all inputs.

    The bound (Clopper and Pearson's) is too high with a probability of at most `SHARE_RISK`.
    """
    key = jax.random.key(SHARE_KEY)

    def holds(row: jax.Array) -> jax.Array:
        return predicate(_point(key, row, n, bias))

    rows = jnp.arange(SHARE_POINTS)
    seen = int(jnp.sum(jax.jit(lambda: jax.lax.map(holds, rows, batch_size=CHUNK))()))
    low = scipy.stats.beta.ppf(SHARE_RISK, seen, SHARE_POINTS - seen + 1) if seen else 0.0
    return seen / SHARE_POINTS, float(low)


def _point(key: jax.Array, trial: int | jax.Array, n: int, bias: float = UNIFORM) -> jax.Array:
    """Return the point of a key and a trial, x [n]."""
    return signs(jax.random.fold_in(key, trial), (n,), bias)


def signs(key: jax.Array, shape: tuple[int, ...], bias: float = UNIFORM) -> jax.Array:
    """Return independent entries -1 and +1, float32; the same with and without 64-bit types."""
    # `jax.random.rademacher`, and Python probabilities, use other bits in float64.
    up = jax.random.bernoulli(key, jnp.float32(bias), shape)
    return jnp.where(up, jnp.float32(1), jnp.float32(-1))
