"""Validation of parameters, configuration fields and arrays.

Every error is one line, "<name>: given <value>; allowed <what>".
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from pvr_jax.refusal import Refusal, format_value

LARGEST_N = 4096
# Indices of points and sets are int32.
MAX_DIMENSION = 30


def invalid(name: str, given: Any, allowed: str) -> Refusal:
    """Return the one-line error about the value of a parameter or field."""
    return Refusal(f"{name}: given {format_value(given)}; allowed {allowed}")


class Rule(NamedTuple):
    """A predicate for allowed values, and its description."""

    allows: Callable[[Any], bool]
    allowed: str

    def check(self, name: str, given: Any) -> Any:
        """Return `given`; NumPy scalars become Python numbers.

        Raises:
            Refusal: it is not allowed.
        """
        plain = given.item() if isinstance(given, np.generic) else given
        if not self.allows(plain):
            raise invalid(name, given, self.allowed)
        return plain


def integer(low: float, high: float = math.inf, allowed: str = "") -> Rule:
    """Rule: an integer in [low, high]."""
    text = f"a whole number of at least {low}" if high == math.inf else f"{low} to {high}"
    return Rule(
        lambda value: (
            isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        ),
        allowed or text,
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def count(low: int, high: int) -> Rule:
    """Rule: an integer of at least `low`; `high` is where memory ends."""
    return integer(low, high, f"a whole number of at least {low}, and up to {high}")


def above(low: float, high: float = math.inf) -> Rule:
    """Rule: a real number in (low, high]."""
    text = f"a number above {low:g}" + ("" if high == math.inf else f" and up to {high:g}")
    return Rule(lambda value: _is_finite(value) and low < value <= high, text)


def strictly_between(low: float, high: float) -> Rule:
    """Rule: a real number in (low, high)."""
    text = f"a number above {low:g} and below {high:g}"
    return Rule(lambda value: _is_finite(value) and low < value < high, text)


def nonnegative(high: float = math.inf) -> Rule:
    """Rule: a real number in [0, high]."""
    text = "a number from 0" + ("" if high == math.inf else f" to {high:g}")
    return Rule(lambda value: _is_finite(value) and 0 <= value <= high, text)


def one_of(*allowed: Any) -> Rule:
    """Rule: one of the given values; 1 is not True."""
    return Rule(
        lambda value: any(type(value) is type(item) and value == item for item in allowed),
        ", ".join(map(str, allowed)),
    )


def list_of(rule: Rule, example: str) -> Rule:
    """Rule: a nonempty list of distinct values, each allowed by `rule`."""
    return Rule(
        lambda values: (
            isinstance(values, tuple | list)
            and len(values) > 0
            and all(map(rule.allows, values))
            and len(set(values)) == len(values)
        ),
        f"different values separated by commas, such as {example}, each {rule.allowed}",
    )


def text(empty: bool = False) -> Rule:
    """Rule: a string, nonempty unless `empty`."""
    return Rule(lambda value: isinstance(value, str) and (empty or bool(value)), "a text")


def optional(rule: Rule) -> Rule:
    """Rule: a field that a configuration need not have."""
    return rule._replace(allows=lambda value: value is None or rule.allows(value))


def absent(source: str) -> Rule:
    """Rule: an unset field, because it follows from `source`."""
    return Rule(lambda value: value is None, f"nothing: it follows from {source}")


def finite(name: str, given: Any, allowed: str = "a finite real number") -> float:
    """Return a finite real number as a float."""
    return float(Rule(_is_finite, allowed).check(name, given))


def sequence(name: str, given: Any, allowed: str) -> tuple[Any, ...]:
    """Return a tuple or list as a tuple; refuse anything else with `allowed`."""
    return tuple(Rule(lambda value: isinstance(value, tuple | list), allowed).check(name, given))


def size(name: str, given: Any) -> int:
    """Return the size of a model, an integer of at least 1."""
    return _SIZE.check(name, given)


def sizes(given: Mapping[str, Any]) -> dict[str, int]:
    """Return sizes of a model by their names."""
    return {name: size(name, value) for name, value in given.items()}


def shape(name: str, given: Any, example: tuple[int, ...]) -> tuple[int, ...]:
    """Return a sequence of sizes as a tuple; the error message ends with `example`."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = tuple(given)
    if not isinstance(given, tuple) or not all(map(_SIZE.allows, given)):
        raise invalid(name, given, f"{_SIZE.allowed}, such as {example}")
    return given


_SIZE = integer(1, allowed="whole numbers of at least 1")


def bit_number(bit: Any, n: int) -> jax.Array | int:
    """Return the index of a coordinate, which must be in 0..n-1.

    Of a traced scalar only type and shape are checked; the caller guarantees the range.
    """
    allowed = f"0 to {n - 1}"
    has_type = hasattr(bit, "dtype") and hasattr(bit, "ndim")
    if has_type and (bit.ndim != 0 or not jnp.issubdtype(bit.dtype, jnp.integer)):
        raise invalid("bit", bit, allowed)
    try:
        number = operator.index(bit)
    except jax.errors.TracerIntegerConversionError:
        return bit
    except TypeError:
        raise invalid("bit", bit, allowed) from None
    if isinstance(bit, bool) or not 0 <= number < n:
        raise invalid("bit", number if has_type else bit, allowed)
    return number


def signs(x: ArrayLike, with_shape: bool = True) -> jax.Array:
    """Return inputs x[..., n] as an array whose dtype can hold -1 and +1.

    Raises:
        Refusal: they are Booleans or unsigned integers, whose 0 is ambiguous. The message has their
            shape if `with_shape`.
    """
    x = jnp.asarray(x)
    if any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.bool_, jnp.unsignedinteger)):
        given = f"{x.dtype}{list(x.shape)}" if with_shape else x.dtype
        raise Refusal(f"x: given {given}; allowed -1 and +1, for bits 2.0 * x - 1")
    return x


def tokens(name: str, given: ArrayLike, alphabet: int) -> jax.Array:
    """Return tokens [...] as an array; the range of traced tokens is not checked.

    Raises:
        Refusal: they are not integers, or not in 0..alphabet-1.
    """
    array = jnp.asarray(given)
    allowed = f"whole numbers, tokens from 0 to {alphabet - 1}"
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise Refusal(f"{name}: given {array.dtype}; allowed {allowed}")
    if isinstance(array, jax.core.Tracer):
        return array
    known = np.asarray(array)
    outside = known[(known < 0) | (known >= alphabet)]
    if outside.size:
        raise Refusal(f"{name}: given {outside[0]}; allowed {allowed}")
    return array


def _known_entries(value: ArrayLike) -> np.ndarray:
    """The entries of `value`; none while it is being traced."""
    try:
        return np.asarray(value)
    except jax.errors.TracerArrayConversionError:
        return np.empty(0)


def in_range(name: str, value: ArrayLike, low: float, high: float) -> None:
    """Check that every entry of `value` lies in [low, high]; traced values are not checked.

    Raises:
        Refusal: an entry is outside, or NaN.
    """
    entries = _known_entries(value)
    # "Not inside", so that NaN is refused too.
    outside = entries[~((entries >= low) & (entries <= high))]
    if outside.size:
        raise Refusal(f"{name}: given {outside.flat[0]}; allowed {low} to {high}")


def is_sign(name: str, value: ArrayLike) -> None:
    """Check that every entry of `value` is -1 or +1; traced values are not checked."""
    entries = _known_entries(value)
    other = entries[(entries != 1) & (entries != -1)]
    if other.size:
        raise Refusal(f"{name}: given {other.flat[0]}; allowed -1 or +1")


def is_scalar(name: str, value: ArrayLike) -> None:
    """Check that `value`, traced or not, has no axes."""
    if jnp.ndim(value):
        raise Refusal(f"{name}: given an array of shape {jnp.shape(value)}; allowed a scalar")


def is_integer(name: str, value: ArrayLike) -> None:
    """Check that `value`, traced or not, has an integer dtype."""
    dtype = value.dtype if isinstance(value, jax.Array) else np.asarray(value).dtype
    if not jnp.issubdtype(dtype, jnp.integer):
        raise Refusal(f"{name}: given dtype {dtype}; allowed integers")


def dimension(array: jax.Array, name: str = "values") -> int:
    """Return the n of an array [..., 2^n] whose last axis runs over all points or all sets.

    Raises:
        Refusal: the length of the last axis is not 2^n with n from 1 to 30.
    """
    if array.ndim == 0:
        raise Refusal(f"{name}: given a scalar; allowed an array with a last axis of length 2^n")
    length = array.shape[-1]
    n = length.bit_length() - 1
    if length != 2**n or not 1 <= n <= MAX_DIMENSION:
        raise Refusal(
            f"{name}: given a last axis of length {length}; "
            f"allowed 2^n with n from 1 to {MAX_DIMENSION}"
        )
    return n


def array(name: str, values: ArrayLike) -> jax.Array:
    """Return the values as a JAX array.

    Raises:
        Refusal: integers beyond 32 bits, which JAX would wrap around without 64-bit types.
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
    """Return the array in float32 or float64, the dtypes of analysis.

    Integers and Booleans become the default float dtype (float32, or float64 under
    `jax.enable_x64`); half precision becomes float32.

    Raises:
        Refusal: complex numbers.
    """
    if not isinstance(array, jax.Array):
        array = np.asarray(array)
        if array.dtype.kind in "iu":
            # Before JAX sees them: it would wrap 64-bit integers around at 32 bits.
            array = array.astype(jnp.result_type(float))
    array = jnp.asarray(array)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise Refusal(f"{name}: given dtype {array.dtype}; allowed real numbers")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(jnp.result_type(float))
    return array if array.dtype.itemsize >= 4 else array.astype(jnp.float32)


def target_and_seen(values: ArrayLike, seen: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return a function float64[2^n], zero where unseen, and its seen set bool[2^n].

    `values` at unseen points are never read; they may be NaN.

    Raises:
        Refusal: a shape is not [2^n], `seen` is not boolean or is empty, or a seen value is not
            finite.
    """
    seen = seen_set(seen)
    values = np.asarray(values)
    if values.shape != seen.shape:
        raise Refusal(
            f"values: given shape {values.shape}; allowed {seen.shape}, the shape of seen"
        )
    if values.dtype.kind not in "biuf":
        raise Refusal(f"values: given dtype {values.dtype}; allowed real numbers")
    values = np.where(seen, values, 0).astype(np.float64)
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise Refusal(
            f"values: given {values[place]} at the seen point {place}; allowed finite numbers"
        )
    return values, seen


def seen_set(seen: ArrayLike) -> np.ndarray:
    """Return a seen set as bool[2^n].

    Raises:
        Refusal: it is not a boolean array [2^n], or is empty.
    """
    seen = np.asarray(seen)
    if seen.dtype != bool:
        raise Refusal(f"seen: given dtype {seen.dtype}; allowed bool, True where training looks")
    if seen.ndim != 1:
        raise Refusal(f"seen: given shape {seen.shape}; allowed one axis of length 2^n")
    dimension(seen, "seen")
    if not seen.any():
        raise Refusal("seen: given no seen point; allowed one or more")
    return seen
