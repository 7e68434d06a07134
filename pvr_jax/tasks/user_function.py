"""A function of the user's own, target or predicate: 'module:function', checked by its shapes."""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import checkify
from jax.typing import ArrayLike

from pvr_jax import checks
from pvr_jax.boolean.cube import points_at
from pvr_jax.own_function import find, one_line, working_directory_importable
from pvr_jax.tasks import seen_draws

# Leading axes to try: one point, a batch, a batch of batches.
LEADING_SHAPES = ((), (3,), (2, 3))
# Points at which indices are checked: the whole cube of up to this many coordinates, or as many
# random points.
CHECKED_BITS = 10
KINDS = {
    "real": (jnp.floating, jnp.integer),
    "bool": (jnp.bool_,),
    "a whole number": (jnp.integer,),
}


def _check_shapes(name: str, function: Callable[[jax.Array], Any], n: int, kind: str) -> None:
    """Refuse a function that is not x[..., n] -> y[...] with y of a kind, real or bool."""
    allowed = f"a function of x[..., n] that returns {kind} y[...], with n = {n}"
    for leading in LEADING_SHAPES:
        x = jax.ShapeDtypeStruct((*leading, n), jnp.float32)
        _check_result(name, function, x, "x", kind, allowed)


def _check_result(
    name: str,
    function: Callable[[jax.Array], Any],
    x: jax.ShapeDtypeStruct,
    symbol: str,
    kind: str,
    allowed: str,
) -> None:
    """Refuse a function that does not return an array of a kind, of the leading shape of x."""
    try:
        y = jax.eval_shape(function, x)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's function raises is told in one line
        raise checks.invalid("name", name, f"{allowed} ({one_line(error)})") from error
    if not isinstance(y, jax.ShapeDtypeStruct):
        raise checks.invalid("name", name, f"{allowed} (it returns {type(y).__name__})")
    if y.shape != x.shape[:-1] or not any(jnp.issubdtype(y.dtype, one) for one in KINDS[kind]):
        got = f"{y.dtype}{list(y.shape)} for {symbol}{list(x.shape)}"
        raise checks.invalid("name", name, f"{allowed} (it returns {got})")


def _check_indices(name: str, function: Callable[[jax.Array], Any], n: int) -> None:
    """Refuse a function that reads past the end of an array: JAX reads another place instead."""
    if n <= CHECKED_BITS:
        x = points_at(jnp.arange(2**n, dtype=jnp.int32), n)
    else:
        x = seen_draws.signs(jax.random.key(0), (2**CHECKED_BITS, n))
    _check_indices_at(name, function, x, "x[..., n]", "n")


def _check_indices_at(
    name: str, function: Callable[[jax.Array], Any], x: ArrayLike, inputs: str, size: str
) -> None:
    """Refuse a function that reads past the end of an array at one of the points x [m, n]."""
    n = x.shape[-1]
    allowed = f"a function of {inputs} with indices from 0 to {size} - 1 = {n - 1}"
    try:
        error, _ = checkify.checkify(function, errors=checkify.index_checks)(x)
    except Exception as error:  # whatever the user's function raises is told in one line
        if str(error).startswith("Checkify does not support"):
            return  # such as a loop within a vmap, which is no mistake
        raise checks.invalid("name", name, f"{allowed} ({one_line(error)})") from error
    message = error.get()
    if message is None:
        return
    found = re.search(r"index (-?\d+) is out of bounds for axis \d+ with size (\d+)", message)
    if found is None:
        raise checks.invalid("name", name, f"{allowed} ({message.splitlines()[0]})")
    index, length = map(int, found.groups())
    index -= length if index < 0 else 0  # JAX has added the length to a negative index
    where = f"{size} = {n}" if length == n else f"an axis of {length} with {size} = {n}"
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


def token_function(
    name: str, kind: str, length: int, alphabet: int
) -> Callable[[jax.Array], jax.Array]:
    """Function of the user's own of one sequence, `function(tokens[length]) -> y[]`, of a kind.

    Tokens are int32, 0 to alphabet - 1. Raises ValueError as `user_function`.
    """
    with working_directory_importable():
        function = find(name)
        _check_token_function(name, function, kind, length, alphabet)
    return function


@lru_cache(maxsize=16)
def _check_token_function(
    name: str, function: Callable[[jax.Array], Any], kind: str, length: int, alphabet: int
) -> None:
    one = jax.ShapeDtypeStruct((length,), jnp.int32)
    allowed = f"a function of tokens[length] that returns {kind}, with length = {length}"
    _check_result(name, function, one, "tokens", kind, allowed)
    points = token_points(length, alphabet)
    _check_indices_at(name, partial(jax.lax.map, function), points, "tokens[length]", "length")


def token_points(length: int, alphabet: int) -> np.ndarray:
    """Return fixed sequences int32[m, length]: random ones, and such with few tokens but 0."""
    random, shape = np.random.default_rng(0), (2**CHECKED_BITS, length)
    drawn = [
        np.where(random.random(shape) < share, random.integers(alphabet, size=shape), 0)
        for share in (0.03, 0.2, 0.5, 1)
    ]
    return np.concatenate(drawn).astype(np.int32)
