"""The registry of targets: from a name and plain parameters to a function on {-1, +1}^n."""

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.boolean import float64
from pvr_jax.boolean.cube import points_at
from pvr_jax.refusal import Refusal, did_you_mean
from pvr_jax.tasks.polynomial import polynomial
from pvr_jax.tasks.pvr import binary_number, pvr, pvr_majority
from pvr_jax.tasks.user_function import user_function

Target = Callable[[jax.Array], jax.Array]
# n, the target, and all parameters.
Made = tuple[int, Target, dict[str, Any]]

LARGEST_TABLE_N = 24
# Allowed values of a truth table by encoding; None: any numbers.
ENCODINGS: dict[str, set[int] | None] = {"real": None, "sign": {-1, 1}, "bit": {0, 1}}
ORDERS = ("msb_first", "lsb_first")
# Points evaluated at once: 2^16 points of 24 coordinates are 6 MB.
CHUNK = 2**16


@dataclass(frozen=True, eq=False)
class Task:
    """A function to learn: `target(x[..., n]) -> y[...]` for x in {-1, +1}^n.

    The target is pure, can be jitted and vmapped, and returns the floating dtype of x. It refuses
    Booleans and unsigned integers. `params` has all parameters, defaults included, as values that
    JSON can write; `make(name, **params)` makes the same task again.
    """

    name: str
    n: int
    target: Target
    params: dict[str, Any]


def _along_last(values: np.ndarray, x: jax.Array) -> jax.Array:
    """Constant values[m] shaped to multiply x[..., m], in the dtype of x."""
    return jnp.asarray(values.reshape((1,) * (x.ndim - 1) + (-1,)), x.dtype)


def quadratic_chain(n: int = 11) -> Made:
    """Weighted products of neighbors, sum of (i+1) x_i x_{i+1}: the paper's f1 with n = 11.

    Source: Abbe et al. 2022, f1.
    """
    n = checks.integer(2, checks.LARGEST_N).check("n", n)
    weights = np.arange(1, n)

    def target(x: jax.Array) -> jax.Array:
        pairs = x[..., :-1] * x[..., 1:]
        return jnp.sum(_along_last(weights, pairs) * pairs, axis=-1)

    return n, target, {"n": n}


def staircase(n: int = 14) -> Made:
    """Sum of all prefix products x_0 + x_0 x_1 + ...: the paper's f2 with n = 14.

    Source: Abbe et al. 2022, f2.
    """
    n = checks.integer(1, checks.LARGEST_N).check("n", n)

    def target(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.cumprod(x, axis=-1), axis=-1)

    return n, target, {"n": n}


def linear(
    n: int | None = None,
    coefficients: tuple[float, ...] | None = None,
    intercept: float = 1.0,
) -> Made:
    """Linear function, intercept + sum of coefficients_i x_i.

    Without coefficients: the paper's alternating 2, -3, 4, -5, ..., n of them, n = 11. With them
    n is their number.

    Source: Abbe et al. 2022, linear regression.
    """
    if coefficients is None:
        size = 11 if n is None else checks.integer(1, checks.LARGEST_N).check("n", n)
        chosen = tuple((-1.0) ** i * (i + 2) for i in range(size))
    else:
        allowed = "a tuple of finite real numbers"
        given = checks.sequence("coefficients", coefficients, allowed)
        chosen = tuple(checks.finite("coefficients", value) for value in given)
        if not 1 <= len(chosen) <= checks.LARGEST_N:
            raise checks.invalid("coefficients", coefficients, f"1 to {checks.LARGEST_N} numbers")
        size = len(chosen)
        if n is not None and checks.integer(1, checks.LARGEST_N).check("n", n) != size:
            raise checks.invalid("n", n, f"{size}, the number of coefficients (or leave it out)")
    constant = checks.finite("intercept", intercept)
    weights = np.asarray(chosen)

    def target(x: jax.Array) -> jax.Array:
        # A sum, not a matrix product, which accelerators round to few bits.
        return constant + jnp.sum(_along_last(weights, x) * x, axis=-1)

    return size, target, {"n": size, "coefficients": chosen, "intercept": constant}


def parity(
    n: int = 11, degree: int | None = None, coordinates: tuple[int, ...] | None = None
) -> Made:
    """Product of the first `degree` coordinates, or of the given ones, else of all.

    degree = 0 and coordinates = () are the constant 1.
    """
    n = checks.integer(1, checks.LARGEST_N).check("n", n)
    if coordinates is None:
        degree = n if degree is None else checks.integer(0, n).check("degree", degree)
        chosen = tuple(range(degree))
        params = {"n": n, "degree": degree, "coordinates": None}
    else:
        allowed = f"a tuple of different whole numbers 0 to {n - 1}"
        chosen = checks.sequence("coordinates", coordinates, allowed)
        chosen = tuple(checks.integer(0, n - 1).check("coordinates", value) for value in chosen)
        if len(set(chosen)) != len(chosen):
            raise checks.invalid("coordinates", coordinates, allowed)
        if degree is not None:
            raise checks.invalid("degree", degree, "None where coordinates are given")
        params = {"n": n, "degree": None, "coordinates": chosen}
    places = np.asarray(chosen, np.int32)

    def target(x: jax.Array) -> jax.Array:
        return jnp.prod(x[..., places], axis=-1)

    return n, target, params


def from_file(
    path: str | Path | None = None, encoding: str | None = None, order: str = "msb_first"
) -> Made:
    """Function read from a .npy file with its 2^n values, n at most 24.

    Args:
        path: the file.
        encoding: "real", any values; "sign", -1 and +1; or "bit", 0 and 1 for -1 and +1. None:
            "bit" for Booleans, else "real"; a table of 0 and 1 only is then refused, because as
            bits its influences are four times those as real numbers.
        order: "msb_first", the order of `cube.points` and itertools.product([-1, 1], repeat=n): in
            the index of a value, coordinate 0 is the most significant bit; or "lsb_first", the
            least significant. A bit 0 is the input -1, a bit 1 the input +1.

    Raises:
        Refusal: the file is missing, is not a plain .npy file (nothing is unpickled), or does not
            fit the encoding.
    """
    if not isinstance(path, str | Path) or not str(path):
        raise checks.invalid("path", path, "the path of a .npy file with 2**n values")
    path = Path(path)
    there = False
    with contextlib.suppress(OSError, ValueError):  # the path may be too long
        there = path.is_file()
    if not there:
        raise checks.invalid("path", str(path), "the path of a .npy file that exists")
    try:
        # Mapped, not read: the header may claim more numbers than exist, or than fit in memory.
        values = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError, OverflowError, TypeError) as error:
        raise checks.invalid(
            "path", str(path), "a .npy file of numbers, nothing pickled"
        ) from error
    is_real = any(np.issubdtype(values.dtype, kind) for kind in (np.floating, np.integer, np.bool_))
    shown = f"{path} ({values.dtype}{list(values.shape)})"
    if not is_real:
        raise checks.invalid("path", shown, "an array of real numbers")
    n = values.size.bit_length() - 1
    if values.ndim != 1 or not 1 <= n <= LARGEST_TABLE_N or values.size != 2**n:
        raise checks.invalid(
            "path", shown, f"one axis of length 2**n, n from 1 to {LARGEST_TABLE_N}"
        )
    values = np.array(values)  # the file may change later
    if not np.all(np.abs(values.astype(np.float64)) <= np.finfo(np.float32).max):
        raise checks.invalid("path", shown, "finite numbers that float32 can hold")
    encoding = encoding_of(values, encoding)
    order = checks.one_of(*ORDERS).check("order", order)
    values = 2.0 * values - 1 if encoding == "bit" else values
    if order == "lsb_first":
        values = values.reshape((2,) * n).T.reshape(2**n)

    def target(x: jax.Array) -> jax.Array:
        return jnp.take(jnp.asarray(values.astype(x.dtype)), binary_number(x), mode="clip")

    return n, target, {"path": str(path), "encoding": encoding, "order": order}


def encoding_of(values: np.ndarray, given: str | None) -> str:
    """Return the encoding of values of a function: the given one, or by the values."""
    found = set(np.unique(values).tolist())
    if given is None and values.dtype != np.bool_:
        if 0 in found and found <= {0, 1}:
            raise checks.invalid(
                "encoding",
                given,
                "for a table of 0 and 1: bit (they stand for -1 and +1), or real (they are the "
                "values of the function)",
            )
        return "real"
    encoding = checks.one_of(*ENCODINGS).check("encoding", "bit" if given is None else given)
    allowed = ENCODINGS[encoding]
    if allowed is not None and not found <= allowed:
        other = next(value for value in sorted(found) if value not in allowed)
        text = " and ".join(f"{value:g}" for value in sorted(allowed))
        raise checks.invalid(
            "encoding", encoding, f"{encoding} for a table of {text} alone, not {other}"
        )
    return encoding


# One line adds a task: a function of plain parameters, all with defaults (None: required), that
# returns (n, target, all parameters).
_TASKS: dict[str, Callable[..., Made]] = {
    "pvr": pvr,
    "pvr_majority": pvr_majority,
    "quadratic_chain": quadratic_chain,
    "staircase": staircase,
    "linear": linear,
    "parity": parity,
    "polynomial": polynomial,
    "truth_table": from_file,
}


def names() -> tuple[str, ...]:
    """Names of all registered tasks; users may also give 'module:function'.

    >>> from pvr_jax import tasks
    >>> "pvr_majority" in tasks.names()
    True
    """
    return tuple(_TASKS)


def parameters(name: str) -> dict[str, Any]:
    """Parameters of a task and their defaults; None: required, or determined by others.

    Raises ValueError for an unknown task.
    """
    signature = inspect.signature(_maker(name))
    return {parameter.name: parameter.default for parameter in signature.parameters.values()}


def make(name: str, **params: Any) -> Task:
    """Make the task `name` with the given parameters, defaults for the rest.

    Raises:
        Refusal: an unknown task or parameter, or a value out of range.

    >>> import jax.numpy as jnp
    >>> from pvr_jax import tasks
    >>> task = tasks.make("polynomial", n=3, expression="x0*x1 - 2*x2")
    >>> task.n, task.target(jnp.array([[1.0, -1.0, 1.0]])).tolist()
    (3, [-3.0])
    """
    maker = _maker(name)
    known = parameters(name)
    for key, value in params.items():
        if key not in known:
            raise checks.invalid(key, value, f"parameters of {name} are {', '.join(known)}")
    n, target, full = maker(**params)
    return Task(name, n, _in_the_type_of_x(target, n), full)


def truth_table(task: Task) -> jax.Array:
    """Values of a task on the whole cube, y[2^n] in the order of `cube.points`, n up to 24.

    Computed in chunks, so only the table itself is in memory as a whole. The values are float64 if
    64-bit types are enabled, else float32.

    Raises ValueError where n is larger than 24.

    >>> from pvr_jax import tasks
    >>> tasks.truth_table(tasks.make("parity", n=2, degree=2)).tolist()  # x0 x1
    [1.0, -1.0, -1.0, 1.0]
    """
    n = checks.integer(1, LARGEST_TABLE_N, f"1 to {LARGEST_TABLE_N} for a truth table").check(
        "n", task.n
    )
    chunk = min(2**n, CHUNK)
    float_type = jnp.result_type(float)

    def values(start: jax.Array) -> jax.Array:
        x = points_at(start + jnp.arange(chunk, dtype=jnp.int32), n)
        return task.target(x.astype(float_type))

    # `starts` is an argument: with a constant, the compiler would evaluate the whole table.
    starts = np.arange(0, 2**n, chunk, dtype=np.int32)
    return jax.jit(lambda starts: jax.lax.map(values, starts).reshape(2**n))(starts)


def exact_values(task: Task) -> np.ndarray:
    """Values of a task on the whole cube, float64[2^n], computed in float64.

    Raises ValueError if n is larger than 24, or float32 cannot represent a value.
    """
    with float64.exact():
        values = np.asarray(truth_table(task), np.float64)
    with np.errstate(over="ignore"):
        wrong = np.flatnonzero(~np.isfinite(values.astype(np.float32)))
    if len(wrong):
        allowed = "finite numbers that float32 can hold"
        raise Refusal(f"target: given {values[wrong[0]]} at point {wrong[0]}; allowed {allowed}")
    return values


def _maker(name: str) -> Callable[..., Made]:
    """Maker of the task `name`, registered or a user's."""
    if isinstance(name, str) and name in _TASKS:
        return _TASKS[name]
    if isinstance(name, str) and ":" in name:
        return partial(_named, name)
    hint = did_you_mean(name, _TASKS)
    allowed = f"{', '.join(names())}, or your own 'module:function'{hint}"
    raise checks.invalid("name", name, allowed)


def _named(name: str, /, n: int | None = None) -> Made:
    """Maker of a user's function; its one parameter is n."""
    return user_function(name, n)


def _in_the_type_of_x(target: Target, n: int) -> Target:
    """Make a target return y[...] in the floating dtype of x[..., n]."""

    def checked(x: jax.Array) -> jax.Array:
        x = checks.signs(x)
        if x.ndim == 0 or x.shape[-1] != n:
            raise Refusal(f"x: given shape {x.shape}; allowed (..., {n})")
        if not jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(float)
        return jnp.asarray(target(x)).astype(x.dtype)

    return checked
