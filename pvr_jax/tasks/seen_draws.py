"""Uniform draws from a seen set, using its structure if known.

A draw is a function of one key, `draw(key) -> x [n]`, and may be traced and vmapped.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # loads scipy.stats, which takes long, where it is used

from pvr_jax.boolean.cube import points_at

Draw = Callable[[jax.Array], jax.Array]
Predicate = Callable[[jax.Array], jax.Array]

# Trials per row. At a seen share of `MIN_SHARE` all of them miss with probability 4e-22.
MAX_TRIALS = 2**14
MIN_SHARE = 0.003
# Random inputs for estimating a share, and the probability that its lower bound is too high.
SHARE_POINTS = 2**16
SHARE_RISK = 1e-9
SHARE_KEY = 2**31 - 3
CHUNK = 2**12  # points at which a predicate is evaluated at once


def anywhere(n: int) -> Draw:
    """Draw from the whole cube."""
    return lambda key: _point(key, 0, n)


def subcube(n: int, coordinates: Sequence[int], values: Sequence[int]) -> Draw:
    """Draw from the inputs with given values at some coordinates."""
    places, fixed = jnp.asarray(coordinates), jnp.asarray(values, jnp.float32)
    return lambda key: _point(key, 0, n).at[places].set(fixed)


def parity(n: int, coordinates: Sequence[int], value: int) -> Draw:
    """Draw from the inputs whose product over some coordinates is `value`."""
    solved, others = coordinates[0], jnp.asarray(coordinates[1:], jnp.int32)

    def draw(key: jax.Array) -> jax.Array:
        x = _point(key, 0, n)
        return x.at[solved].set(value * jnp.prod(x[others]))

    return draw


def hamming_ball(n: int, radius: int) -> Draw:
    """Draw from the inputs with at most `radius` entries -1: first their number, then which.

    The number k has its exact probability C(n, k) / sum, to 2^-64.
    """
    sizes = [math.comb(n, k) for k in range(radius + 1)]
    total = sum(sizes)
    # The number exceeds k if 64 random bits are at least 2^64 times the share up to k.
    limits = np.array(
        [(sum(sizes[: k + 1]) << 64) // total for k in range(radius)], dtype=np.uint64
    )
    high, low = (jnp.asarray(part, jnp.uint32) for part in (limits >> 32, limits & 0xFFFFFFFF))

    def draw(key: jax.Array) -> jax.Array:
        level_key, order_key = jax.random.split(key)
        first, second = jax.random.bits(level_key, (2,), jnp.uint32)
        level = jnp.sum((first > high) | ((first == high) & (second >= low)))
        order = jax.random.permutation(order_key, n)
        return jnp.where(order < level, jnp.float32(-1), jnp.float32(1))

    return draw


def product(n: int, factors: Sequence[tuple[Sequence[int], np.ndarray]]) -> Draw:
    """Draw from a product of sets on disjoint coordinates; the other coordinates are free.

    A factor is its coordinates and the indices int32[m] of its points in `cube.points` on these
    coordinates.
    """

    def draw(key: jax.Array) -> jax.Array:
        x = _point(key, 0, n)
        for i, (coordinates, numbers) in enumerate(factors):
            own_key = jax.random.fold_in(key, i + 1)
            row = jax.random.randint(own_key, (), 0, len(numbers), jnp.int32)
            own = points_at(jnp.asarray(numbers)[row], len(coordinates))
            x = x.at[jnp.asarray(coordinates)].set(own)
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


def by_trial(n: int, predicate: Predicate) -> Draw:
    """Draw from the cube until an input is seen; NaN after `MAX_TRIALS` unseen ones."""

    def draw(key: jax.Array) -> jax.Array:
        def missed(trial: jax.Array) -> jax.Array:
            return ~predicate(_point(key, trial, n)) & (trial < MAX_TRIALS)

        trial = jax.lax.while_loop(missed, lambda trial: trial + 1, jnp.int32(0))
        return jnp.where(trial < MAX_TRIALS, _point(key, trial, n), jnp.nan)

    return draw


def seen_share(predicate: Predicate, n: int) -> tuple[float, float]:
    """Return the seen share of random inputs, and a lower bound of the share of all inputs.

    The bound (Clopper and Pearson's) is too high with a probability of at most `SHARE_RISK`.
    """
    key = jax.random.key(SHARE_KEY)

    def holds(row: jax.Array) -> jax.Array:
        return predicate(_point(key, row, n))

    rows = jnp.arange(SHARE_POINTS)
    seen = int(jnp.sum(jax.jit(lambda: jax.lax.map(holds, rows, batch_size=CHUNK))()))
    low = scipy.stats.beta.ppf(SHARE_RISK, seen, SHARE_POINTS - seen + 1) if seen else 0.0
    return seen / SHARE_POINTS, float(low)


def _point(key: jax.Array, trial: int | jax.Array, n: int) -> jax.Array:
    """Return the point of a key and a trial, uniform over the cube, x [n]."""
    return signs(jax.random.fold_in(key, trial), (n,))


def signs(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return uniform entries -1 and +1, float32; the same with and without 64-bit types."""
    # `jax.random.rademacher`, and Python probabilities, use other bits in float64.
    up = jax.random.bernoulli(key, jnp.float32(0.5), shape)
    return jnp.where(up, jnp.float32(1), jnp.float32(-1))
