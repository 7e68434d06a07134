"""The empirical neural tangent kernel of a network at given parameters.

k(x, y) = <∂f(x)/∂θ, ∂f(y)/∂θ>. To first order in the parameters, training on the square loss is
regression with it; averaged over initializations it is a prediction without free parameters for
any architecture.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pvr_jax.boolean import cube, float64
from pvr_jax.refusal import Refusal

Init = Callable[[jax.Array, jax.Array], Any]
Apply = Callable[[Any, jax.Array], jax.Array]

LARGEST_N = 12
BLOCK_BYTES = 1 << 30
# Gradients are made by so many bytes: those that are split into outer factors stay in the cache.
CHUNK_BYTES = 1 << 24
PROBES = 8
JACOBIAN_BLOCK = 128
# Squared relative rounding error of a product of two vectors.
OUTER_TOLERANCE = 1e-20


class Features(NamedTuple):
    """Gradients of the outputs at b points, leaf by leaf.

    `whole` are [b, size]; `outer` are pairs [b, p], [b, q] whose outer products are the gradients.
    """

    whole: list[jax.Array]
    outer: list[tuple[jax.Array, jax.Array]]


def mean_empirical_kernel(
    init: Init, apply: Apply, n: int, keys: jax.Array, symmetrize: bool = False
) -> np.ndarray:
    """Return the empirical tangent kernel at initialization, averaged over keys [s].

    init(key, x[b, n]) -> params; otherwise as `empirical_kernel`, -> float64 [2^n, 2^n]. With
    `symmetrize`, also averaged over symmetries of the cube (`symmetrized`). This reduces the noise
    without changing the expectation if initialization is invariant under permutations of
    coordinates and under x -> -x, as for every registered model.
    """
    example = cube.points_at(jnp.zeros(1, jnp.int32), n)
    init = jax.jit(init)
    total = np.zeros((2**n, 2**n))
    for key in keys:
        total += empirical_kernel(apply, init(key, example), n)
    mean = total / len(keys)
    return symmetrized(mean) if symmetrize else mean


def symmetrized(kernel: np.ndarray) -> np.ndarray:
    """Return the mean of a kernel [2^n, 2^n] over permutations of the coordinates and x -> -x.

    It depends on x and y only through the number of entries -1 in x, in y, and of entries in which
    they differ. As a mean of positive semi-definite matrices it is positive semi-definite.
    """
    size = len(kernel)
    n = size.bit_length() - 1
    numbers = np.arange(size)
    minus = n - np.bitwise_count(numbers).astype(np.int32)
    differing = np.bitwise_count(numbers[:, None] ^ numbers[None, :])
    kind = (minus[:, None] * (n + 1) + minus[None, :]) * (n + 1) + differing
    sums = np.bincount(kind.ravel(), weights=kernel.ravel(), minlength=(n + 1) ** 3)
    counts = np.bincount(kind.ravel(), minlength=(n + 1) ** 3)
    means = (sums / np.maximum(counts, 1)).reshape((n + 1,) * 3)
    return ((means + means[::-1, ::-1]) / 2).ravel()[kind]


def empirical_kernel(apply: Apply, params: Any, n: int, block: int | None = None) -> np.ndarray:
    """Return the empirical tangent kernel of a network between all points of the cube.

    Args:
        apply: `apply(params, x[b, n]) -> y[b]`.
        params: the parameters, any tree of float arrays; all count as trained.
        n: coordinates, up to 12: the matrix has 4^n entries.
        block: points whose gradients, or their outer factors, are in memory, twice; None: as many
            as take a gigabyte each.

    Returns:
        float64 [2^n, 2^n], symmetric, computed in float64: eigenvalues of high degree, a millionth
        of the largest or less, are below the rounding of float32.

    The gradient of a matrix that every input passes once is an outer product of two vectors, and
    the product of two such gradients is a product of dot products: 400 times less work for an MLP,
    and the gradients of all points fit into memory. Otherwise the cost is 2^n (2^n/block + 1) / 2
    gradients and 4^n/2 dot products over the parameters. Leaves with such gradients are detected at
    random points and checked at every point.

    Raises ValueError if n is above 12.
    """
    if not 1 <= n <= LARGEST_N:
        raise Refusal(f"n: given {n}; allowed 1 to {LARGEST_N} for an empirical kernel")
    with float64.exact():
        return _kernel(apply, _in_float64(params), n, block)


def jacobian_on_cube(apply: Apply, params: Any, n: int) -> np.ndarray:
    """Return the gradients of a network's outputs at all points, float64 [2^n, parameters].

    Parameters are in the order of `jax.tree.leaves`.
    """
    block = min(2**n, JACOBIAN_BLOCK)
    with float64.exact():
        params = _in_float64(params)
        rows = []
        for start in range(0, 2**n, block):
            points = cube.points_at(np.arange(start, start + block), n)
            leaves = jax.tree.leaves(_jacobian(apply, params, points))
            own = [np.asarray(leaf).reshape(block, -1) for leaf in leaves]
            rows.append(np.concatenate(own, axis=1))
    return np.concatenate(rows)


def _in_float64(params: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf, np.float64)), params)


def _kernel(apply: Apply, params: Any, n: int, block: int | None) -> np.ndarray:
    # Evenly spaced points repeat a pattern: windows that share weights could all see the same
    # inputs, and a sum of outer products would look like one.
    probes = np.random.default_rng(0).permutation(2**n)[:PROBES].astype(np.int32)
    outer = tuple(
        found is not None and bool(found)
        for found in _may_be_outer(apply, params, cube.points_at(jnp.asarray(probes), n))
    )
    while True:
        try:
            return _products(apply, params, n, block, outer)
        except _NotOuterError as error:
            outer = error.outer


@partial(jax.jit, static_argnames="apply")
def _may_be_outer(apply: Apply, params: Any, x: jax.Array) -> list[jax.Array | None]:
    """Return of each leaf whether its gradients at x [b, n] are outer products; None: no matrix."""
    leaves = jax.tree.leaves(_jacobian(apply, params, x))
    return [_split(leaf)[1].all() if leaf.ndim == 3 else None for leaf in leaves]


class _NotOuterError(Exception):
    """Some gradients are not outer products after all; `outer` marks the leaves that may be."""

    def __init__(self, outer: tuple[bool, ...]) -> None:
        super().__init__()
        self.outer = outer


def _products(
    apply: Apply, params: Any, n: int, block: int | None, outer: tuple[bool, ...]
) -> np.ndarray:
    size = 2**n
    held, _ = jax.eval_shape(partial(_features_of, apply, params, n, 1, outer), 0)
    held_bytes = max(1, sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(held)))
    block = block or max(1, BLOCK_BYTES // held_bytes)
    block = min(size, 1 << (block.bit_length() - 1))

    def features(start: int) -> Features:
        found, are_outer = _features_of(apply, params, n, block, outer, start)
        if not all(are_outer):
            left = iter(are_outer)
            raise _NotOuterError(tuple(split and bool(next(left)) for split in outer))
        return found

    starts = range(0, size, block)
    if held_bytes * size <= 2 * BLOCK_BYTES:
        features = cache(features)
    kernel = np.empty((size, size))
    for i, row in enumerate(starts):
        first = features(row)
        for column in starts[: i + 1]:
            part = np.asarray(_gram(first, features(column)))
            kernel[row : row + block, column : column + block] = part
            kernel[column : column + block, row : row + block] = part.T
    return kernel


def _split(gradients: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """Split gradients [b, p, q] into outer factors [b, p], [b, q].

    The factors are the column and row through a large entry. Also returns whether each gradient is
    a matrix of rank one (or zero): tested by products with a random vector, which takes a third of
    the time of comparing all entries, and finds the row too.
    """
    point, columns = jnp.arange(len(gradients)), gradients.shape[2]
    vector = jnp.asarray(np.random.default_rng(1).normal(size=columns))
    products = (gradients * vector[None, None, :]).sum(axis=2)
    row = jnp.argmax(jnp.abs(products), axis=1)
    right = gradients[point, row, :]
    column = jnp.argmax(jnp.abs(right), axis=1)
    corner = right[point, column][:, None]
    left = gradients[point, :, column]
    right = jnp.where(corner == 0, 0, right / jnp.where(corner == 0, 1, corner))
    rest = products - left * (right @ vector)[:, None]
    size = jnp.square(left).sum(axis=1) * jnp.square(right).sum(axis=1) * columns
    return (left, right), jnp.square(rest).sum(axis=1) <= OUTER_TOLERANCE * size


@partial(jax.jit, static_argnames=("apply", "n", "block", "outer"))
def _features_of(
    apply: Apply, params: Any, n: int, block: int, outer: tuple[bool, ...], start: jax.Array
) -> tuple[Features, list[jax.Array]]:
    """Return the gradients at points start <= i < start + block, and which `outer` ones are."""

    def of_chunk(points: jax.Array) -> tuple[Features, list[jax.Array]]:
        leaves = jax.tree.leaves(_jacobian(apply, params, points))
        whole = [g.reshape(chunk, -1) for g, split in zip(leaves, outer, strict=True) if not split]
        others = [g for g, split in zip(leaves, outer, strict=True) if split]
        parts = [_split(gradients) for gradients in others]
        return Features(whole, [both for both, _ in parts]), [found.all() for _, found in parts]

    gradient_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    chunk = min(block, 1 << (max(1, CHUNK_BYTES // max(1, gradient_bytes)).bit_length() - 1))
    points = cube.points_at(start + jnp.arange(block), n).reshape(block // chunk, chunk, n)
    features, are_outer = lax.map(of_chunk, points)
    features = jax.tree.map(lambda leaf: leaf.reshape(block, *leaf.shape[2:]), features)
    return features, [found.all() for found in are_outer]


@partial(jax.jit, static_argnames="apply")
def _jacobian(apply: Apply, params: Any, x: jax.Array) -> Any:
    """Return the gradients of the outputs at x [b, n]: a tree of [b, ...]."""

    def output(params: Any, point: jax.Array) -> jax.Array:
        return apply(params, point[None])[0]

    return jax.vmap(jax.grad(output), in_axes=(None, 0))(params, x.astype(jnp.float64))


@jax.jit
def _gram(first: Features, second: Features) -> jax.Array:
    """Return the inner products [a, b] of all pairs of gradients."""

    def products(a: jax.Array, b: jax.Array) -> jax.Array:
        # Without HIGHEST a GPU would multiply in TF32 and a TPU in bfloat16.
        return jnp.matmul(a, b.T, precision=lax.Precision.HIGHEST)

    whole = map(products, first.whole, second.whole)
    outer = (
        products(left, other_left) * products(right, other_right)
        for (left, right), (other_left, other_right) in zip(first.outer, second.outer, strict=True)
    )
    return sum(whole) + sum(outer)
