"""Argument checks of this room: they say what was given and what is allowed."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from pvr_jax.refusal import Refusal


def _known_entries(value: ArrayLike) -> np.ndarray:
    """The entries of `value`; none while it is being traced."""
    try:
        return np.asarray(value)
    except jax.errors.TracerArrayConversionError:
        return np.empty(0)


def in_range(name: str, value: ArrayLike, low: float, high: float) -> None:
    """Check that every entry of `value` lies in [low, high]; a traced one passes unchecked.

    Raises ValueError if an entry lies outside or is NaN.
    """
    entries = _known_entries(value)
    # Written as "not inside" so that NaN is refused as well.
    outside = entries[~((entries >= low) & (entries <= high))]
    if outside.size:
        raise Refusal(f"{name}: given {outside.flat[0]}; allowed {low} to {high}")


def is_sign(name: str, value: ArrayLike) -> None:
    """Check that every entry of `value` is -1 or +1; a traced one passes unchecked.

    Raises ValueError otherwise.
    """
    entries = _known_entries(value)
    other = entries[(entries != 1) & (entries != -1)]
    if other.size:
        raise Refusal(f"{name}: given {other.flat[0]}; allowed -1 or +1")


def is_scalar(name: str, value: ArrayLike) -> None:
    """Check that `value`, traced or not, has no axes; raises ValueError otherwise."""
    if jnp.ndim(value):
        raise Refusal(f"{name}: given an array of shape {jnp.shape(value)}; allowed a scalar")


def is_integer(name: str, value: ArrayLike) -> None:
    """Check that `value`, traced or not, has an integer dtype; raises ValueError otherwise."""
    dtype = value.dtype if isinstance(value, jax.Array) else np.asarray(value).dtype
    if not jnp.issubdtype(dtype, jnp.integer):
        raise Refusal(f"{name}: given dtype {dtype}; allowed integers")


def one_dimensional_size(name: str, array: jax.Array) -> int:
    """Length of the last axis; raises ValueError for an array without axes."""
    if array.ndim == 0:
        raise Refusal(f"{name}: given a scalar; allowed an array with a last axis of length 2^n")
    return array.shape[-1]


def array(name: str, values: ArrayLike) -> jax.Array:
    """The values as JAX holds them.

    Raises ValueError for whole numbers that JAX would wrap around: those beyond 32 bits, where its
    64 bits are off.
    """
    if isinstance(values, jax.Array):
        return values
    given = np.asarray(values)
    held = jnp.asarray(given)
    changed = given[np.asarray(held) != given] if given.dtype.kind in "iu" else ()
    if len(changed):
        raise Refusal(
            f"{name}: given {changed[0]}; allowed whole numbers of 32 bits, floats, or "
            "jax.enable_x64"
        )
    return held


def real_array(name: str, array: ArrayLike) -> jax.Array:
    """The array in float32 or float64, the two dtypes in which analysis is done.

    Those two are kept. Integers and booleans become the default float dtype (float32, or
    float64 under `jax.enable_x64`), half precision becomes float32.
    Raises ValueError for complex numbers.
    """
    if not isinstance(array, jax.Array):
        array = np.asarray(array)
        if array.dtype.kind in "iu":
            # Before JAX has them: it would wrap whole numbers of 64 bits around at 32.
            array = array.astype(jnp.result_type(float))
    array = jnp.asarray(array)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise Refusal(f"{name}: given dtype {array.dtype}; allowed real numbers")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(jnp.result_type(float))
    return array if array.dtype.itemsize >= 4 else array.astype(jnp.float32)
