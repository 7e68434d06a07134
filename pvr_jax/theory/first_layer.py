"""Moments of a first layer whose weights are not Gaussian, exact at any number of inputs.

A pre-activation of the first layer is a sum of n weights, times ±1, and possibly a bias: Gaussian
only if these are, however wide the network, since only later layers sum over many units. For
symmetric weights, the pre-activations (u, v) of two inputs at Hamming distance h are (A + B,
A - B), where A sums over the n - h coordinates in which they agree (and the bias), and B,
independent of A, over the other h; so moments are double integrals over the densities of two sums.

We know of no package for infinitely wide networks that does this; Neural Tangents has Gaussian
weights only.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np
import scipy  # loads scipy.stats, which takes long, where it is used

from pvr_jax.refusal import Refusal

Function = Callable[[np.ndarray], np.ndarray]

NODES = 32  # per piece of a density: exact for polynomials of degree 31
POINTS = 20  # per piece of an integral, between possible kinks of the integrand

# Densities on [-1, 1] of weights scaled to a half-width of 1. Flax truncates the normal at 2
# deviations.
DENSITIES: dict[str, Function] = {
    "uniform": lambda x: np.full_like(x, 0.5),
    "truncated_normal": lambda x: scipy.stats.truncnorm.pdf(x, -2, 2, scale=0.5),
}

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(NODES)
_VALUES = np.polynomial.legendre.legvander(_NODES, NODES - 1)
# Maps values at the nodes to Legendre coefficients: [NODES, NODES].
_TRANSFORM = (np.arange(NODES) + 0.5)[:, None] * _VALUES.T * _WEIGHTS
_POINTS, _POINT_WEIGHTS = np.polynomial.legendre.leggauss(POINTS)


def moments(
    distribution: str,
    deviation: float,
    agreeing: int,
    differing: int,
    function: Function,
    slope: Function,
) -> tuple[float, float]:
    """Return E φ(u) φ(v) and E φ'(u) φ'(v), u = A + B and v = A - B sums of independent weights.

    Args:
        distribution: distribution of the weights, "uniform" or "truncated_normal" (truncated at 2
            standard deviations).
        deviation: standard deviation of one weight.
        agreeing: number of weights in A.
        differing: number of weights in B; A and B have at least one.
        function: φ, smooth except for a kink at 0.
        slope: φ'.

    Accurate to a relative 1e-15, by Gauss-Legendre quadrature between the breakpoints of the
    densities and the kink of φ.

    Raises:
        Refusal: another distribution.
    """
    if distribution not in DENSITIES:
        raise Refusal(f"distribution: given {distribution!r}; allowed {', '.join(DENSITIES)}")
    unit = deviation / _standard_deviation(distribution)
    # (u, v) and (v, u) are equal in distribution, so B >= 0 is enough.
    b, weights_b = (np.zeros(1), np.ones(1))
    if differing:
        edges = np.arange(differing + 1.0)  # breakpoints of the densities
        b, lengths = _between(edges)
        weights_b = 2 * lengths * density(distribution, differing, b)
    a, weights = (np.zeros((1, 1)), np.ones((1, 1)))
    if agreeing:
        changes = np.arange(-agreeing, agreeing + 1.0, 2)
        kinks = np.clip(np.stack([-b, b], axis=1), -agreeing, agreeing)
        fixed = np.broadcast_to(changes, (len(b), len(changes)))
        a, lengths = _between(np.sort(np.concatenate([fixed, kinks], axis=1)))
        weights = lengths * density(distribution, agreeing, a)
    u, v = unit * (a + b[:, None]), unit * (a - b[:, None])
    weights = weights_b[:, None] * weights
    return (
        float((weights * function(u) * function(v)).sum()),
        float((weights * slope(u) * slope(v)).sum()),
    )


def exact_relu_moments(agreeing: int, differing: int) -> tuple[Fraction, Fraction]:
    """Return `moments` of ReLU under weights uniform on [-1, 1], exact.

    E[A² - B²; A > |B|] and P(A > |B|), by the density of a sum of m weights,
    Σ_k (-1)^k C(m, k) (m - 2k - x)_+^(m-1) / (2^m (m-1)!), so that all integrals are of two powers.
    """
    if not agreeing:
        return Fraction(0), Fraction(0)
    ends = _alternating(agreeing)
    if not differing:
        squares = sum(sign * end ** (agreeing + 2) for end, sign in ends)
        return Fraction(2 * squares, 2**agreeing * math.factorial(agreeing + 2)), Fraction(1, 2)
    # Given B = y, P(A > y) is a sum of (f - y)^m / m!, and E[A² - y²; A > y] of
    # 2 f (f - y)^(m+1) / (m+1)! - 2 (m+1) (f - y)^(m+2) / (m+2)!.
    places = [(f, e, s * t) for f, s in ends for e, t in _alternating(differing)]
    whole = math.lcm(*range(1, agreeing + differing + 3))  # makes every integral a whole number
    zeroth, first, second = (
        [
            sign * _product_of_powers(f, agreeing + power, e, differing - 1, whole)
            for f, e, sign in places
        ]
        for power in range(3)
    )
    weighted = sum(f * part for (f, _, _), part in zip(places, first, strict=True))
    product = Fraction(2 * weighted, math.factorial(agreeing + 1))
    product -= Fraction(2 * (agreeing + 1) * sum(second), math.factorial(agreeing + 2))
    scale = Fraction(2, 2 ** (agreeing + differing) * math.factorial(differing - 1) * whole)
    return scale * product, scale * Fraction(sum(zeroth), math.factorial(agreeing))


def _alternating(count: int) -> list[tuple[int, int]]:
    """Ends m - 2k above 0 of the truncated powers in a density of m weights, and their factors."""
    return [(count - 2 * k, (-1) ** k * math.comb(count, k)) for k in range(count) if count > 2 * k]


def _product_of_powers(f: int, p: int, e: int, q: int, whole: int) -> int:
    """`whole` times the integral of (f - y)^p (e - y)^q from y = 0 to the smaller of f and e."""
    if f > e:
        f, p, e, q = e, q, f, p
    return sum(
        math.comb(q, j) * (e - f) ** (q - j) * f ** (p + j + 1) * (whole // (p + j + 1))
        for j in range(q + 1)
    )


def density(distribution: str, count: int, x: np.ndarray) -> np.ndarray:
    """Return the density at x [...] of a sum of `count` >= 1 independent draws on [-1, 1]."""
    piece = np.clip(np.floor((x + count) / 2).astype(int), 0, count - 1)
    local = x + count - 2 * piece - 1
    coefficients = np.moveaxis(_pieces(distribution, count)[piece], -1, 0)
    values = np.polynomial.legendre.legval(local, coefficients, tensor=False)
    return np.where(np.abs(x) <= count, values, 0.0)


@cache
def _pieces(distribution: str, count: int) -> np.ndarray:
    """Legendre coefficients [count, NODES] of a sum's density; piece j starts at 2 j - count.

    If x is in piece j of a sum of count draws, x - y for one of the draws y is in piece j of the
    sum of the others up to some y, and in piece j - 1 beyond.
    """
    if count == 1:
        values = DENSITIES[distribution](_NODES)[None]
    else:
        others = _pieces(distribution, count - 1)
        from_same, from_below = _convolution(distribution)
        values = np.zeros((count, NODES))
        values[:-1] += others @ from_same.T
        values[1:] += others @ from_below.T
    pieces = values @ _TRANSFORM.T
    return pieces / (2 * pieces[:, 0].sum())


@cache
def _convolution(distribution: str) -> tuple[np.ndarray, np.ndarray]:
    """Convolution with one draw: maps coefficients of pieces j and j - 1 to values at nodes."""
    x = _NODES[:, None]
    parts = []
    for low, high, shift in ((-1.0, x, -1), (x, 1.0, 1)):
        y = low + (high - low) * (1 + _NODES) / 2
        weights = (high - low) / 2 * _WEIGHTS * DENSITIES[distribution](y)
        basis = np.polynomial.legendre.legvander(x - y + shift, NODES - 1)
        parts.append((weights[..., None] * basis).sum(axis=1))
    return parts[0], parts[1]


def _standard_deviation(distribution: str) -> float:
    return float(np.sqrt((_WEIGHTS * DENSITIES[distribution](_NODES) * _NODES**2).sum()))


def _between(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return quadrature points and weights [..., k POINTS] for k pieces with edges [..., k + 1]."""
    middles = (edges[..., 1:] + edges[..., :-1])[..., None] / 2
    halves = (edges[..., 1:] - edges[..., :-1])[..., None] / 2
    points = middles + halves * _POINTS
    shape = (*edges.shape[:-1], -1)
    return points.reshape(shape), (halves * _POINT_WEIGHTS).reshape(shape)
