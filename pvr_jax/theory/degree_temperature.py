"""Degree temperature: the preference of a learned function for low degree, as one number.

The noise kernel Π_i (1 + ρ x_i x'_i) has the eigenvalue ρ^d at degree d. Its interpolant goes from
the min-degree interpolator (ρ → 0) to a function that is 0 at unseen inputs (ρ = 1). The ρ whose
interpolant is nearest to a learned function compares architectures, optimizers, widths, learning
rates and init scales on one scale.
"""

import numpy as np
import scipy  # loads scipy.optimize, which takes long, where it is used
from jax.typing import ArrayLike

from pvr_jax import checks
from pvr_jax.refusal import Refusal
from pvr_jax.theory import closed_forms
from pvr_jax.theory.kernel_limit import kernel_interpolator
from pvr_jax.theory.min_degree import min_degree_interpolator
from pvr_jax.theory.symmetry import without_free_coordinates

# The smallest ρ^n for which float64 solves the system to six digits.
SMALLEST_EIGENVALUE = 1e-10
MAX_POINTS = 1024


def noise_kernel_interpolator(values: ArrayLike, seen: ArrayLike, rho: float) -> np.ndarray:
    """Return the interpolant of the noise kernel Π (1 + ρ x_i x'_i) on the whole cube.

    values [2^n], read at seen points only, seen bool [2^n] and ρ from 0 to 1 -> float64 [2^n].
    ρ = 0 is its limit, the min-degree interpolator. With one bit frozen it is the frozen function
    times (1 + ρ v x_k) / (1 + ρ).

    Raises ValueError as `kernel_interpolator`, or for another ρ.
    """
    if not 0 <= rho <= 1:
        raise Refusal(f"rho: given {rho!r}; allowed 0 to 1")
    if rho == 0:
        return min_degree_interpolator(values, seen)
    values, seen = checks.target_and_seen(values, seen)
    n = int(seen.size).bit_length() - 1
    problem = without_free_coordinates(values, seen)
    if closed_forms.constraints(seen) is not None or len(problem.kept) in (0, n):
        return kernel_interpolator(float(rho) ** np.arange(n + 1), values, seen)
    return problem.restored(_of_each(problem.values, problem.seen, rho))


def _of_each(values: np.ndarray, seen: np.ndarray, rho: float) -> np.ndarray:
    """Interpolate several functions [t, 2^r], via the operator if it has fewer columns."""
    eigenvalues = float(rho) ** np.arange(int(seen.size).bit_length())
    if (count := int(seen.sum())) >= len(values):
        return np.stack([kernel_interpolator(eigenvalues, row, seen) for row in values])
    columns = np.eye(seen.size)[seen]
    operator = np.stack([kernel_interpolator(eigenvalues, column, seen) for column in columns])
    return values[:, seen].reshape(-1, count) @ operator


def degree_temperature(learned: ArrayLike, target: ArrayLike, seen: ArrayLike) -> float:
    """Return the ρ from 0 to 1 whose noise-kernel interpolant is nearest to a learned function.

    learned [2^n], target [2^n] (read at seen points only) and seen bool [2^n] -> ρ, which
    minimizes the mean square distance over the unseen points. With one bit frozen,
    ρ = (1 - c) / (1 + c), c the projection of `analysis.canonical.extrapolation`, held to [0, 1].
    NaN if nothing is unseen, if all ρ agree at the unseen points, or if the learned function is not
    finite there, as in a diverged run.

    For seen sets that are not affine, ρ is searched from ρ^r = 1e-10, r the number of coordinates
    on which they depend, and at 0.

    Raises ValueError as `kernel_interpolator`, or if such a set depends on more than 10
    coordinates.
    """
    target, seen = checks.target_and_seen(target, seen)
    learned = np.asarray(learned, np.float64)
    if learned.shape != seen.shape:
        raise Refusal(f"learned: given shape {learned.shape}; allowed {seen.shape}")

    learned = learned[~seen]
    if seen.all() or not np.isfinite(learned).all():
        return float("nan")
    least, flat = (noise_kernel_interpolator(target, seen, rho)[~seen] for rho in (0.0, 1.0))
    if np.allclose(least, flat, rtol=0, atol=1e-12 * np.abs(target).max()):
        return float("nan")
    scale = max(np.abs(learned).max(), np.abs(target).max())

    def distance(rho: float) -> float:
        # Relative to ρ = 0, and to the scale of the functions.
        interpolant = noise_kernel_interpolator(target, seen, rho)[~seen]
        both = interpolant / scale + least / scale - 2 * (learned / scale)
        return float(np.mean((interpolant - least) * both))

    lowest = 0.0
    if closed_forms.constraints(seen) is None:
        used = len(without_free_coordinates(target, seen).kept)
        if 1 << used > MAX_POINTS:
            raise Refusal(
                f"seen: given one that depends on {used} coordinates; allowed up to "
                f"{MAX_POINTS.bit_length() - 1}, as every rho is a system to solve"
            )
        lowest = SMALLEST_EIGENVALUE ** (1 / used)
    found = scipy.optimize.minimize_scalar(
        distance, bounds=(lowest, 1.0), method="bounded", options={"xatol": 1e-8}
    )
    candidates = [0.0, float(found.x), 1.0]
    return min(candidates, key=distance)
