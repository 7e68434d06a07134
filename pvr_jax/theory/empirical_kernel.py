"""The empirical neural tangent kernel: a network's own kernel, at given parameters.

k(x, y) = <∂f(x)/∂θ, ∂f(y)/∂θ>. To first order in the parameters, training on the square loss is
regression with it; averaged over initialisations it is a prediction without free parameters for
any architecture.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pvr_jax.boolean import cube
from pvr_jax.theory.krawtchouk import distances

Init = Callable[[jax.Array, jax.Array], Any]
Apply = Callable[[Any, jax.Array], jax.Array]

LARGEST_N = 12
BLOCK_BYTES = 1 << 30


def mean_empirical_kernel(init: Init, apply: Apply, n: int, keys: jax.Array) -> np.ndarray:
    """Return the empirical tangent kernel at initialisation, averaged over keys [s].

    init(key, x[b, n]) -> params; otherwise as `empirical_kernel`, -> float64 [2^n, 2^n]. Where the
    initialisation knows no difference between coordinates, `mean_kernel_by_type` has the same
    expectation, less noise, and a time that does not grow with 2^n.
    """
    example = cube.points_at(jnp.zeros(1, jnp.int32), n)
    init = jax.jit(init)
    total = np.zeros((2**n, 2**n))
    for key in keys:
        total += empirical_kernel(apply, init(key, example), n)
    return total / len(keys)


def empirical_kernel(apply: Apply, params: Any, n: int, block: int | None = None) -> np.ndarray:
    """Return the empirical tangent kernel of a network between all points of the cube.

    Args:
        apply: `apply(params, x[b, n]) -> y[b]`.
        params: the parameters, any tree of float arrays; all of them count as trained.
        n: coordinates, up to 12: the matrix has 4^n entries.
        block: points whose Jacobian [block, parameters] is held at once, twice over; chosen to
            take a gigabyte each if None.

    Returns:
        float64 [2^n, 2^n], symmetric, summed in the parameters' precision.

    The time is that of 2^n (2^n/block + 1) / 2 gradients and of 4^n/2 products of the parameters'
    length. Raises ValueError if n is above 12.
    """
    if not 1 <= n <= LARGEST_N:
        raise ValueError(f"n: given {n}; allowed 1 to {LARGEST_N} for an empirical kernel")
    size = 2**n
    bytes_per_point = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    if block is None:
        block = max(1, BLOCK_BYTES // max(1, bytes_per_point))
    block = min(size, 1 << (block.bit_length() - 1))
    starts = range(0, size, block)
    points = [cube.points_at(jnp.arange(start, start + block), n) for start in starts]
    kernel = np.empty((size, size))
    for i, row in enumerate(starts):
        first = _jacobian(apply, params, points[i])
        for j, column in enumerate(starts[: i + 1]):
            second = first if i == j else _jacobian(apply, params, points[j])
            part = np.asarray(_gram(first, second), np.float64)
            kernel[row : row + block, column : column + block] = part
            kernel[column : column + block, row : row + block] = part.T
    return kernel


def mean_kernel_by_type(
    init: Init, apply: Apply, n: int, keys: jax.Array, block: int = 64
) -> np.ndarray:
    """Return the empirical tangent kernel at initialisation, averaged over keys and permutations.

    For networks whose initialisation knows no difference between coordinates, as that of every
    registered model: the expectation of the kernel then depends on x and y only through how many
    entries of x are -1 (i), how many of y (j), and in how many they differ (h), and one pair of
    points per type estimates it.

    Args:
        init: `init(key, x[b, n]) -> params`.
        apply: `apply(params, x[b, n]) -> y[b]`.
        n: coordinates.
        keys: of the initialisations to average over, [s].
        block: points whose Jacobian is held at once, besides that of n + 1 points.

    Returns:
        float64 [n + 1, n + 1, n + 1] by (i, j, h), symmetric in the first two; NaN where there is
        no such pair. `kernel_between` makes a matrix of it.
    """
    i, j, h = _types(n)
    both = (i + j - h) // 2  # coordinates in which both are -1: the first ones of x
    place = np.arange(n)
    first = np.where(place < np.arange(n + 1)[:, None], -1.0, 1.0)
    # y agrees with x in the first `both` coordinates and has its other -1s after those of x.
    is_minus = (place < both[:, None]) | ((place >= i[:, None]) & (place < (i + j - both)[:, None]))
    second = np.where(is_minus, -1.0, 1.0)
    first, second = jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    init = jax.jit(init)
    total = np.zeros(len(i))
    for key in keys:
        params = init(key, first)
        of_first = _jacobian(apply, params, first)
        for start in range(0, len(i), block):
            chosen = slice(start, start + block)
            products = _gram(of_first, _jacobian(apply, params, second[chosen]))
            total[chosen] += np.asarray(products, np.float64)[i[chosen], np.arange(len(i[chosen]))]
    by_type = np.full((n + 1,) * 3, np.nan)
    by_type[i, j, h] = total / len(keys)
    return (by_type + by_type.swapaxes(0, 1)) / 2


def kernel_between(by_type: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the matrix [a, b] of a kernel by type between numbered points [a] and [b]."""
    n = len(by_type) - 1
    minus_first, minus_second = (n - np.bitwise_count(points) for points in (first, second))
    return by_type[minus_first[:, None], minus_second[None, :], distances(first, second)]


def _types(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All possible (entries -1 of x, of y, Hamming distance), each whole numbers [t]."""
    i, j, h = np.indices((n + 1,) * 3).reshape(3, -1)
    both = (i + j - h) // 2
    possible = ((i + j - h) % 2 == 0) & (both >= 0) & (both <= np.minimum(i, j))
    possible &= i + j - both <= n
    return i[possible], j[possible], h[possible]


@functools.partial(jax.jit, static_argnames="apply")
def _jacobian(apply: Apply, params: Any, x: jax.Array) -> Any:
    """Gradients of the outputs at x [b, n] by the parameters: a tree of [b, ...]."""

    def output(params: Any, point: jax.Array) -> jax.Array:
        return apply(params, point[None])[0]

    return jax.vmap(jax.grad(output), in_axes=(None, 0))(params, x)


@jax.jit
def _gram(first: Any, second: Any) -> jax.Array:
    """Inner products of all pairs of gradients: [a, ...] and [b, ...] to [a, b]."""

    def products(a: jax.Array, b: jax.Array) -> jax.Array:
        # Without HIGHEST a GPU would multiply in TF32 and a TPU in bfloat16.
        return jnp.matmul(
            a.reshape(len(a), -1), b.reshape(len(b), -1).T, precision=lax.Precision.HIGHEST
        )

    return sum(map(products, jax.tree.leaves(first), jax.tree.leaves(second)))
