"""Checks of parameters; each complaint is one line, "<parameter>: given <value>; allowed ..."."""

import math
import operator
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.refusal import Refusal, shown

LARGEST_N = 4096


def refuse(
    parameter: str, given: Any, allowed: str, *, cause: BaseException | None = None
) -> NoReturn:
    """Raise the one-line ValueError for a bad parameter."""
    raise Refusal(f"{parameter}: given {shown(given)}; allowed {allowed}") from cause


def whole_number(parameter: str, given: Any, low: int, high: int, note: str = "") -> int:
    """Return `given` as an int in low..high; `note` is appended to what the error allows."""
    is_whole = isinstance(given, int | np.integer) and not isinstance(given, bool)
    if not is_whole or not low <= given <= high:
        refuse(parameter, given, f"{low} to {high}{note}")
    return int(given)


def one_of(parameter: str, given: Any, allowed: tuple[Any, ...]) -> Any:
    """Return `given` if it is an entry of `allowed`, of the same type (True is not 1)."""
    plain = given.item() if isinstance(given, np.generic) else given
    if any(type(plain) is type(entry) and plain == entry for entry in allowed):
        return plain
    refuse(parameter, given, ", ".join(str(entry) for entry in allowed))


def real_number(parameter: str, given: Any) -> float:
    """Return `given` as a finite float; whole numbers are welcome, bools and strings are not."""
    is_real = isinstance(given, int | float | np.integer | np.floating)
    if not is_real or isinstance(given, bool) or not math.isfinite(given):
        refuse(parameter, given, "a finite real number")
    return float(given)


def sequence(parameter: str, given: Any, allowed: str) -> tuple[Any, ...]:
    """Return a tuple or list as a tuple; anything else is refused with `allowed`."""
    if not isinstance(given, tuple | list):
        refuse(parameter, given, allowed)
    return tuple(given)


def bit_number(bit: Any, n: int) -> jax.Array | int:
    """Return a coordinate number, checked where its value is known.

    A traced scalar has no value yet: only its type and shape are checked, the range is the
    caller's promise. A known one must lie in 0..n-1.
    """
    allowed = f"0 to {n - 1}"
    has_type = hasattr(bit, "dtype") and hasattr(bit, "ndim")
    if has_type and (bit.ndim != 0 or not jnp.issubdtype(bit.dtype, jnp.integer)):
        refuse("bit", bit, allowed)
    try:
        number = operator.index(bit)
    except jax.errors.TracerIntegerConversionError:
        return bit
    except TypeError:
        refuse("bit", bit, allowed)
    if isinstance(bit, bool) or not 0 <= number < n:
        refuse("bit", number if has_type else bit, allowed)
    return number


def signs(x: Any) -> jax.Array:
    """Return inputs x[..., n] as an array, of a type that can hold -1 and +1.

    Raises ValueError for Booleans and unsigned whole numbers: whether their 0 is the input -1
    would be a guess.
    """
    x = jnp.asarray(x)
    if any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.bool_, jnp.unsignedinteger)):
        raise Refusal(f"x: given {x.dtype}{list(x.shape)}; allowed -1 and +1, for bits 2.0 * x - 1")
    return x


def tokens(given: Any, alphabet: int) -> jax.Array:
    """Return tokens [...] as an array, checked where their values are known.

    Raises ValueError for other types than whole numbers, and for tokens that are not in
    0..alphabet-1; those of traced ones are the caller's promise.
    """
    array = jnp.asarray(given)
    allowed = f"whole numbers, tokens from 0 to {alphabet - 1}"
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise Refusal(f"tokens: given {array.dtype}; allowed {allowed}")
    if isinstance(array, jax.core.Tracer):
        return array
    known = np.asarray(array)
    outside = known[(known < 0) | (known >= alphabet)]
    if outside.size:
        raise Refusal(f"tokens: given {outside[0]}; allowed {allowed}")
    return array
