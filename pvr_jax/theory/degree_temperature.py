"""Degree temperature: how strongly what was learned prefers low degree, as one number.

The noise kernel Π_i (1 + ρ x_i x'_i) has the eigenvalue ρ^d at degree d. Its interpolant goes from
the min-degree interpolator (ρ → 0) to a function that is 0 wherever training did not look (ρ = 1).
The ρ whose interpolant is nearest to a learned function compares architectures, optimisers,
widths, rates and init scales on one scale.
"""

import numpy as np
import scipy.optimize
from jax.typing import ArrayLike

from pvr_jax.theory import checks, closed_forms
from pvr_jax.theory.kernel_limit import kernel_interpolator
from pvr_jax.theory.min_degree import min_degree_interpolator
from pvr_jax.theory.symmetry import without_irrelevant_coordinates

# The smallest ρ^n of a system that float64 still solves to six digits.
SMALLEST_EIGENVALUE = 1e-10


def noise_kernel_interpolator(values: ArrayLike, seen: ArrayLike, rho: float) -> np.ndarray:
    """Return the interpolant of the noise kernel Π (1 + ρ x_i x'_i) on the whole cube.

    values [2^n], read at seen points only, seen bool [2^n] and ρ from 0 to 1 -> float64 [2^n].
    ρ = 0 is its limit, the min-degree interpolator. With one bit frozen it is the frozen function
    times (1 + ρ v x_k) / (1 + ρ).

    Raises ValueError as `kernel_interpolator`, or for another ρ.
    """
    if not 0 <= rho <= 1:
        raise ValueError(f"rho: given {rho!r}; allowed 0 to 1")
    if rho == 0:
        return min_degree_interpolator(values, seen)
    n = int(np.asarray(seen).size).bit_length() - 1
    return kernel_interpolator(float(rho) ** np.arange(n + 1), values, seen)


def degree_temperature(learned: ArrayLike, target: ArrayLike, seen: ArrayLike) -> float:
    """Return the ρ from 0 to 1 whose noise-kernel interpolant is nearest to a learned function.

    learned [2^n], target [2^n] (read at seen points only) and seen bool [2^n] -> ρ, which
    minimises the mean square distance over the unseen points. With one bit frozen,
    ρ = (1 - c) / (1 + c), c the projection of `analysis.canonical.extrapolation`, held to [0, 1].
    NaN where nothing is unseen, or where no ρ makes a difference there.

    Seen sets other than affine subspaces are searched from ρ^r = 1e-10 on, r the coordinates that
    play a part, and at 0.

    Raises ValueError as `kernel_interpolator`.
    """
    target, seen = checks.target_and_seen(target, seen)
    learned = np.asarray(learned, np.float64)
    if learned.shape != seen.shape:
        raise ValueError(f"learned: given shape {learned.shape}; allowed {seen.shape}")

    def distance(rho: float) -> float:
        interpolant = noise_kernel_interpolator(target, seen, rho)
        return float(np.mean(np.square(learned - interpolant)[~seen]))

    if seen.all() or np.allclose(
        noise_kernel_interpolator(target, seen, 0.0)[~seen],
        noise_kernel_interpolator(target, seen, 1.0)[~seen],
        rtol=0,
        atol=1e-12,
    ):
        return float("nan")
    lowest = 0.0
    if closed_forms.constraints(seen) is None:
        used = without_irrelevant_coordinates(target, seen).kept
        lowest = SMALLEST_EIGENVALUE ** (1 / len(used))
    found = scipy.optimize.minimize_scalar(
        distance, bounds=(lowest, 1.0), method="bounded", options={"xatol": 1e-8}
    )
    candidates = [0.0, float(found.x), 1.0]
    return min(candidates, key=distance)
