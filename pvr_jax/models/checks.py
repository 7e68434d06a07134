"""Checks of the models' parameters; each complaint is one line."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.refusal import Refusal


def whole_number(name: str, value: Any, low: int) -> int:
    """Return `value` if it is a whole number of at least `low`.

    Raises:
        ValueError: it is not; one line "<name>: given <value>; allowed <what>".
    """
    if not _is_whole(value, low):
        raise Refusal(f"{name}: given {value!r}; allowed whole numbers of at least {low}")
    return value


def whole_numbers(name: str, values: Any, low: int, example: tuple[int, ...]) -> tuple[int, ...]:
    """Return `values` as a tuple if it is a sequence of whole numbers of at least `low`.

    Raises:
        ValueError: it is not; the line ends with the `example`.
    """
    allowed = f"whole numbers of at least {low}, such as {example}"
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise Refusal(f"{name}: given {values!r}; allowed {allowed}")
    if not all(_is_whole(value, low) for value in values):
        raise Refusal(f"{name}: given {tuple(values)!r}; allowed {allowed}")
    return tuple(values)


def checked_sizes(sizes: dict[str, Any]) -> dict[str, int]:
    """Return sizes by name if all of them are whole numbers of at least 1; see `whole_number`."""
    return {name: whole_number(name, size, 1) for name, size in sizes.items()}


def real_number(name: str, value: Any) -> float:
    """Return `value` as a float if it is a finite number.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise Refusal(f"{name}: given {value!r}; allowed finite numbers")
    return float(value)


def choice(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """Return `value` if it is one of `allowed`, and of its type (1 is not True).

    Raises:
        ValueError: it is not.
    """
    if not any(type(value) is type(entry) and value == entry for entry in allowed):
        raise Refusal(f"{name}: given {value!r}; allowed {', '.join(map(str, allowed))}")
    return value


def is_of_signs(x: jax.Array) -> None:
    """Check that inputs of bits are of a type that can hold -1 and +1.

    Raises:
        ValueError: they are Booleans or unsigned whole numbers.
    """
    dtype = jnp.result_type(x)
    if jnp.issubdtype(dtype, jnp.bool_) or jnp.issubdtype(dtype, jnp.unsignedinteger):
        raise Refusal(f"x: given {dtype}; allowed -1 and +1, for bits 2.0 * x - 1")


def is_of_tokens(x: jax.Array, alphabet: int) -> None:
    """Check that inputs are tokens of an alphabet; of traced ones, that they are whole numbers.

    Raises:
        ValueError: they are not.
    """
    allowed = f"whole numbers, tokens from 0 to {alphabet - 1}"
    if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
        raise Refusal(f"x: given {jnp.result_type(x)}; allowed {allowed}")
    if isinstance(x, jax.core.Tracer):
        return
    tokens = np.asarray(x)
    outside = tokens[(tokens < 0) | (tokens >= alphabet)]
    if outside.size:
        raise Refusal(f"x: given {outside[0]}; allowed {allowed}")


def _is_whole(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low
