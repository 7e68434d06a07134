"""The min-degree interpolator: the prediction of a pure low-degree bias.

It is the function with the lexicographically smallest degree profile (W^n, …, W^1, W^0), W^d the
sum of squared coefficients of degree d, among those that agree with the target on the seen inputs
(Abbe et al. 2023, "Generalization on the Unseen"). It exists and is unique: each degree in turn
minimizes a norm on the solutions that higher degrees leave.
"""

import numpy as np
from jax.typing import ArrayLike

from pvr_jax import checks
from pvr_jax.boolean import float64
from pvr_jax.refusal import Refusal
from pvr_jax.theory import closed_forms
from pvr_jax.theory.levels import Level, levels
from pvr_jax.theory.symmetry import without_free_and_constant_coordinates

# Seen or unseen points, whichever are fewer, of a problem without a closed form: m by m matrices of
# 128 MB each, and 16 s on two CPU cores.
MAX_POINTS = 4096
PASSES = 2  # the second removes rounding errors of the first


class TooManyPointsError(Refusal):
    """One line: a problem without a closed form that is too large to solve."""


def min_degree_interpolator(values: ArrayLike, seen: ArrayLike) -> np.ndarray:
    """Return the values of the min-degree interpolator on the whole cube.

    values [2^n], read at seen points only, and seen bool [2^n] -> float64 [2^n].
    If x_k = v is seen, it is the target with x_k set to v, whose generalization error (½E over the
    whole cube) is the influence of k.

    Only coordinates on which the seen set depends are solved for. Affine subspaces (frozen bits,
    subcubes, parity constraints) and Hamming balls have closed forms; others need one linear system
    per degree, of the size of the seen or the unseen set, whichever is smaller.

    Raises ValueError if an argument has another shape or type, nothing is seen or a seen value is
    not finite, and TooManyPointsError if more than 4,096 points of either kind remain.
    Source: Abbe et al. 2023; the solution by degrees is derived in `levels`.

    >>> from pvr_jax import theory
    >>> product, seen = [1, -1, -1, 1], [False, False, True, True]  # x0 x1 where x0 = 1
    >>> theory.min_degree_interpolator(product, seen).tolist()  # x1
    [-1.0, 1.0, -1.0, 1.0]
    """
    values, seen = checks.target_and_seen(values, seen)
    problem = without_free_and_constant_coordinates(values, seen)
    return problem.restored(_interpolator(problem.values, problem.seen))


def hilbert_function(seen: ArrayLike) -> np.ndarray:
    """Return the rank of the monomials of degree at most d on the seen set, for d = 0 … n.

    seen bool [2^n] -> int64 [n + 1]. All values on the seen set can be interpolated at degree d if
    and only if it equals the number of seen points.

    Raises ValueError as `min_degree_interpolator`.

    >>> from pvr_jax import theory
    >>> theory.hilbert_function([False, False, True, True]).tolist()  # 1; 1 and x1; no more
    [1, 2, 2]
    """
    seen = checks.seen_set(seen)
    n = int(seen.size).bit_length() - 1
    problem = without_free_and_constant_coordinates(seen.astype(np.float64), seen)
    ranks = _new_ranks(problem.seen, len(problem.kept))
    # A free coordinate doubles the monomials; a constant one adds none.
    for _ in problem.free:
        ranks = np.append(ranks, 0) + np.append(0, ranks)
    ranks = np.pad(ranks, (0, n + 1 - len(ranks)))
    return np.cumsum(ranks)


def _new_ranks(seen: np.ndarray, n: int) -> np.ndarray:
    """Return the increase in rank on the seen set by degree, int64 [n + 1]."""
    if n == 0:
        return np.array([1])
    all_ranks = np.bincount(np.bitwise_count(np.arange(2**n)))
    if seen.all():
        return all_ranks
    by_seen, points = _smaller_side(seen)
    found = levels(points, n, range(n + 1) if by_seen else range(n, -1, -1))
    ranks = np.zeros(n + 1, np.int64)
    for level in found:
        ranks[level.degree] = level.rank
    # Functions that vanish on the seen set are functions on the unseen one; those without high
    # degrees are polynomials that vanish on the seen set.
    return ranks if by_seen else all_ranks - ranks


def _interpolator(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Interpolate each of several functions: values [m, 2^n] to [m, 2^n], seen [2^n]."""
    if seen.all():
        return values
    for closed_form in (closed_forms.affine, closed_forms.hamming_ball):
        if (solution := closed_form(values, seen)) is not None:
            return solution
    n = int(seen.size).bit_length() - 1
    by_seen, points = _smaller_side(seen)
    if by_seen:
        return _from_seen(values, points, levels(points, n, range(n + 1)))
    return _from_unseen(values, points, levels(points, n, range(n, -1, -1)))


def _smaller_side(seen: np.ndarray) -> tuple[bool, np.ndarray]:
    """Return whether the seen points are fewer, and the indices of the fewer ones."""
    count = int(seen.sum())
    by_seen = 2 * count <= seen.size
    fewer = min(count, seen.size - count)
    if fewer > MAX_POINTS:
        raise TooManyPointsError(
            f"seen: given {count:,} seen and {seen.size - count:,} unseen points, coordinates on "
            "which it does not depend left out, of a set that is neither an affine subspace "
            f"nor a Hamming ball; allowed at most {MAX_POINTS:,} of either kind"
        )
    return by_seen, np.flatnonzero(seen if by_seen else ~seen)


def _from_unseen(values: np.ndarray, unseen: np.ndarray, found: list[Level]) -> np.ndarray:
    """Choose the unseen values, highest degree first; the levels hold the degrees downwards."""
    learned = values.copy()
    for _ in range(PASSES):
        for level in found:
            # The part of this degree must be orthogonal, at the unseen points, to every remaining
            # direction; these leave higher degrees unchanged.
            part = float64.of_degree(learned, level.degree)[:, unseen]
            steps = (part @ level.directions) / level.strengths
            learned[:, unseen] -= values.shape[-1] * (steps @ level.directions.T)
    return learned


def _from_seen(values: np.ndarray, seen: np.ndarray, found: list[Level]) -> np.ndarray:
    """Explain the seen values, highest degree first; the levels hold the degrees upwards."""
    learned = np.zeros_like(values)
    for _ in range(PASSES):
        for level in reversed(found):
            # Lower degrees cannot express these directions: this degree must, with minimum norm.
            rest = (values - learned)[:, seen]
            weights = np.zeros_like(values)
            weights[:, seen] = (rest @ level.directions / level.strengths) @ level.directions.T
            learned += values.shape[-1] * float64.of_degree(weights, level.degree)
    learned[:, seen] = values[:, seen]
    return learned
