"""Interpolators that need no linear algebra, at any size of the cube.

Affine subspaces (frozen bits, subcubes, parity constraints and their intersections) and Hamming
balls are recognized from the seen set alone.
"""

import math

import numpy as np

from pvr_jax.boolean import float64


def constraints(seen: np.ndarray) -> list[int] | None:
    """Return independent sets S whose χ_S are constant on an affine seen set and define it.

    seen bool [2^n] -> spectrum indices, none if everything is seen; None if it is not affine.
    """
    count = int(seen.sum())
    if count & (count - 1):
        return None
    # |1_seen^(S)| is |seen|/2^n exactly where χ_S is constant on the seen points. By Parseval
    # there are at most 2^n/|seen| such S, and that many only for an affine subspace.
    coefficients = float64.spectrum(seen)
    constant = np.flatnonzero(np.abs(coefficients) == count / seen.size)
    if len(constant) != seen.size // count:
        return None
    basis: list[int] = []
    spanned = {0}
    for candidate in map(int, constant):
        if candidate not in spanned:
            basis.append(candidate)
            spanned |= {candidate ^ member for member in spanned}
    return basis


def shared(values: np.ndarray, basis: list[int], weights: np.ndarray) -> np.ndarray:
    """Return the interpolator on an affine seen set that splits each class by given weights.

    The sets S fall into classes, the cosets of the span of `basis`, within which all χ_S agree up
    to sign on the seen set. The seen values determine one sum of coefficients per class, which is
    split in proportion to weights [2^n]. Weights μ_|S| minimize Σ g^(S)²/μ_|S|. A class without
    weight gets 0. values float64 [..., 2^n] (0 where unseen), like the result.
    """
    # The coefficients of f·1_seen are those class sums, over the size 2^c of a class.
    sums = float64.spectrum(values) * 2.0 ** len(basis)
    total = _over_classes(weights, basis, np.add)
    shares = np.divide(weights, total, out=np.zeros(weights.size), where=total > 0)
    return float64.values_of(sums * shares)


def affine(values: np.ndarray, seen: np.ndarray) -> np.ndarray | None:
    """Return the min-degree interpolators [..., 2^n] on an affine seen set, None for other sets.

    The smallest profile splits each class equally among its sets of lowest degree. With one bit
    frozen the classes are the pairs {T, T ∪ k}: the interpolator is the frozen function.
    values float64 [..., 2^n] (0 where unseen), seen bool [2^n].
    """
    if (basis := constraints(seen)) is None:
        return None
    sizes = np.bitwise_count(np.arange(seen.size))
    least = _over_classes(sizes, basis, np.minimum)
    return shared(values, basis, (sizes == least).astype(np.float64))


def _over_classes(array: np.ndarray, basis: list[int], combine: np.ufunc) -> np.ndarray:
    """Combine the entries of each class: [2^n] to [2^n], equal within a class."""
    sets = np.arange(array.size)
    for constraint in basis:
        array = combine(array, array[sets ^ constraint])
    return array


def hamming_ball(values: np.ndarray, seen: np.ndarray) -> np.ndarray | None:
    """Return the min-degree interpolators [..., 2^n] on a Hamming ball, None for other sets.

    A ball of radius r has as many points as there are monomials of degree at most r, and these are
    independent on it: one interpolator has degree at most r. In the indicators z_i of "differs
    from the center in i" its coefficient of Π_T z is Σ_{U ⊆ T} (-1)^|T-U| f(U), |T| <= r (Möbius
    inversion). values float64 [..., 2^n] (0 where unseen), seen bool [2^n].
    """
    ball = _ball(seen)
    if ball is None:
        return None
    center, radius = ball
    numbers = np.arange(seen.size)
    moebius = _over_subsets(values[..., numbers ^ center], sign=-1.0)
    moebius = np.where(np.bitwise_count(numbers) <= radius, moebius, 0.0)
    return _over_subsets(moebius, sign=1.0)[..., numbers ^ center]


def _ball(seen: np.ndarray) -> tuple[int, int] | None:
    """Return the center (index of a point) and radius of a Hamming ball; None for other sets."""
    n = int(seen.size).bit_length() - 1
    numbers = np.flatnonzero(seen)
    count = len(numbers)
    sizes = np.cumsum([math.comb(n, r) for r in range(n + 1)])
    if count not in sizes:
        return None
    # Unless the ball is the whole cube, most of its points agree with the center in a coordinate.
    bits = [1 << i for i in range(n)]
    center = sum(bit for bit in bits if 2 * int(((numbers & bit) != 0).sum()) > count)
    radius = int(np.flatnonzero(sizes == count)[0])
    inside = np.bitwise_count(np.arange(seen.size) ^ center) <= radius
    return (center, radius) if np.array_equal(inside, seen) else None


def _over_subsets(values: np.ndarray, sign: float) -> np.ndarray:
    """At each T, Σ_{U ⊆ T} sign^|T-U| values(U); subsets of the bits of an index, [..., 2^n]."""
    values = values.copy()
    n = int(values.shape[-1]).bit_length() - 1
    for i in range(n):
        halves = values.reshape(*values.shape[:-1], -1, 2, 2**i)
        halves[..., 1, :] += sign * halves[..., 0, :]
    return values
