"""Fourier analysis on the cube: values to coefficients and back, and what degree they have.

The coefficient of a set S is 2^-n times the sum over all points x of f(x) chi_S(x). Values are
ordered as the points of `cube.points`, coefficients by spectrum index (see `cube`). All functions
act on the last axis, whatever axes come before it, and can be jitted, mapped and differentiated.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from pvr_jax.boolean import checks, cube


def walsh_hadamard(values: ArrayLike) -> jax.Array:
    """Fourier coefficients of real-valued functions: values [..., 2^n] to coefficients [..., 2^n].

    Coefficient S is 2^-n sum_x f(x) chi_S(x). O(n 2^n) time, O(2^n) memory.

    float32 and float64 are kept; integers and booleans become the default float dtype, half
    precision becomes float32. The sums are formed at the dtype's full precision on every device.
    For integer-valued f they are integers of size at most sum_x |f(x)|, and the result is exact
    as long as that is at most 2^24 in float32 (a +-1-valued f up to n = 24) or 2^53 in float64;
    beyond it each coefficient is rounded.

    Raises ValueError if the last axis is not 2^n long with n from 1 to 30, or for complex values.
    """
    values = checks.real_array("values", values)
    n = cube.dimension(values, "values")
    return _unnormalised(values, inverse=False) * 2.0**-n


def inverse_walsh_hadamard(coefficients: ArrayLike) -> jax.Array:
    """Values of the functions with these Fourier coefficients: [..., 2^n] to [..., 2^n].

    f(x) = sum_S f^(S) chi_S(x), the inverse of `walsh_hadamard`, with the same cost, dtypes and
    errors. Exact whenever every partial sum of coefficients is representable, as it is for the
    coefficients of an integer-valued f within the bounds stated there.
    """
    coefficients = checks.real_array("coefficients", coefficients)
    cube.dimension(coefficients, "coefficients")
    return _unnormalised(coefficients, inverse=True)


def _characters(n: int, inverse: bool) -> np.ndarray:
    """[2^n, 2^n]: chi_S(x) with S down and x across, the other way round for the inverse."""
    matrix = np.ones((1, 1))
    for _ in range(n):
        matrix = np.kron(matrix, [[1, 1], [-1, 1]])
    return matrix.T if inverse else matrix


def _along_one_coordinate(
    first: jax.Array, second: jax.Array, inverse: bool
) -> tuple[jax.Array, jax.Array]:
    """From (values at -1, values at +1) to (coefficients without it, with it), or inversely."""
    if inverse:
        return first - second, first + second
    return first + second, second - first


@functools.partial(jax.jit, static_argnames="inverse")
def _unnormalised(x: jax.Array, inverse: bool) -> jax.Array:
    """The transform without the factor 2^-n, one group of coordinates after the other.

    The last five or six coordinates, whose strides are too short for vector instructions, are
    one product with a small matrix; the others go two at a time, which halves the passes over
    memory. On a two-core CPU this took 0.5 to 0.8 of the time of matrix products alone, and of
    one-coordinate steps alone, for arrays that fit its cache, and about the same beyond it.
    """
    shape = x.shape
    n = shape[-1].bit_length() - 1
    last = n if n <= 6 else 6 - n % 2
    rows = x.reshape(*shape[:-1], 2 ** (n - last), 2**last)
    matrix = jnp.asarray(_characters(last, inverse), x.dtype)
    # Without HIGHEST a GPU would multiply in TF32 and a TPU in bfloat16.
    x = jnp.einsum("...mx,sx->...ms", rows, matrix, precision=lax.Precision.HIGHEST)
    for done in range(0, n - last, 2):
        x = x.reshape(*shape[:-1], 2**done, 4, 2 ** (n - done - 2))
        a, b = _along_one_coordinate(x[..., 0, :], x[..., 1, :], inverse)
        c, d = _along_one_coordinate(x[..., 2, :], x[..., 3, :], inverse)
        a, c = _along_one_coordinate(a, c, inverse)
        b, d = _along_one_coordinate(b, d, inverse)
        x = jnp.stack([a, b, c, d], axis=-2)
    return x.reshape(shape)


def sum_by_degree(spectrum: ArrayLike) -> jax.Array:
    """Sums of the entries of equal degree: [..., 2^n] to [..., n+1].

    Deterministic, O(2^n), summed pairwise; dtypes and errors as `walsh_hadamard`.
    """
    spectrum = checks.real_array("spectrum", spectrum)
    cube.dimension(spectrum, "spectrum")
    return _sum_by_degree(spectrum)


@jax.jit
def _sum_by_degree(spectrum: jax.Array) -> jax.Array:
    """`sum_by_degree`, compiled as one program."""
    # Axis -2 holds the degree counted so far. Folding away the leading coordinate leaves a set
    # without it at its degree and moves a set with it one up: no scatter, whose order of
    # additions, and so whose rounding, a GPU does not fix.
    sums = spectrum[..., None, :]
    before = [(0, 0)] * (spectrum.ndim - 1)
    while sums.shape[-1] > 1:
        without, having = jnp.split(sums, 2, axis=-1)
        sums = jnp.pad(without, [*before, (0, 1), (0, 0)]) + jnp.pad(
            having, [*before, (1, 0), (0, 0)]
        )
    return sums[..., 0]


def degree_profile(coefficients: ArrayLike) -> jax.Array:
    """Weight at each degree, sum of f^(S)^2 over |S| = d: [..., 2^n] to [..., n+1].

    The entries add up to the mean of f^2 (Parseval). Dtypes and errors as `walsh_hadamard`.
    """
    coefficients = checks.real_array("coefficients", coefficients)
    cube.dimension(coefficients, "coefficients")
    return sum_by_degree(jnp.square(coefficients))


def low_degree_projection(coefficients: ArrayLike, degree: ArrayLike) -> jax.Array:
    """Coefficients with those of degree above `degree` set to 0: [..., 2^n] to [..., 2^n].

    `degree` is a scalar and may be traced, its range then unchecked.
    Raises ValueError if it is not from 0 to n; dtypes and other errors as `walsh_hadamard`.
    """
    coefficients = checks.real_array("coefficients", coefficients)
    n = cube.dimension(coefficients, "coefficients")
    checks.is_scalar("degree", degree)
    checks.in_range("degree", degree, 0, n)
    kept = cube.degrees(n) <= degree
    return jnp.where(jnp.broadcast_to(kept, coefficients.shape), coefficients, 0)


def aliased(coefficients: ArrayLike, bit: ArrayLike) -> jax.Array:
    """Coefficients with entry S holding that of S xor {bit}: [..., 2^n] to [..., 2^n].

    These are the coefficients of x -> x_bit f(x). Where x_bit = 1, chi_S and chi_(S xor {bit})
    cannot be told apart; setting x_bit to 1 (`cube.frozen`) therefore gives the coefficient
    f^(S) + aliased(f^)(S) to each S without `bit`, and 0 to each S with it.

    `bit` is a scalar and may be traced, its range then unchecked; map over it with `jax.vmap`.
    Raises ValueError if it is not from 0 to n-1 or the last axis is not 2^n long.
    """
    coefficients = jnp.asarray(coefficients)
    n = cube.dimension(coefficients, "coefficients")
    checks.is_scalar("bit", bit)
    source = jnp.arange(2**n, dtype=jnp.int32) ^ cube.coordinate_mask(bit, n)
    # "clip" never acts, as every index is in range; it spares the default's test for NaN filling.
    return jnp.take(coefficients, source, axis=-1, mode="clip")
