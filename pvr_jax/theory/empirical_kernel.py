"""The empirical neural tangent kernel of a network at given parameters.

k(x, y) = <∂f(x)/∂θ, ∂f(y)/∂θ>. To first order in the parameters, training on the square loss is
regression with it; averaged over initializations it is a prediction without free parameters for
any architecture.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from pvr_jax.boolean import cube, float64
from pvr_jax.refusal import Refusal

Init = Callable[[jax.Array, jax.Array], Any]
Apply = Callable[[Any, jax.Array], jax.Array]

LARGEST_N = 12
BLOCK_BYTES = 1 << 30
# Points of a block, where memory allows more: of two blocks one product is enough, by symmetry.
BLOCK_POINTS = 512
# Features are made by so many bytes, which stay in the cache.
CHUNK_BYTES = 1 << 24
JACOBIAN_BLOCK = 128


class Outer(NamedTuple):
    """Matrices [b, p, q] of rank one: left [b, p] ⊗ right [b, q]."""

    left: jax.Array
    right: jax.Array

    def whole(self) -> jax.Array:
        """Return the matrices [b, p, q]."""
        return self.left[:, :, None] * self.right[:, None, :]


# Gradients of the outputs at b points, leaf by leaf: [b, size], or factors.
Features = list[jax.Array | Outer]


def mean_empirical_kernel(
    init: Init,
    apply: Apply,
    n: int,
    keys: jax.Array,
    symmetrize: bool = False,
    block_bytes: int = BLOCK_BYTES,
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
        total += empirical_kernel(apply, init(key, example), n, block_bytes=block_bytes)
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


def empirical_kernel(
    apply: Apply,
    params: Any,
    n: int,
    block: int | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> np.ndarray:
    """Return the empirical tangent kernel of a network between all points of the cube.

    Args:
        apply: `apply(params, x[b, n]) -> y[b]`.
        params: the parameters, any tree of float arrays; all count as trained.
        n: coordinates, up to 12: the matrix has 4^n entries.
        block: points whose gradients, or their outer factors, are in memory, twice; None: as many
            as take `block_bytes`, at most 512.
        block_bytes: a gigabyte unless given. The more, the fewer gradients are computed again.

    Returns:
        float64 [2^n, 2^n], symmetric, computed in float64: eigenvalues of high degree, a millionth
        of the largest or less, are below the rounding of float32.

    The gradient of a matrix that every input passes once is an outer product of two vectors, and
    the product of two such gradients is a product of dot products: 400 times less work for an MLP,
    and the gradients of all points fit into memory. Otherwise the cost is 2^n (2^n/block + 1) / 2
    gradients and 4^n/2 dot products over the parameters. Which gradients are outer products is read
    from the program that JAX traces.

    Raises ValueError if n is above 12.
    """
    if not 1 <= n <= LARGEST_N:
        raise Refusal(f"n: given {n}; allowed 1 to {LARGEST_N} for an empirical kernel")
    with float64.exact():
        return _kernel(apply, _in_float64(params), n, block, block_bytes)


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


def _kernel(apply: Apply, params: Any, n: int, block: int | None, block_bytes: int) -> np.ndarray:
    size = 2**n
    held = jax.eval_shape(
        partial(_features, apply, params), cube.points_at(np.zeros(1, np.int32), n)
    )
    held_bytes = max(1, sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(held)))
    block = block or max(1, min(block_bytes // held_bytes, BLOCK_POINTS))
    block = min(size, 1 << (block.bit_length() - 1))
    chunk = min(block, 1 << (max(1, CHUNK_BYTES // held_bytes).bit_length() - 1))

    def features(start: int) -> Features:
        points = cube.points_at(start + np.arange(block, dtype=np.int32), n)
        return _features_in_chunks(apply, params, points, chunk)

    starts = range(0, size, block)
    if held_bytes * size <= 2 * block_bytes:
        features = cache(features)
    kernel = np.empty((size, size))
    for i, row in enumerate(starts):
        first = features(row)
        for column in starts[: i + 1]:
            part = np.asarray(_gram(first, features(column)))
            kernel[row : row + block, column : column + block] = part
            kernel[column : column + block, row : row + block] = part.T
    return kernel


@partial(jax.jit, static_argnames=("apply", "chunk"))
def _features_in_chunks(apply: Apply, params: Any, points: jax.Array, chunk: int) -> Features:
    """Return the gradients of the outputs at points [b, n]."""
    features = lax.map(
        partial(_features, apply, params), points.reshape(-1, chunk, points.shape[1])
    )
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), features)


def _features(apply: Apply, params: Any, x: jax.Array) -> Features:
    """Return the gradients of the outputs at x [b, n], those of rank one as their factors.

    Gradients that are zero whatever x and the parameters are left out.
    """
    # A scale of its own for every output: else the gradients of a linear network would be traced as
    # those of all points together. Gradients are linear in it, so those without it are zero.
    scales = jnp.ones(len(x), jnp.float64)
    program = jax.make_jaxpr(partial(_gradients, apply))(params, x, scales)
    scaled = {program.jaxpr.invars[-1]}
    for equation in program.jaxpr.eqns:
        if any(isinstance(atom, core.Var) and atom in scaled for atom in equation.invars):
            scaled.update(equation.outvars)
    leaves = _evaluate(program, jax.tree.leaves((params, x, scales)))
    return [
        leaf if isinstance(leaf, Outer) else leaf.reshape(len(x), -1)
        for leaf, name in zip(leaves, program.jaxpr.outvars, strict=True)
        if name in scaled
    ]


def _evaluate(program: core.ClosedJaxpr, arguments: Sequence[Any]) -> list[jax.Array | Outer]:
    """Return what a traced program returns, products of columns and rows as their factors."""
    jaxpr = program.jaxpr
    names = (*jaxpr.constvars, *jaxpr.invars)
    values = dict(zip(names, (*program.consts, *arguments), strict=True))

    def value_of(atom: core.Var | core.Literal) -> jax.Array | Outer:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        primitive, inputs = equation.primitive, list(map(value_of, equation.invars))
        if primitive.name == "jit":
            outputs = _evaluate(equation.params["jaxpr"], inputs)
        elif (outputs := _outer(primitive.name, equation.params, inputs)) is None:
            whole = [given.whole() if isinstance(given, Outer) else given for given in inputs]
            outputs = primitive.bind(*whole, **primitive.get_bind_params(equation.params))
            outputs = outputs if primitive.multiple_results else [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return list(map(value_of, jaxpr.outvars))


def _outer(name: str, parameters: dict[str, Any], inputs: list[Any]) -> list[Outer] | None:
    """Return the results of a primitive of JAX; None: they are not of rank one.

    Products of a column and a row arise in `dot_general`; the others pass them on.
    """
    outer = inputs[0] if inputs and isinstance(inputs[0], Outer) else None
    if name == "dot_general" and not any(isinstance(given, Outer) for given in inputs):
        contracted, batch = parameters["dimension_numbers"]
        shapes = [given.shape for given in inputs]
        sizes = [
            shape[axis] for shape, axes in zip(shapes, contracted, strict=True) for axis in axes
        ]
        if batch == ((0,), (0,)) and sizes == [1, 1] and [*map(len, shapes)] == [3, 3]:
            return [Outer(*(given.reshape(len(given), -1) for given in inputs))]
    elif outer and name == "transpose" and parameters["permutation"] == (0, 2, 1):
        return [Outer(outer.right, outer.left)]
    elif outer and name == "mul" and jnp.ndim(inputs[1]) == 0:
        return [Outer(outer.left * inputs[1], outer.right)]
    elif outer and name == "split" and parameters["axis"] == 1:
        ends = np.cumsum(parameters["sizes"])[:-1]
        return [Outer(left, outer.right) for left in jnp.split(outer.left, ends, axis=1)]
    return None


def _gradients(apply: Apply, params: Any, x: jax.Array, scales: jax.Array) -> Any:
    """Return the gradients of the outputs at x [b, n], times scales [b]: a tree of [b, ...]."""

    def output(params: Any, point: jax.Array, scale: jax.Array) -> jax.Array:
        return scale * apply(params, point[None])[0]

    gradients = jax.vmap(jax.grad(output), in_axes=(None, 0, 0))
    return gradients(params, x.astype(jnp.float64), scales)


@partial(jax.jit, static_argnames="apply")
def _jacobian(apply: Apply, params: Any, x: jax.Array) -> Any:
    return _gradients(apply, params, x, jnp.ones(len(x), jnp.float64))


@jax.jit
def _gram(first: Features, second: Features) -> jax.Array:
    """Return the inner products [a, b] of all pairs of gradients."""

    def products(a: jax.Array, b: jax.Array) -> jax.Array:
        # Without HIGHEST a GPU would multiply in TF32 and a TPU in bfloat16.
        return jnp.matmul(a, b.T, precision=lax.Precision.HIGHEST)

    def of_leaf(a: jax.Array | Outer, b: jax.Array | Outer) -> jax.Array:
        if isinstance(a, Outer):
            return products(a.left, b.left) * products(a.right, b.right)
        return products(a, b)

    return sum(map(of_leaf, first, second))
