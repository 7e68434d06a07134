"""A network's tangent kernel, averaged over symmetries, as features φ with K = φ φᵀ.

The eigenvalues of a small Transformer's kernel fall by a factor of a hundred per degree. At degree
8 they are below the rounding of the matrix K, but not of its square root φ, where they fall by ten
per degree. Averaging over permutations keeps that precision in a basis in which K has small blocks.

The functions on the cube are a representation of the permutations of its n coordinates. Level l,
the points with l entries +1, contains each irreducible representation j <= min(l, n - l) once,
with dimension d_j = C(n, j) - C(n, j - 1). By Schur's lemma a kernel that commutes with all
permutations is, for each j, a matrix B_j [levels, levels] times the identity on d_j dimensions; for
the mean of J Jᵀ over permutations, B_j = Σ_i A_i A_iᵀ / d_j, where A_i [levels, parameters] are the
i-th components of J. The R of a QR decomposition of the stacked A_iᵀ is a square root of B_j. The
map x -> -x reverses the order of the levels.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from pvr_jax.boolean import cube
from pvr_jax.refusal import Refusal
from pvr_jax.theory.empirical_kernel import LARGEST_N, Apply, Init, jacobian_on_cube
from pvr_jax.theory.kernel_limit import feature_interpolator

MAX_BYTES = 2 << 30  # of the gradients at all points
CHUNK = 4096  # parameters factorized at once
# Relative, of an entry of a gradient: several units in the last place, since entries are sums.
PERTURBATION = 16 * np.finfo(float).eps
MAX_MOVED = 0.02

# Per j, per level from j to n - j: orthonormal columns [points of the level, d_j].
Basis = tuple[tuple[np.ndarray, ...], ...]
# Per j: an upper triangular R [levels, levels] with B_j = Rᵀ R.
Root = tuple[np.ndarray, ...]


class SymmetricKernel(NamedTuple):
    """The blocks of a kernel, and those from gradients perturbed by about their rounding."""

    root: Root
    perturbed: Root


def fits(init: Init, n: int) -> bool:
    """Return whether a network's gradients at all points of the cube take at most 2 GiB."""
    return parameters_of(init, n) << (n + 3) <= MAX_BYTES


def parameters_of(init: Init, n: int) -> int:
    """Return the number of parameters that `init(key, x[b, n])` returns."""
    shapes = jax.eval_shape(lambda: init(jax.random.key(0), jnp.ones((1, n))))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def symmetric_kernel(init: Init, apply: Apply, n: int, key: jax.Array) -> SymmetricKernel:
    """Return the square roots of a network's tangent kernel, averaged over symmetries.

    The kernel is `mean_empirical_kernel(init, apply, n, [key], symmetrize=True)`, in higher
    relative precision. Regress with it by `symmetric_interpolator`.

    Args:
        init: init(key, x[b, n]) -> params.
        apply: apply(params, x[b, n]) -> y[b].
        n: coordinates, up to 12.
        key: key of the initialization.

    Raises ValueError if n is above 12 or if the Jacobian [2^n, parameters] takes more than 2 GiB.
    """
    if not 1 <= n <= LARGEST_N:
        raise Refusal(f"n: given {n}; allowed 1 to {LARGEST_N} for an empirical kernel")
    if not fits(init, n):
        raise Refusal(
            f"parameters: given {parameters_of(init, n):,}; allowed {MAX_BYTES >> (n + 3):,} for "
            f"roots at {2**n:,} points; mean_empirical_kernel takes any number"
        )
    params = jax.jit(init)(key, cube.points_at(np.zeros(1, np.int32), n))
    jacobian = jacobian_on_cube(apply, params, n)
    basis = permutation_basis(n)
    random = np.random.default_rng(0)
    root = perturbed = tuple(np.zeros((0, len(levels))) for levels in basis)
    for start in range(0, jacobian.shape[1], CHUNK):
        part = jacobian[:, start : start + CHUNK]
        root = _with_more(root, part, basis)
        noise = random.random(part.shape, dtype=np.float32) - 0.5
        perturbed = _with_more(perturbed, part * (1 + PERTURBATION * noise), basis)
    return SymmetricKernel(_with_signs(root), _with_signs(perturbed))


def mean_features(roots: Sequence[Root]) -> np.ndarray:
    """Return features φ [2^n, 2^n] such that φ φᵀ is the mean of one or more kernels.

    Rows in the order of `cube.index`.
    """
    n = roots[0][0].shape[1] - 1
    blocks = [_root_of(parts) / np.sqrt(len(roots)) for parts in zip(*roots, strict=True)]
    return _features(blocks, permutation_basis(n))


def symmetric_interpolator(
    kernels: Sequence[SymmetricKernel],
    values: ArrayLike,
    seen: ArrayLike,
    check_rounding: bool = True,
) -> np.ndarray:
    """Return the function that regression with the mean of kernels learns.

    values [2^n], read where seen bool [2^n]; returns float64 [2^n].

    Raises ValueError as `feature_interpolator`, and, with `check_rounding`, if a perturbation of
    the gradients, somewhat larger than their rounding, moves the result by more than 2 % (root mean
    square). The seen values cannot reveal this, since they are interpolated in any case.
    """
    roots, perturbed_roots = zip(*kernels, strict=True)
    learned = feature_interpolator(mean_features(roots), values, seen)
    if not check_rounding:
        return learned
    perturbed = feature_interpolator(mean_features(perturbed_roots), values, seen)
    moved = np.sqrt(np.square(learned - perturbed).mean() / max(np.square(learned).mean(), 1e-300))
    if moved > MAX_MOVED:
        raise Refusal(
            f"kernel: given one whose prediction moves by {moved:.1%} with the rounding of float64;"
            f" allowed {MAX_MOVED:.0%}"
        )
    return learned


def _with_more(root: Root, functions: np.ndarray, basis: Basis) -> Root:
    """Return the root of a kernel after adding functions [2^n, p] as features."""
    parts = _components(functions, basis)
    return tuple(_root_of(pair) for pair in zip(root, parts, strict=True))


def _with_signs(root: Root) -> Root:
    """Return the root of the mean of a kernel and its image under x -> -x."""
    return tuple(_root_of((block, block[:, ::-1])) / np.sqrt(2) for block in root)


def _components(functions: np.ndarray, basis: Basis) -> Iterator[np.ndarray]:
    """Yield, per j, the components [d_j * p, levels] of functions [2^n, p], over √d_j."""
    level_of = _levels(functions.shape[0])
    by_level = [functions[level_of == level] for level in range(level_of.max() + 1)]
    for j, levels in enumerate(basis):
        parts = [columns.T @ by_level[level] for level, columns in enumerate(levels, start=j)]
        dimension = levels[0].shape[1]
        yield np.stack(parts, axis=-1).reshape(-1, len(levels)) / np.sqrt(dimension)


def _root_of(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return an upper triangular R with Rᵀ R = Σ Pᵀ P over parts P [any, m]."""
    return np.linalg.qr(np.concatenate(parts), mode="r")


def _features(blocks: Sequence[np.ndarray], basis: Basis) -> np.ndarray:
    """The features [2^n, 2^n] of the kernel with blocks Rᵀ R: columns by j, row of R, dimension."""
    size = sum(levels[0].shape[1] * len(levels) for levels in basis)
    level_of = _levels(size)
    features, column = np.zeros((size, size)), 0
    for j, (root, levels) in enumerate(zip(blocks, basis, strict=True)):
        root = np.concatenate([root, np.zeros((len(levels) - len(root), len(levels)))])
        width = len(levels) * levels[0].shape[1]
        for number, columns in enumerate(levels):
            features[level_of == j + number, column : column + width] = np.kron(
                root[:, number], columns
            )
        column += width
    return features


@lru_cache(maxsize=2)
def permutation_basis(n: int) -> Basis:
    """Return, per irreducible representation j <= n/2 of the permutations, its copies by level.

    Entry [j][l - j] holds orthonormal columns [C(n, l), d_j] on the points with l entries +1, in
    the order of `cube.index`; a column is the same vector of the representation on every level.
    Level j is the null space of the sum over neighbors below; the sum over neighbors above maps
    level l to l + 1 and multiplies norms by √((l - j + 1)(n - l - j)).
    Source: the representation of su(2) on n spins.
    """
    points = [np.flatnonzero(_levels(2**n) == level) for level in range(n + 1)]
    # raises[l] [C(n, l + 1), C(n, l)]: whether points of levels l + 1 and l differ in one bit.
    raises = [
        (np.bitwise_count(above[:, None] ^ below[None, :]) == 1).astype(np.float64)
        for below, above in itertools.pairwise(points)
    ]
    basis = []
    for j in range(n // 2 + 1):
        if j == 0:
            lowest = np.ones((1, 1))
        else:
            _, _, rows = np.linalg.svd(raises[j - 1].T)
            lowest = rows[len(points[j - 1]) :].T
        levels = [lowest]
        for level in range(j, n - j):
            growth = np.sqrt((level - j + 1) * (n - level - j))
            levels.append(raises[level] @ levels[-1] / growth)
        basis.append(tuple(levels))
    return tuple(basis)


def _levels(size: int) -> np.ndarray:
    """Return the number of entries +1 of every point of a cube of `size` points."""
    return np.bitwise_count(np.arange(size)).astype(int)
