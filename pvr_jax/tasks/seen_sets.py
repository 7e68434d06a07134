"""The registry of seen sets: a name and plain parameters in, which inputs training shows out."""

import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.tasks import checks, condition, holdouts, user_function

Predicate = Callable[[jax.Array], jax.Array]
# What every maker returns: the predicate, what it says in words, and the parameters in full.
Made = tuple[Predicate, str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class SeenSet:
    """Which inputs training shows: `predicate(x[..., n]) -> bool[...]` for x in {-1, +1}^n.

    `words` says it in a few words; `make_seen_set(name, n, **params)` makes the same set again.
    """

    name: str
    n: int
    predicate: Predicate
    words: str
    params: dict[str, Any]

    def mask(self) -> np.ndarray:
        """Return the set as bool[2^n], n up to 24, in the order of `cube.points`."""
        return np.asarray(holdouts.where(self.n, self.predicate))


def everything(n: int) -> Made:
    """The whole cube: nothing is held out."""
    return (lambda x: jnp.ones(x.shape[:-1], bool)), "everything", {}


def where(n: int, condition: str | None = None) -> Made:
    """The inputs for which a condition holds, such as "x0 = 1 or x1 = 1"."""
    predicate, needed = _parsed(condition)
    if needed > n:
        checks.refuse("condition", condition, f"coordinates x0 to x{n - 1} with n = {n}")
    return predicate, " ".join(condition.split()), {"condition": condition}


def parity(n: int, coordinates: Sequence[int] = (), value: int = 1) -> Made:
    """The inputs whose product over some coordinates is `value`."""
    chosen = _coordinates(coordinates, n)
    value = checks.one_of("value", value, holdouts.VALUES)
    words = "*".join(f"x{i}" for i in chosen) + f" = {value}"
    return (
        lambda x: jnp.prod(x[..., jnp.array(chosen)], axis=-1) == value,
        words,
        {"coordinates": chosen, "value": value},
    )


def subcube(n: int, coordinates: Sequence[int] = (), values: Sequence[int] = ()) -> Made:
    """The inputs with given values at some coordinates; one of them is the canonical holdout."""
    chosen = _coordinates(coordinates, n)
    values = checks.sequence("values", values, "one value of -1 or 1 per coordinate")
    if len(values) != len(chosen):
        checks.refuse("values", values, f"{len(chosen)} values, one per coordinate")
    values = tuple(checks.one_of("values", value, holdouts.VALUES) for value in values)
    words = " and ".join(f"x{i} = {v}" for i, v in zip(chosen, values, strict=True))

    def predicate(x: jax.Array) -> jax.Array:
        return jnp.stack([x[..., i] == v for i, v in zip(chosen, values, strict=True)]).all(axis=0)

    return predicate, words, {"coordinates": chosen, "values": values}


def hamming_ball(n: int, radius: int | None = None) -> Made:
    """The inputs with at most `radius` entries -1: shorter ones, in length generalization."""
    radius = checks.whole_number("radius", radius, 0, n)
    return (
        lambda x: jnp.sum(x < 0, axis=-1) <= radius,
        f"at most {radius} entries −1",
        {"radius": radius},
    )


def random(n: int, fraction: float = 0.5, seed: int = 0) -> Made:
    """A random share of the inputs, without replacement; the seed chooses which."""
    seed = checks.whole_number("seed", seed, 0, 2**31 - 1)
    if n > holdouts.LARGEST_MASK_N:
        checks.refuse("n", n, f"1 to {holdouts.LARGEST_MASK_N} for a random seen set")
    shown = holdouts.random(n, fraction, jax.random.key(seed))
    weights = 1 << np.arange(n - 1, -1, -1)

    def predicate(x: jax.Array) -> jax.Array:
        number = jnp.sum(jnp.where(x > 0, jnp.asarray(weights, jnp.int32), 0), axis=-1)
        return shown[number]

    words = f"a random {100 * float(fraction):g} % (seed {seed})"
    return predicate, words, {"fraction": fraction, "seed": seed}


# One line adds a kind of seen set: a function of (n, **parameters).
_SEEN_SETS: dict[str, Callable[..., Made]] = {
    "everything": everything,
    "where": where,
    "parity": parity,
    "subcube": subcube,
    "hamming_ball": hamming_ball,
    "random": random,
}


def names() -> tuple[str, ...]:
    """Names of all registered kinds; a user's own 'module:function' comes on top."""
    return tuple(_SEEN_SETS)


def make_seen_set(name: str, n: int, **params: Any) -> SeenSet:
    """Make the seen set `name` on {-1, +1}^n with the given parameters, defaults for the rest.

    A user's own predicate is 'module:function', x[..., n] -> bool[...], and has no parameters.
    Raises ValueError for an unknown name, an unknown parameter or a value out of range, in one
    line "<parameter>: given <value>; allowed <what>".
    """
    n = checks.whole_number("n", n, 1, checks.LARGEST_N)
    if isinstance(name, str) and ":" in name:
        if params:
            checks.refuse(next(iter(params)), params, f"no parameters of {name}")
        return SeenSet(name, n, user_function.user_predicate(name, n), name, {})
    if name not in _SEEN_SETS:
        near = difflib.get_close_matches(str(name), _SEEN_SETS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        allowed = f"{', '.join(names())}, or your own 'module:function'{hint}"
        checks.refuse("name", name, allowed)
    maker = _SEEN_SETS[name]
    known = [parameter for parameter in inspect.signature(maker).parameters if parameter != "n"]
    for key, value in params.items():
        if key not in known:
            checks.refuse(key, value, f"parameters of {name} are {', '.join(known) or 'none'}")
    predicate, words, full = maker(n, **params)
    return SeenSet(name, n, predicate, words, full)


def _parsed(text: Any) -> tuple[Predicate, int]:
    return condition.parse(text)


def _coordinates(coordinates: Any, n: int) -> tuple[int, ...]:
    allowed = f"one or more different coordinates of 0 to {n - 1}"
    chosen = checks.sequence("coordinates", coordinates, allowed)
    chosen = tuple(checks.whole_number("coordinates", i, 0, n - 1) for i in chosen)
    if not chosen or len(set(chosen)) < len(chosen):
        checks.refuse("coordinates", coordinates, allowed)
    return chosen
