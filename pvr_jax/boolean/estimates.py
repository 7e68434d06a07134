"""Means over random points: moments of blocks, streamed, with standard errors and intervals.

Mechanism of `sampling` and `sparse_spectrum`.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # loads scipy.special, which takes long, where it is used
from jax import lax
from jax.tree_util import Partial

from pvr_jax import checks
from pvr_jax.refusal import Refusal

Function = Callable[[jax.Array], jax.Array]
# Of one block: per name the values [b, ...], and which of them count, bool [b]; None: all.
Samples = dict[str, tuple[jax.Array, jax.Array | None]]

CONFIDENCE = 0.95
HIGHEST = lax.Precision.HIGHEST
BLOCKS_AT_ONCE = 32  # in one call of the compiled program
STREAM = 0x73616D70  # no small number: those are what other draws fold into their keys


class Estimate(NamedTuple):
    """Estimates, their standard errors and the ends of their intervals, float64 arrays [...]."""

    value: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Moments(NamedTuple):
    """Mean [...] of some values and the sum of squares [...] of their deviations from it.

    With `squares` [m, m] for a mean [m]: the sums of products of deviations.
    """

    count: jax.Array
    mean: jax.Array
    squares: jax.Array


def summarize(values: jax.Array, held: jax.Array | None = None) -> Moments:
    """Return the moments of values [b, ...] over their first axis, where `held` [b] is True."""
    ones = jnp.ones(len(values), values.dtype) if held is None else held.astype(values.dtype)
    count = ones.sum()
    weights = ones.reshape((-1,) + (1,) * (values.ndim - 1))
    mean = jnp.sum(weights * values, axis=0) / jnp.maximum(count, 1)
    return Moments(count, mean, jnp.sum(weights * jnp.square(values - mean[None]), axis=0))


def summarize_jointly(values: jax.Array) -> Moments:
    """Return the moments of values [b, m], with the products of all pairs, [m, m]."""
    mean = values.mean(axis=0)
    centered = values - mean[None]
    products = jnp.matmul(centered.T, centered, precision=HIGHEST)
    return Moments(jnp.asarray(len(values), values.dtype), mean, products)


def merge(first: Moments, second: Moments) -> Moments:
    """Return the moments of two sets of values together, of JAX or NumPy arrays.

    Source: Chan, Golub and LeVeque 1983.
    """
    count = first.count + second.count
    share = second.count / (count + (count == 0))
    difference = second.mean - first.mean
    is_joint = first.squares.ndim > first.mean.ndim
    products = difference[:, None] * difference[None, :] if is_joint else difference * difference
    return Moments(
        count,
        first.mean + share * difference,
        first.squares + second.squares + first.count * share * products,
    )


def estimates(moments: dict[str, Moments], confidence: float = CONFIDENCE) -> dict[str, Estimate]:
    """Return the estimates of means, with intervals that hold jointly."""
    number = max(1, sum(np.size(each.mean) for each in moments.values()))
    return {name: _estimate(each, (1 - confidence) / 2 / number) for name, each in moments.items()}


def _estimate(moments: Moments, tail: float) -> Estimate:
    freedom = np.maximum(moments.count - 1, 0)
    with np.errstate(all="ignore"):
        mean = np.where(moments.count > 0, moments.mean, np.nan)
        error = np.sqrt(moments.squares / freedom / moments.count)
        half_width = -scipy.special.stdtrit(freedom, tail) * error
    return Estimate(*map(np.asarray, (mean, error, mean - half_width, mean + half_width)))


def uniform_points(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return random signs, float32 `shape`; the same ones with and without float64."""
    return jnp.where(jax.random.bits(key, shape, jnp.uint8) & 1 == 1, 1.0, -1.0).astype(jnp.float32)


def values_at(function: Function, x: jax.Array) -> jax.Array:
    """Return `function(x)` [b], at least in float32; refuse any other shape."""
    y = checks.real_array("function", function(x))
    if y.shape != x.shape[:1]:
        raise Refusal(f"function: given values of shape {y.shape}; allowed {x.shape[:1]}")
    return y


def traceable(function: Function) -> Partial:
    """Return a callable that a compiled program can take as an argument."""
    return function if isinstance(function, Partial) else Partial(function)


def stream(
    samples: Callable[..., Samples],
    key: jax.Array,
    points: int,
    sizes: tuple[int, ...],
    arguments: tuple[Any, ...],
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """Return the estimates of the means of what `samples` returns; arguments as `streamed`."""
    return estimates(streamed(samples, key, points, sizes, arguments), confidence)


def streamed(
    samples: Callable[..., Samples],
    key: jax.Array,
    points: int,
    sizes: tuple[int, ...],
    arguments: tuple[Any, ...],
) -> dict[str, Moments]:
    """Return the moments of `samples(key, sizes, *arguments)` over many keys, float64.

    Args:
        samples: traceable, and compiled once for its `sizes`.
        key: of the stream.
        points: how many, rounded up to whole blocks, and those to whole groups.
        sizes: the points of a block, n, and whatever else fixes shapes.
        arguments: arrays and trees of arrays.
    """
    checks.integer(2).check("points", points)
    checks.integer(1, checks.LARGEST_N).check("n", sizes[1])
    sizes = (min(sizes[0], points), *sizes[1:])
    blocks = -(-points // sizes[0])
    groups = -(-blocks // BLOCKS_AT_ONCE)
    total: dict[str, Moments] = {}
    for group in range(groups):
        found = _group(samples, key, np.int32(group), sizes, -(-blocks // groups), arguments)
        # Blocks are summed up in float64 on the host, whatever the function computes in.
        for name, own in jax.device_get(found).items():
            parts = [
                Moments(*each)
                for each in zip(*(np.asarray(array, np.float64) for array in own), strict=True)
            ]
            total[name] = functools.reduce(merge, parts, *([total[name]] if group else []))
    return total


@partial(jax.jit, static_argnames=("samples", "sizes", "blocks"))
def _group(
    samples: Callable[..., Samples],
    key: jax.Array,
    group: jax.Array,
    sizes: tuple[int, ...],
    blocks: int,
    arguments: tuple[Any, ...],
) -> dict[str, Moments]:
    """Return the moments of some blocks, one after the other in the memory of one."""
    key = jax.random.fold_in(key, STREAM)

    def of_block(index: jax.Array) -> dict[str, Moments]:
        found = samples(jax.random.fold_in(key, index), sizes, *arguments)
        return {name: summarize(*own) for name, own in found.items()}

    return lax.map(of_block, group * blocks + jnp.arange(blocks, dtype=jnp.int32))
