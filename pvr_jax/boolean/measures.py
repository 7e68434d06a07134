"""Influences, noise stability and cross-predictability, from Fourier coefficients.

All take coefficients [..., 2^n] of real-valued functions, ordered as in `fourier.walsh_hadamard`;
the classical meaning for +-1-valued f is stated too.
Dtypes: float32 and float64 are kept, integers become the default float dtype. Every function
raises ValueError if the last axis is not 2^n long with n from 1 to 30, or for complex numbers.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from pvr_jax import checks
from pvr_jax.boolean import cube, fourier


def influences(coefficients: ArrayLike) -> jax.Array:
    """Influence of each coordinate: coefficients [..., 2^n] to [..., n].

    Inf_k = sum of f^(S)^2 over the S that contain k
          = E[((f(x with x_k = 1) - f(x with x_k = -1)) / 2)^2].
    It is half the mean square difference between f and f with x_k set to 1, and for +-1-valued f
    the probability that flipping x_k changes f (Abbe et al. 2022).

    >>> from pvr_jax.boolean import measures
    >>> measures.influences([3, 0, 1, 2]).tolist()  # 3 + x0 + 2 x0 x1: 1 + 4, and 4
    [5.0, 4.0]
    """
    coefficients = checks.real_array("coefficients", coefficients)
    cube.dimension(coefficients, "coefficients")
    return _influences(coefficients)


@jax.jit
def _influences(coefficients: jax.Array) -> jax.Array:
    power = jnp.square(coefficients)
    result = []
    while power.shape[-1] > 1:
        # The leading coordinate is then summed out: 2^n + 2^(n-1) + ... operations.
        without, having = jnp.split(power, 2, axis=-1)
        result.append(having.sum(axis=-1))
        power = without + having
    return jnp.stack(result, axis=-1)


def cross_sums(coefficients: ArrayLike, bit: ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sums over the sets T without k = `bit`, by size: coefficients [..., 2^n] to three [..., n].

    Entry d of the three is the sum of f^(T)^2, of f^(T) f^(T with k) and of f^(T with k)^2 over
    the T of size d: all that the kernel limit needs of a target with k frozen.

    `bit` is a scalar and may be traced, its range then unchecked.

    >>> from pvr_jax.boolean import measures
    >>> [sums.tolist() for sums in measures.cross_sums([3, 0, 1, 2], 0)]  # 3 + x0 + 2 x0 x1
    [[9.0, 0.0], [3.0, 0.0], [1.0, 4.0]]
    """
    coefficients = checks.real_array("coefficients", coefficients)
    n = cube.dimension(coefficients, "coefficients")
    checks.is_scalar("bit", bit)
    checks.in_range("bit", bit, 0, n - 1)
    return _cross_sums(coefficients, jnp.asarray(bit))


@jax.jit
def _cross_sums(coefficients: jax.Array, bit: jax.Array) -> tuple[jax.Array, ...]:
    numbers = jnp.arange(coefficients.shape[-1], dtype=jnp.int32)
    lacks = numbers & cube.coordinate_mask(bit, cube.dimension(coefficients)) == 0
    lacks = jnp.broadcast_to(lacks, coefficients.shape)
    low = jnp.where(lacks, coefficients, 0)
    high = jnp.where(lacks, fourier.aliased(coefficients, bit), 0)
    pairs = ((low, low), (low, high), (high, high))
    # No set of size n lacks the bit.
    return tuple(fourier.sum_by_degree(one * other)[..., :-1] for one, other in pairs)


def total_influence(coefficients: ArrayLike) -> jax.Array:
    """Sum of all influences, sum_S |S| f^(S)^2: coefficients [..., 2^n] to [...].

    >>> from pvr_jax.boolean import measures
    >>> float(measures.total_influence([3, 0, 1, 2]))  # 3 + x0 + 2 x0 x1: 1 + 2 * 4
    9.0
    """
    profile = fourier.degree_profile(coefficients)
    weights = jnp.arange(profile.shape[-1], dtype=profile.dtype)
    return (profile * jnp.broadcast_to(weights, profile.shape)).sum(axis=-1)


def noise_stability(coefficients: ArrayLike, rho: ArrayLike) -> jax.Array:
    """Stab_rho = sum_S rho^|S| f^(S)^2 = E f(x) f(y): coefficients [..., 2^n] to [...].

    y is x with each coordinate flipped independently with probability (1 - rho) / 2. `rho` is a
    scalar or broadcasts against [...]; it may be traced, then unchecked.
    Raises ValueError if rho is not in [-1, 1].

    >>> from pvr_jax.boolean import measures
    >>> float(measures.noise_stability([3, 0, 1, 2], 0.5))  # 9 + 1 / 2 + 4 / 4
    10.5
    """
    checks.in_range("rho", rho, -1, 1)
    profile = fourier.degree_profile(coefficients)
    return stability_of(profile, jnp.asarray(rho).astype(profile.dtype))


def noise_sensitivity(coefficients: ArrayLike, delta: ArrayLike) -> jax.Array:
    """NS_delta = (E f^2 - Stab_(1 - 2 delta)) / 2: coefficients [..., 2^n] to [...].

    For +-1-valued f this is the probability that f(x) and f(y) differ, y being x with each
    coordinate flipped independently with probability delta. `delta` is a scalar or broadcasts
    against [...]; it may be traced, then unchecked.
    Raises ValueError if delta is not in [0, 1].

    >>> from pvr_jax.boolean import measures
    >>> float(measures.noise_sensitivity([0, 0, 1, 0], 0.125))  # x0 flips with probability 1/8
    0.125
    """
    checks.in_range("delta", delta, 0, 1)
    profile = fourier.degree_profile(coefficients)
    return _noise_sensitivity(profile, jnp.asarray(delta).astype(profile.dtype))


@jax.jit
def _noise_sensitivity(profile: jax.Array, delta: jax.Array) -> jax.Array:
    # 1 - rho^d = 2 delta (1 + rho + ... + rho^(d-1)) turns the difference, which would cancel for
    # small delta, into delta sum_j rho^j (weight above degree j).
    tails = jnp.flip(jnp.cumsum(jnp.flip(profile[..., 1:], -1), axis=-1), -1)
    sums = stability_of(tails, 1 - 2 * delta)
    return jnp.broadcast_to(delta, sums.shape) * sums


@jax.jit
def stability_of(weights: jax.Array, rho: jax.Array) -> jax.Array:
    """Stab_rho from weights by degree: sum_d weights[..., d] rho^d, of one dtype, to [...].

    By Horner's rule, exact at rho = 0 and defined below it.
    """
    shape = jnp.broadcast_shapes(rho.shape, weights.shape[:-1])
    rho = jnp.broadcast_to(rho, shape)
    result = jnp.zeros(shape, weights.dtype)
    for d in reversed(range(weights.shape[-1])):
        result = result * rho + jnp.broadcast_to(weights[..., d], shape)
    return result


def orbit_cross_predictability(coefficients: ArrayLike) -> jax.Array:
    """Exact cross-predictability of the orbit of f, input doubled: [..., 2^n] to [...].

    CP = E <g, g o pi>^2 over uniform permutations pi of 2n coordinates, where g on {-1,+1}^(2n)
    is f of the first n coordinates and <,> is the mean of the product over the cube (the quantity
    that the lower bound for symmetric networks in Abbe et al. 2022 rests on).

    A pair (S, T) of sets is taken by pi to every pair with the same |S|, |T| and |S xor T| with
    equal probability, so CP is the sum over these types of (sum of f^(S) f^(T) over the pairs of
    the type)^2 / (number of such pairs within 2n coordinates). The inner sums come from
    (n+1)^2 transforms: with f_a the part of f of degree a, they are the coefficients of
    f_a f_b summed by degree. Functions of a batch are taken one after the other, in O(n 2^n)
    memory.

    >>> from pvr_jax.boolean import measures
    >>> float(measures.orbit_cross_predictability([0, 0, 1, 0]))  # x0 is one of 4 coordinates
    0.25
    """
    coefficients = checks.real_array("coefficients", coefficients)
    cube.dimension(coefficients, "coefficients")
    return _orbit_cross_predictability(coefficients)


@jax.jit
def _orbit_cross_predictability(coefficients: jax.Array) -> jax.Array:
    n = cube.dimension(coefficients)
    weights = jnp.asarray(_inverse_pair_counts(n), coefficients.dtype)
    degrees = jnp.broadcast_to(cube.degrees(n), (n + 1, 2**n))
    levels = jnp.broadcast_to(jnp.arange(n + 1, dtype=jnp.int32)[:, None], (n + 1, 2**n))

    def of_one(row: jax.Array) -> jax.Array:
        parts = jnp.where(degrees == levels, jnp.broadcast_to(row, degrees.shape), 0)
        parts = fourier.inverse_walsh_hadamard(parts)

        def of_degree(part_and_weights: tuple[jax.Array, jax.Array]) -> jax.Array:
            part, weights = part_and_weights
            products = parts * jnp.broadcast_to(part, parts.shape)
            sums = fourier.sum_by_degree(fourier.walsh_hadamard(products))
            return (jnp.square(sums) * weights).sum()

        return lax.map(of_degree, (parts, weights)).sum()

    flat = lax.map(of_one, coefficients.reshape(-1, 2**n))
    return flat.reshape(coefficients.shape[:-1])


def _inverse_pair_counts(n: int) -> np.ndarray:
    """[n+1, n+1, n+1]: 1 / number of pairs (S, T) in 2n coordinates, by |S|, |T|, |S xor T|.

    0 where no such pair fits into n coordinates.
    """
    result = np.zeros((n + 1,) * 3)
    for a in range(n + 1):
        for b in range(n + 1):
            for common in range(max(0, a + b - n), min(a, b) + 1):
                count = math.comb(2 * n, a) * math.comb(a, common)
                count *= math.comb(2 * n - a, b - common)
                result[a, b, a + b - 2 * common] = 1 / count
    return result


def orbit_cross_predictability_bound(coefficients: ArrayLike) -> jax.Array:
    """Upper bound sum_S f^(S)^2 C(n,|S|) / C(2n,|S|) on the above: [..., 2^n] to [...].

    For f with E f^2 <= 1 it lies between `orbit_cross_predictability` and Stab_(1/2)(f): by the
    Cauchy-Schwarz inequality only sets that stay within the first n coordinates count, and a set
    does so with probability C(n,|S|) / C(2n,|S|) <= 2^-|S|.
    """
    profile = fourier.degree_profile(coefficients)
    n = profile.shape[-1] - 1
    stays = [math.comb(n, d) / math.comb(2 * n, d) for d in range(n + 1)]
    weights = jnp.asarray(stays, profile.dtype)
    return (profile * jnp.broadcast_to(weights, profile.shape)).sum(axis=-1)
