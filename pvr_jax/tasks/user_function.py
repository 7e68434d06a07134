"""A function of the user's own, target or predicate: 'module:function', checked by its shapes."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import checkify

from pvr_jax import checks
from pvr_jax.boolean.cube import points_at
from pvr_jax.own_function import find, one_line, working_directory_importable
from pvr_jax.tasks import seen_draws

# Leading axes to try: one point, a batch, a batch of batches.
LEADING_SHAPES = ((), (3,), (2, 3))
# Points at which indices are checked: the whole cube of up to this many coordinates, or as many
# random points.
CHECKED_BITS = 10
KINDS = {"real": (jnp.floating, jnp.integer), "bool": (jnp.bool_,)}


def _check_shapes(name: str, function: Callable[[jax.Array], Any], n: int, kind: str) -> None:
    """Refuse a function that is not x[..., n] -> y[...] with y of a kind, real or bool."""
    allowed = f"a function of x[..., n] that returns {kind} y[...], with n = {n}"
    for leading in LEADING_SHAPES:
        x = jax.ShapeDtypeStruct((*leading, n), jnp.float32)
        try:
            y = jax.eval_shape(function, x)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the user's function raises is told in one line
            raise checks.invalid("name", name, f"{allowed} ({one_line(error)})") from error
        if not isinstance(y, jax.ShapeDtypeStruct):
            raise checks.invalid("name", name, f"{allowed} (it returns {type(y).__name__})")
        if y.shape != leading or not any(jnp.issubdtype(y.dtype, type_) for type_ in KINDS[kind]):
            got = f"{y.dtype}{list(y.shape)} for x{list(x.shape)}"
            raise checks.invalid("name", name, f"{allowed} (it returns {got})")


def _check_indices(name: str, function: Callable[[jax.Array], Any], n: int) -> None:
    """Refuse a function that reads past the end of an array: JAX reads another place instead."""
    if n <= CHECKED_BITS:
        x = points_at(jnp.arange(2**n, dtype=jnp.int32), n)
    else:
        x = seen_draws.signs(jax.random.key(0), (2**CHECKED_BITS, n))
    allowed = f"a function of x[..., n] with indices from 0 to n - 1 = {n - 1}"
    try:
        error, _ = checkify.checkify(function, errors=checkify.index_checks)(x)
    except Exception as error:  # whatever the user's function raises is told in one line
        raise checks.invalid("name", name, f"{allowed} ({one_line(error)})") from error
    message = error.get()
    if message is None:
        return
    found = re.search(r"index (-?\d+) is out of bounds for axis \d+ with size (\d+)", message)
    if found is None:
        raise checks.invalid("name", name, f"{allowed} ({message.splitlines()[0]})")
    index, size = map(int, found.groups())
    index -= size if index < 0 else 0  # JAX has added the size to a negative index
    where = f"n = {n}" if size == n else f"an axis of {size} with n = {n}"
    note = f"it reads index {index} of {where}; clip an index yourself where you mean that"
    raise checks.invalid("name", name, f"{allowed} ({note})")


def user_function(
    name: str, n: int | None = None
) -> tuple[int, Callable[[jax.Array], jax.Array], dict[str, Any]]:
    """Target of the user's own, `function(x[..., n]) -> y[...]`, as 'module:function'.

    The module is installed or lies in the working directory. The function must be one that JAX
    can trace; whole-number results become floats of the type of x. A slice past the end is
    shortened, as everywhere in Python.

    Raises ValueError where the module or the function is not found, does not import, cannot be
    traced, reads an index beyond n, or returns another shape or complex or Boolean values.
    """
    n = checks.integer(
        1, checks.LARGEST_N, f"1 to {checks.LARGEST_N} (the number of bits of {name})"
    ).check("n", n)
    with working_directory_importable():
        function = find(name)
        _check_shapes(name, function, n, "real")
        _check_indices(name, function, n)
    return n, function, {"n": n}


def user_predicate(name: str, n: int) -> Callable[[jax.Array], jax.Array]:
    """Predicate of the user's own, `function(x[..., n]) -> bool[...]`, as 'module:function'.

    Raises ValueError as `user_function`, and where it returns anything but Booleans.
    """
    with working_directory_importable():
        function = find(name)
        _check_shapes(name, function, n, "bool")
        _check_indices(name, function, n)
    return function
