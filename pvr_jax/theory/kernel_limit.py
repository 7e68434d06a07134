"""The kernel limit: functions learned by regression with a fixed kernel.

Ridgeless kernel regression learns the function of minimum norm in the kernel's space among those
that agree with the target on the seen inputs. For a kernel of the Hamming distance with eigenvalue
μ_d at degree d the squared norm is Σ g^(S)²/μ_|S|. The faster μ falls, the closer the solution is
to the min-degree interpolator.
"""

import numpy as np
import scipy.linalg
from jax.typing import ArrayLike

from pvr_jax import checks
from pvr_jax.boolean import float64, measures
from pvr_jax.boolean.krawtchouk import distances, kernel_of
from pvr_jax.refusal import Refusal
from pvr_jax.theory import closed_forms
from pvr_jax.theory.symmetry import without_irrelevant_coordinates

MAX_POINTS = 8192
# Eigenvalues below this share of the largest are indistinguishable from 0 in a linear system.
NEGLIGIBLE = 1e-14


def kernel_influences(
    coefficients: ArrayLike, eigenvalues: ArrayLike, value: int = 1
) -> np.ndarray:
    """Return the generalization error of kernel regression with each single bit frozen.

    Σ_{T∌k} ((1 - π_|T|) f^(T) - v π_|T| f^(T∪k))², π_d = μ_d / (μ_d + μ_{d+1}): the half squared
    error over the whole cube of kernel regression fitted to all inputs with x_k = v, from a zero
    start. π ≡ 1 gives the influences, π ≡ ½ a kernel without preference for low degree.

    Args:
        coefficients: f^ [2^n], in the order of `cube.index`.
        eigenvalues: nonnegative μ [n + 1] by degree.
        value: the v to which the bit is frozen, -1 or +1.

    Returns:
        float64 [n]. NaN if the kernel lacks two successive degrees that the target needs, so that
        it cannot fit the seen inputs.

    Raises ValueError for other shapes, negative eigenvalues or another value.
    Source: representer theorem, on the classes {T, T ∪ k} that are equal on the seen inputs.

    >>> from pvr_jax import theory
    >>> theory.kernel_influences([0, 0, 0, 1], [4, 3, 1]).tolist()  # of x0 x1: (3/4)^2 for each bit
    [0.5625, 0.5625]
    """
    coefficients = np.asarray(coefficients, np.float64)
    n = int(coefficients.size).bit_length() - 1
    if coefficients.shape != (2**n,) or n < 1:
        raise Refusal(f"coefficients: given shape {coefficients.shape}; allowed [2^n]")
    eigenvalues = _eigenvalues(eigenvalues, n)
    with float64.exact():
        sums = [map(np.asarray, measures.cross_sums(coefficients, bit)) for bit in range(n)]
        return np.array([kernel_error(*own, eigenvalues, value) for own in sums])


def kernel_error(
    low_squares: ArrayLike,
    products: ArrayLike,
    high_squares: ArrayLike,
    eigenvalues: ArrayLike,
    value: int = 1,
) -> float:
    """Return the generalization error of kernel regression with one bit frozen, at any n.

    Σ_d (1 - π_d)² Σ f^(T)² - 2 v (1 - π_d) π_d Σ f^(T) f^(T∪k) + π_d² Σ f^(T∪k)², the inner sums
    over the sets T of size d without the bit k: `kernel_influences`, from three sums by degree
    instead of 2^n coefficients.

    Args:
        low_squares: Σ f^(T)² [n] by degree.
        products: Σ f^(T) f^(T∪k) [n].
        high_squares: Σ f^(T∪k)² [n]; the three are `tasks.exact_facts(task).cross_sums(k)`.
        eigenvalues: nonnegative μ [n + 1] by degree; NaN: unknown.
        value: the v to which the bit is frozen, -1 or +1.

    Returns:
        The error. NaN if the target needs a degree d for which the kernel has neither degree d nor
        d + 1, or of which one of the two is unknown.

    Raises ValueError for other shapes, negative eigenvalues or another value.

    >>> from pvr_jax import theory
    >>> theory.kernel_error([0, 0], [0, 0], [0, 1], [4, 3, 1])  # of x0 x1: (3/4)^2
    0.5625
    """
    sums = [np.asarray(each, np.float64) for each in (low_squares, products, high_squares)]
    if sums[0].ndim != 1 or not sums[0].size or len({each.shape for each in sums}) > 1:
        shapes = ", ".join(str(each.shape) for each in sums)
        raise Refusal(f"sums: given shapes {shapes}; allowed three of [n]")
    if value not in (-1, 1):
        raise Refusal(f"value: given {value!r}; allowed -1 or +1")
    low, between, high = sums
    mu = _eigenvalues(eigenvalues, len(low), may_be_unknown=True)
    with np.errstate(invalid="ignore"):
        kept, leaked = mu[:-1] / (mu[:-1] + mu[1:]), mu[1:] / (mu[:-1] + mu[1:])
    parts = leaked**2 * low - 2 * value * leaked * kept * between + kept**2 * high
    # Where the aliases cancel on the seen inputs, there is nothing of that degree to be learned.
    cancel = low + 2 * value * between + high <= float64.ROUNDING * (low + high)
    return float(np.where(np.isnan(kept) & cancel, low, parts).sum())


def kernel_interpolator(kernel: ArrayLike, values: ArrayLike, seen: ArrayLike) -> np.ndarray:
    """Return the function that kernel regression learns, on the whole cube.

    Args:
        kernel: eigenvalues μ [n + 1] by degree of a kernel of the Hamming distance, or any
            kernel's matrix [2^n, 2^n], symmetric and positive semi-definite.
        values: [2^n], read at seen points only.
        seen: bool [2^n].

    Returns:
        float64 [2^n], equal to `values` at the seen points up to rounding.

    With eigenvalues, irrelevant coordinates are removed first. Affine seen sets (frozen bits,
    subcubes, parity constraints) then have a closed form; others need one linear system of the size
    of the seen or the unseen set, whichever is smaller. A matrix is solved at its seen points.

    Raises ValueError for other shapes, a kernel that cannot hold the seen values (the message says
    by how much), or more than 8,192 points to solve for.
    Source: representer theorem; the minimum-norm interpolant.

    >>> from pvr_jax import theory
    >>> product, seen = [1, -1, -1, 1], [False, False, True, True]  # x0 x1 where x0 = 1
    >>> learned = theory.kernel_interpolator([4, 3, 1], product, seen)
    >>> learned.round(6).tolist()  # 3/4 x1 + 1/4 x0 x1, in the ratio of the eigenvalues
    [-0.5, 0.5, -1.0, 1.0]
    """
    values, seen = checks.target_and_seen(values, seen)
    kernel = np.asarray(kernel, np.float64)
    n = int(seen.size).bit_length() - 1
    if kernel.shape == (seen.size, seen.size):
        _check_finite("kernel", kernel)
        points = np.flatnonzero(seen)
        _check_size(len(points), seen)
        learned = kernel[:, points] @ _solve(kernel[np.ix_(points, points)], values[points])
    else:
        kernel = _eigenvalues(kernel, n)
        problem = without_irrelevant_coordinates(values, seen)
        learned = problem.restored(_by_degree(kernel, problem.values[0], problem.seen)[None])
    _check_fit(learned, values, seen)
    return learned


def feature_interpolator(features: ArrayLike, values: ArrayLike, seen: ArrayLike) -> np.ndarray:
    """Return the minimum-norm function in given features with the seen values, on the whole cube.

    Regression with the kernel φ φᵀ, without forming the product (and its rounding error).

    Args:
        features: φ [2^n, any].
        values: [2^n], read at seen points only.
        seen: bool [2^n].

    Returns:
        float64 [2^n], equal to `values` at the seen points up to rounding.

    Raises ValueError for other shapes, features that cannot hold the seen values (the message says
    by how much), or more than 8,192 seen points.
    Source: the minimum-norm interpolant, by a QR decomposition with pivoting.
    """
    values, seen = checks.target_and_seen(values, seen)
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) != len(seen):
        raise Refusal(f"features: given shape {features.shape}; allowed [{len(seen)}, any]")
    _check_finite("features", features)
    points = np.flatnonzero(seen)
    _check_size(len(points), seen)
    learned = features @ _least_solution(features[points], values[points])
    _check_fit(learned, values, seen)
    return learned


def _least_solution(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Minimum-norm solution [b] of a system [a, b], ignoring dependent rows."""
    negligible = max(matrix.shape) * np.finfo(float).eps
    order = np.arange(len(matrix))
    basis, root = scipy.linalg.qr(matrix.T, mode="economic")
    sizes = np.abs(np.diagonal(root))
    if len(sizes) < len(matrix) or sizes.min() <= negligible * sizes.max():
        # Pivoting is several times slower, but puts dependent rows last.
        basis, root, order = scipy.linalg.qr(matrix.T, mode="economic", pivoting=True)
        sizes = np.abs(np.diagonal(root))
    rank = int(np.sum(sizes > negligible * sizes.max()))
    weights = scipy.linalg.solve_triangular(root[:rank, :rank], right[order[:rank]], trans="T")
    return basis[:, :rank] @ weights


def _by_degree(eigenvalues: np.ndarray, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Interpolate with a kernel of the Hamming distance; μ may be that of a larger cube."""
    n = int(seen.size).bit_length() - 1
    # For functions of fewer coordinates, the norm of the kernel has the same eigenvalues.
    eigenvalues = eigenvalues[: n + 1]
    if n == 0:  # a constant function, seen everywhere
        return values * (eigenvalues[0] > 0)
    if (basis := closed_forms.constraints(seen)) is not None:
        sizes = np.bitwise_count(np.arange(values.size))
        return closed_forms.shared(values, basis, eigenvalues[sizes])
    definite = eigenvalues.min() > NEGLIGIBLE * eigenvalues.max()
    count = int(seen.sum())
    if 2 * count <= seen.size or not definite:
        points = np.flatnonzero(seen)
        _check_size(count, seen)
        matrix = kernel_of(eigenvalues)[distances(points, points)]
        weights = np.zeros_like(values)
        weights[points] = _solve(matrix, values[points])
        return float64.scaled_by_degree(weights, eigenvalues * values.size)
    # The minimum norm is stationary in every unseen value: (K^-1 g) = 0 there.
    points = np.flatnonzero(~seen)
    _check_size(len(points), seen)
    inverse = eigenvalues.max() / eigenvalues
    matrix = kernel_of(inverse)[distances(points, points)] / values.size
    learned = values.copy()
    learned[points] = -_solve(matrix, float64.scaled_by_degree(values, inverse)[points])
    return learned


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve a positive semi-definite system; minimum-norm solution if singular."""
    try:
        factor = scipy.linalg.cho_factor(matrix, lower=True)
        pivots = np.square(np.diagonal(factor[0]))
        if pivots.min() > NEGLIGIBLE * len(matrix) * pivots.max():
            solution = scipy.linalg.cho_solve(factor, right)
            return solution + scipy.linalg.cho_solve(factor, right - matrix @ solution)
    except np.linalg.LinAlgError:
        pass
    # The eigenvalues of some networks fall by a factor of a hundred per degree: keep everything
    # above rounding.
    strengths, basis = scipy.linalg.eigh(matrix)
    kept = strengths > NEGLIGIBLE * strengths[-1]
    return basis[:, kept] @ ((basis[:, kept].T @ right) / strengths[kept])


def _eigenvalues(eigenvalues: ArrayLike, n: int, may_be_unknown: bool = False) -> np.ndarray:
    eigenvalues = np.asarray(eigenvalues, np.float64)
    if eigenvalues.shape != (n + 1,):
        raise Refusal(
            f"eigenvalues: given shape {eigenvalues.shape}; allowed [{n + 1}], one per degree from "
            f"0 to {n} (or, of an interpolator, the kernel's matrix [{2**n}, {2**n}])"
        )
    known = eigenvalues[~np.isnan(eigenvalues)] if may_be_unknown else eigenvalues
    if not (known >= 0).all() or not np.isfinite(known).all():
        raise Refusal(f"eigenvalues: given {eigenvalues.tolist()}; allowed finite, none below 0")
    if not eigenvalues.any():  # NaN is true
        raise Refusal("eigenvalues: given zeros only; allowed at least one above 0")
    return eigenvalues


def _check_finite(name: str, array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        worst = array[~np.isfinite(array)][0]
        raise Refusal(f"{name}: given a matrix with {worst}; allowed finite numbers")


def _check_size(count: int, seen: np.ndarray) -> None:
    if count > MAX_POINTS:
        raise Refusal(
            f"seen: given {int(seen.sum())} seen and {int((~seen).sum())} unseen points, of which "
            f"{count} have to be solved for; allowed {MAX_POINTS}"
        )


def _check_fit(learned: np.ndarray, values: np.ndarray, seen: np.ndarray) -> None:
    worst = np.abs(learned - values)[seen].max()
    if not worst <= 1e-5 * np.abs(values[seen]).max():
        raise Refusal(
            f"kernel: given one that misses the seen values by up to {worst:.3g}; allowed kernels "
            "whose functions can take these values"
        )
