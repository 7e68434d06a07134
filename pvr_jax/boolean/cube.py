"""The cube {-1,+1}^n: order of its points, of its coordinate sets, and masks for both.

Points are indexed as `itertools.product([-1, 1], repeat=n)` lists them: at the point of index p,
coordinate i is +1 if and only if bit n-1-i of p is 1. The index of a set S of coordinates is the
number whose bit n-1-i is 1 if and only if i is in S. So coordinate 0 is the most significant bit of
both, point 0 is all -1 and set 0 is empty. chi_S(x) is the product of x_i over i in S.
"""

import operator
from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from pvr_jax import checks
from pvr_jax.refusal import Refusal

MAX_DIMENSION = checks.MAX_DIMENSION
dimension = checks.dimension


def _check_dimension(n: int) -> None:
    if not isinstance(n, int | np.integer) or not 1 <= n <= MAX_DIMENSION:
        raise Refusal(f"n: given {n}; allowed 1 to {MAX_DIMENSION}")


def points(n: int) -> jax.Array:
    """All points of the cube, float32[2^n, n], coordinate 0 slowest and -1 before +1.

    Raises ValueError if n is not from 1 to 30. Takes 4 n 2^n bytes: to go through a large cube
    in pieces use `points_at`.

    >>> from pvr_jax.boolean import cube
    >>> cube.points(2).tolist()
    [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    """
    _check_dimension(n)
    return points_at(jnp.arange(2**n, dtype=jnp.int32), n)


def points_at(indices: ArrayLike, n: int) -> jax.Array:
    """The points with these indices: integers[...] to float32[..., n].

    The indices may be traced; only their lowest n bits count.
    Raises ValueError if n is not from 1 to 30 or the indices are not integers.
    """
    _check_dimension(n)
    checks.is_integer("indices", indices)
    return _points_at(jnp.asarray(indices), n)


# Below, `jit` makes one program of an array function where nothing is traced.
@partial(jax.jit, static_argnames="n", inline=True)
def _points_at(indices: jax.Array, n: int) -> jax.Array:
    masks = (1 << np.arange(n - 1, -1, -1, dtype=np.int32)).reshape((1,) * indices.ndim + (n,))
    is_plus = (indices.astype(jnp.int32)[..., None] & masks) != 0
    return jnp.where(is_plus, jnp.float32(1), jnp.float32(-1))


def degrees(n: int) -> jax.Array:
    """The size of the set with each spectrum index, int32[2^n].

    Raises ValueError if n is not from 1 to 30.

    >>> from pvr_jax.boolean import cube
    >>> cube.degrees(2).tolist()  # of {}, {1}, {0} and {0, 1}
    [0, 1, 1, 2]
    """
    _check_dimension(n)
    return lax.population_count(jnp.arange(2**n, dtype=jnp.int32))


def index(coordinates: Iterable[int], n: int) -> int:
    """The spectrum index of a set of coordinates, 0 for the empty set.

    Raises ValueError if n is not from 1 to 30, or a coordinate is not from 0 to n-1 or is
    listed twice.

    >>> from pvr_jax.boolean import cube
    >>> cube.index([0, 2], 3)  # 101 in binary
    5
    """
    _check_dimension(n)
    result = 0
    for coordinate in coordinates:
        mask = coordinate_mask(operator.index(coordinate), n)
        if result & mask:
            raise Refusal(f"coordinates: given {coordinate} twice; allowed once each")
        result |= mask
    return result


def coordinates(index: int, n: int) -> tuple[int, ...]:
    """The set with this spectrum index, its coordinates in ascending order.

    Raises ValueError if n is not from 1 to 30 or the index is not from 0 to 2^n - 1.

    >>> from pvr_jax.boolean import cube
    >>> cube.coordinates(5, 3)  # 101 in binary
    (0, 2)
    """
    _check_dimension(n)
    index = operator.index(index)
    if not 0 <= index < 2**n:
        raise Refusal(f"index: given {index}; allowed 0 to {2**n - 1}")
    return tuple(i for i in range(n) if index & coordinate_mask(i, n))


def coordinate_mask(coordinate: ArrayLike, n: int) -> int | jax.Array:
    """The spectrum index of {coordinate}, which is also its bit in the index of a point.

    An int gives an int; an array [...] of coordinates, traced or not, gives int32[...].
    Raises ValueError if n is not from 1 to 30, or a coordinate is not an integer from 0 to n-1;
    the range of a traced coordinate is not checked.
    """
    _check_dimension(n)
    checks.is_integer("coordinate", coordinate)
    checks.in_range("coordinate", coordinate, 0, n - 1)
    if isinstance(coordinate, int | np.integer):
        return 1 << (n - 1 - int(coordinate))
    shift = (n - 1) - jnp.asarray(coordinate).astype(jnp.int32)
    return jnp.left_shift(jnp.int32(1), shift)


def character(index: ArrayLike, n: int) -> jax.Array:
    """chi_S at every point, for the sets with these indices: integers[...] to float32[..., 2^n].

    Raises ValueError if n is not from 1 to 30, or an index is not an integer from 0 to 2^n - 1;
    the range of a traced index is not checked.
    """
    _check_dimension(n)
    checks.is_integer("index", index)
    checks.in_range("index", index, 0, 2**n - 1)
    return _character(jnp.asarray(index), n)


@partial(jax.jit, static_argnames="n", inline=True)
def _character(index: jax.Array, n: int) -> jax.Array:
    numbers = jnp.arange(2**n, dtype=jnp.int32).reshape((1,) * index.ndim + (2**n,))
    # A coordinate is -1 where its bit is 0: count the elements of S with bit 0.
    minus_signs = lax.population_count(index.astype(jnp.int32)[..., None] & ~numbers)
    return jnp.where(minus_signs & 1 == 1, jnp.float32(-1), jnp.float32(1))


def frozen(values: ArrayLike, bit: ArrayLike, value: ArrayLike = 1) -> jax.Array:
    """The values of x -> f(x with coordinate `bit` set to `value`): [..., 2^n] to [..., 2^n].

    `bit` and `value` are scalars and may be traced, their range then unchecked; map over them
    with `jax.vmap`. The result is constant along coordinate `bit`.
    Raises ValueError if the last axis is not 2^n long, `bit` is not from 0 to n-1, `value` is
    neither -1 nor +1, or for integers that JAX does not hold.
    """
    values = checks.array("values", values)
    n = dimension(values)
    checks.is_scalar("bit", bit)
    checks.is_scalar("value", value)
    checks.is_sign("value", value)
    return _frozen(values, coordinate_mask(bit, n), jnp.asarray(value))


@partial(jax.jit, inline=True)
def _frozen(values: jax.Array, mask: int | jax.Array, value: jax.Array) -> jax.Array:
    numbers = jnp.arange(values.shape[-1], dtype=jnp.int32)
    source = jnp.where(value > 0, numbers | mask, numbers & ~mask)
    # Every index is in range; "clip" avoids the default's test for NaN filling.
    return jnp.take(values, source, axis=-1, mode="clip")
