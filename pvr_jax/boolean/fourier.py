"""Fourier analysis on the cube: transforms, and weights by degree.

The coefficient of a set S is 2^-n times the sum over all points x of f(x) chi_S(x). Values are
ordered as `cube.points`, coefficients by spectrum index (see `cube`). All functions
act on the last axis and can be jitted, mapped and differentiated.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from pvr_jax import checks
from pvr_jax.boolean import cube

MIN_FOR_SUMS = 10  # coordinates from which signed sums beat one product on a CPU


def walsh_hadamard(values: ArrayLike) -> jax.Array:
    """Fourier coefficients of real-valued functions: values [..., 2^n] to coefficients [..., 2^n].

    Coefficient S is 2^-n sum_x f(x) chi_S(x). O(n 2^n) time, O(2^n) memory.

    float32 and float64 are kept; integers and booleans become the default float dtype, half
    precision becomes float32. The sums are formed at the dtype's full precision on every device.
    For integer-valued f they are integers of size at most sum_x |f(x)|, and the result is exact
    as long as that is at most 2^24 in float32 (a +-1-valued f up to n = 24) or 2^53 in float64;
    beyond it each coefficient is rounded.

    Raises ValueError if the last axis is not 2^n long with n from 1 to 30, or for complex values.

    >>> from pvr_jax.boolean import fourier
    >>> maximum = [-1, 1, 1, 1]  # max(x0, x1) = (1 + x1 + x0 - x0 x1) / 2
    >>> fourier.walsh_hadamard(maximum).tolist()
    [0.5, 0.5, 0.5, -0.5]
    """
    values = checks.real_array("values", values)
    n = cube.dimension(values, "values")
    return _transform(values, False, 2.0**-n)


def inverse_walsh_hadamard(coefficients: ArrayLike) -> jax.Array:
    """Values of the functions with these Fourier coefficients: [..., 2^n] to [..., 2^n].

    f(x) = sum_S f^(S) chi_S(x), the inverse of `walsh_hadamard`, with the same cost, dtypes and
    errors. Exact whenever every partial sum of coefficients is representable, as it is for the
    coefficients of an integer-valued f within the bounds stated there.

    >>> from pvr_jax.boolean import fourier
    >>> fourier.inverse_walsh_hadamard([0, 0, 1, 2]).tolist()  # x0 + 2 x0 x1
    [1.0, -3.0, -1.0, 3.0]
    """
    coefficients = checks.real_array("coefficients", coefficients)
    cube.dimension(coefficients, "coefficients")
    return _transform(coefficients, True, 1.0)


def _characters(n: int, inverse: bool) -> np.ndarray:
    """[2^n, 2^n]: chi_S(x) with S down and x across; transposed for the inverse."""
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


@functools.partial(jax.jit, static_argnums=(1, 2))
def _transform(x: jax.Array, inverse: bool, scale: float) -> jax.Array:
    """`_passes`, compiled; the custom derivative rule is inside, since it is slow to call."""
    return _passes(x, inverse, scale)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _passes(x: jax.Array, inverse: bool, scale: float) -> jax.Array:
    """The transform times `scale`, a power of two, by the fastest passes on the platform.

    Scaling by a power of two is exact, so it is done inside; a product afterwards would be another
    pass over memory.
    """
    n = x.shape[-1].bit_length() - 1
    by_products = functools.partial(_by_products, inverse=inverse, scale=scale)
    if n < MIN_FOR_SUMS:
        return by_products(x)
    by_sums = functools.partial(_by_sums, inverse=inverse, scale=scale)
    return lax.platform_dependent(x, cpu=by_sums, default=by_products)


@_passes.defjvp
def _passes_jvp(
    inverse: bool, scale: float, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The derivative is the transform itself, by passes whose transpose is fast too."""
    return _passes(*primals, inverse, scale), _by_products(*tangents, inverse, scale)


def _by_products(x: jax.Array, inverse: bool, scale: float) -> jax.Array:
    """The last five or six coordinates by one matrix product, the others two at a time."""
    shape = x.shape
    n = shape[-1].bit_length() - 1
    last = n if n <= 6 else 6 - n % 2
    rows = x.reshape(*shape[:-1], 2 ** (n - last), 2**last)
    matrix = jnp.asarray(scale * _characters(last, inverse), x.dtype)
    # Without HIGHEST a GPU would multiply in TF32 and a TPU in bfloat16.
    x = jnp.einsum("...mx,sx->...ms", rows, matrix, precision=lax.Precision.HIGHEST)
    return _pairs(x.reshape(shape), n - last, inverse)


def _pairs(x: jax.Array, coordinates: int, inverse: bool) -> jax.Array:
    """Transform the leading coordinates, an even number of them, two in each pass over memory."""
    shape = x.shape
    for done in range(coordinates - 2, -1, -2):
        x = x.reshape(*shape[:-1], 2**done, 4, shape[-1] >> (done + 2))
        a, b = _along_one_coordinate(x[..., 0, :], x[..., 1, :], inverse)
        c, d = _along_one_coordinate(x[..., 2, :], x[..., 3, :], inverse)
        a, c = _along_one_coordinate(a, c, inverse)
        b, d = _along_one_coordinate(b, d, inverse)
        x = jnp.stack([a, b, c, d], axis=-2).reshape(shape)
    return x


def _by_sums(x: jax.Array, inverse: bool, scale: float) -> jax.Array:
    """The last ten or eleven coordinates as signed sums of 4 or 8, 16 and 16 entries.

    For XLA on a CPU and at least ten coordinates. XLA makes each sum one loop over the output, with
    the signs in registers and the entries in the first-level cache, so a pass costs little more
    than a copy. This needs three things (numbers in `benchmarks/transform.py`). Sums are written
    out: products or reductions are several times slower. There is no reshape between them, or after
    the last but one: XLA would turn it into index arithmetic in the inner loop. And the sum of
    fewer
    than 16 comes first: XLA fuses a sum into the next one, and recomputes it for every term, unless
    that has 16 terms or more.
    """
    shape = x.shape
    n = shape[-1].bit_length() - 1
    few = 2 + n % 2
    x = x.reshape(*shape[:-1], 2 ** (n - few - 8), 16, 2**few, 16)
    x = _signed_sums(x, _characters(few, inverse), -2)
    x = _signed_sums(x, _characters(4, inverse), -1)
    # XLA writes a concatenation part by part, so the reshape after it costs nothing.
    halves = np.split(scale * _characters(4, inverse), 2)
    x = jnp.concatenate([_signed_sums(x, half, -3) for half in halves], axis=-3)
    return _pairs(x.reshape(shape), n - few - 8, inverse)


def _signed_sums(x: jax.Array, signs: np.ndarray, axis: int) -> jax.Array:
    """Entry s along `axis` of the result is sum_j signs[s, j] times entry j of x."""
    signs = jnp.asarray(signs, x.dtype)
    column = [1] * x.ndim
    column[axis] = len(signs)
    terms = (
        signs[:, j].reshape(column) * lax.slice_in_dim(x, j, j + 1, axis=axis % x.ndim)
        for j in range(x.shape[axis])
    )
    return functools.reduce(jnp.add, terms)


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
    # Axis -2 is the degree so far. Folding the leading coordinate keeps sets without it at their
    # degree and moves sets with it up by one. Unlike a scatter on a GPU, this is deterministic.
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

    >>> from pvr_jax.boolean import fourier
    >>> fourier.degree_profile([3, 0, 1, 2]).tolist()  # 3 + x0 + 2 x0 x1
    [9.0, 1.0, 4.0]
    """
    coefficients = checks.real_array("coefficients", coefficients)
    cube.dimension(coefficients, "coefficients")
    return sum_by_degree(jnp.square(coefficients))


def low_degree_projection(coefficients: ArrayLike, degree: ArrayLike) -> jax.Array:
    """Coefficients with those of degree above `degree` set to 0: [..., 2^n] to [..., 2^n].

    `degree` is a scalar and may be traced, its range then unchecked.
    Raises ValueError if it is not from 0 to n; dtypes and other errors as `walsh_hadamard`.

    >>> from pvr_jax.boolean import fourier
    >>> fourier.low_degree_projection([3, 0, 1, 2], 1).tolist()  # of 3 + x0 + 2 x0 x1
    [3.0, 0.0, 1.0, 0.0]
    """
    coefficients = checks.real_array("coefficients", coefficients)
    n = cube.dimension(coefficients, "coefficients")
    checks.is_scalar("degree", degree)
    checks.in_range("degree", degree, 0, n)
    kept = cube.degrees(n) <= degree
    return jnp.where(jnp.broadcast_to(kept, coefficients.shape), coefficients, 0)


def aliased(coefficients: ArrayLike, bit: ArrayLike) -> jax.Array:
    """Coefficients with entry S holding that of S xor {bit}: [..., 2^n] to [..., 2^n].

    These are the coefficients of x -> x_bit f(x). Where x_bit = 1, chi_S equals chi_(S xor {bit});
    setting x_bit to 1 (`cube.frozen`) therefore gives the coefficient
    f^(S) + aliased(f^)(S) to each S without `bit`, and 0 to each S with it.

    `bit` is a scalar and may be traced, its range then unchecked; map over it with `jax.vmap`.
    Raises ValueError if it is not from 0 to n-1, if the last axis is not 2^n long, or for whole
    numbers that JAX does not hold.
    """
    coefficients = checks.array("coefficients", coefficients)
    n = cube.dimension(coefficients, "coefficients")
    checks.is_scalar("bit", bit)
    source = jnp.arange(2**n, dtype=jnp.int32) ^ cube.coordinate_mask(bit, n)
    # Every index is in range; "clip" avoids the default's test for NaN filling.
    return jnp.take(coefficients, source, axis=-1, mode="clip")
