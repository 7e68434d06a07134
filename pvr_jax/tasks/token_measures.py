"""Difficulty of tasks on tokens: label distribution and noise sensitivity.

Exact if the windows can be listed, else sampled, with an interval. Both are for uniform inputs; a
holdout of i windows changes them by at most i 10^-(m + 1).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # loads scipy.stats, which takes long, where it is used

from pvr_jax import checks
from pvr_jax.tasks import token_pvr
from pvr_jax.tasks.token_pvr import DIGITS

# Windows of up to this many digits are listed: 10^6 of them.
MAX_LISTED = 6
SAMPLES = 1 << 20
_SAMPLES_AT_ONCE = 1 << 16
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A number with the bounds of its 95 % interval, which are the number itself if exact."""

    value: float
    low: float
    high: float
    exact: bool


class Distribution(NamedTuple):
    """The probability of each label [classes], and whether it is exact."""

    shares: np.ndarray
    exact: bool


def label_distribution(aggregation: str, complexity: int) -> Distribution:
    """Return the probability of each label of token PVR, float64[10], for any pointer.

    Windows of up to `MAX_LISTED` digits are listed; of longer ones 2^20 are drawn.
    """
    if complexity < MAX_LISTED:
        table = window_labels(aggregation, complexity)
        return Distribution(np.bincount(table.ravel(), minlength=DIGITS) / table.size, True)
    number = token_pvr.aggregation_number(aggregation)

    def labeled(key: jax.Array) -> jax.Array:
        return token_pvr.label(token_pvr.draw(key, complexity), number, complexity)

    return Distribution(_counted(labeled, DIGITS) / SAMPLES, False)


def noise_sensitivity(
    aggregation: str, complexity: int, delta: float, boundary: str = "bounded"
) -> Estimate:
    """Return the probability that noise changes the label of token PVR.

    Every token is redrawn with probability `delta`, the pointer from its allowed values (Zhang et
    al. 2021; for +-1 bits, `boolean.measures.noise_sensitivity` at delta / 2). Exact for windows of
    up to `MAX_LISTED` digits, sampled for longer ones.

    Raises ValueError for a delta that is not in [0, 1].
    """
    delta = _probability(delta)
    if complexity >= MAX_LISTED:
        number = token_pvr.aggregation_number(aggregation)
        return sampled_noise_sensitivity(
            lambda key: token_pvr.draw(key, complexity, boundary),
            lambda tokens: token_pvr.label(tokens, number, complexity),
            delta,
        )
    table = window_labels(aggregation, complexity)
    places = token_pvr.pointers(complexity, boundary)
    agreements = [agreement(table, shared, delta) for shared in range(complexity + 2)]
    pairs = _shared_values(places, complexity)
    moved = np.mean([[agreements[shared] for shared in row] for row in pairs])
    value = 1 - (1 - delta) * agreements[-1] - delta * moved
    return Estimate(*[float(np.clip(value, 0, 1))] * 3, True)


def sampled_noise_sensitivity(
    draw: Callable[[jax.Array], jax.Array],
    label: Callable[[jax.Array], jax.Array],
    delta: float,
    seed: int = 0,
) -> Estimate:
    """Return the probability that noise changes a label, from 2^20 pairs, with Wilson's interval.

    Args:
        draw: draw(key) -> tokens [n], independent of each other.
        label: label(tokens [n]) -> a class.
        delta: probability that a token is redrawn.
        seed: seed of the pairs.
    """
    delta = _probability(delta)

    def changes(key: jax.Array) -> jax.Array:
        first, second, third = jax.random.split(key, 3)
        tokens = draw(first)
        # Tokens are independent, so the tokens of another input are fresh draws.
        noisy = jnp.where(
            jax.random.bernoulli(third, jnp.float32(delta), tokens.shape), draw(second), tokens
        )
        return (label(tokens) != label(noisy)).astype(jnp.int32)

    return sampled_share(int(_counted(changes, 2, seed)[1]), SAMPLES)


def sampled_share(found: int, count: int) -> Estimate:
    """Return the probability of what was found in so many of `count` draws, Wilson's interval."""
    interval = scipy.stats.binomtest(found, count).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(found / count, float(interval.low), float(interval.high), False)


def _counted(labeled: Callable[[jax.Array], jax.Array], classes: int, seed: int = 0) -> np.ndarray:
    """Return how often each of 0 .. classes - 1 occurs in `SAMPLES` calls, [classes]."""

    @jax.jit
    def some(key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, _SAMPLES_AT_ONCE)
        return jnp.bincount(jax.vmap(labeled)(keys), length=classes)

    keys = jax.random.split(jax.random.key(seed), SAMPLES // _SAMPLES_AT_ONCE)
    return np.sum([np.asarray(some(key)) for key in keys], axis=0)


def _probability(delta: float) -> float:
    delta = checks.finite("delta", delta)
    if not 0 <= delta <= 1:
        raise checks.invalid("delta", delta, "0 to 1")
    return delta


def window_labels(aggregation: str, complexity: int) -> np.ndarray:
    """Return the label of every window, int[10, ..., 10] with complexity + 1 axes."""
    size = complexity + 1
    windows = np.indices((DIGITS,) * size).reshape(size, -1).T
    counted = np.stack([np.sum(windows == digit, axis=1) for digit in range(DIGITS)], axis=1)
    number = token_pvr.aggregation_number(aggregation)
    return np.asarray(jax.jit(token_pvr.aggregate)(counted, number)).reshape((DIGITS,) * size)


def _shared_values(places: int, complexity: int) -> np.ndarray:
    """Return the number of values shared by the windows of two pointers, int[places, places]."""
    windows = [{(p + j) % DIGITS for j in range(complexity + 1)} for p in range(places)]
    return np.array([[len(one & other) for other in windows] for one in windows])


def agreement(table: np.ndarray, shared: int, delta: float) -> float:
    """Return the probability that two windows with `shared` common digits have the same label.

    The common digits of the second are redrawn with probability delta, the others are independent.
    The common ones are the first, which matters only if the label is not a symmetric function. The
    table, int[k, ..., k], has the label of every window of k digits.
    """
    own = tuple(range(shared, table.ndim))
    total = 0.0
    for label in np.unique(table):
        share = (table == label).mean(axis=own)
        noisy = share
        for axis in range(shared):
            noisy = (1 - delta) * noisy + delta * noisy.mean(axis=axis, keepdims=True)
        total += float(np.mean(share * noisy))
    return total
