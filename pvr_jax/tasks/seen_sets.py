"""The registry of seen sets: from a name and plain parameters to the inputs of training."""

import inspect
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.number_text import exact
from pvr_jax.refusal import did_you_mean
from pvr_jax.tasks import condition as conditions
from pvr_jax.tasks import holdouts, polynomial, seen_draws, user_function
from pvr_jax.tasks.seen_draws import Draw, Predicate

# Largest number of coordinates of a part of a condition whose points are listed for drawing.
LARGEST_PART = 20


class Made(NamedTuple):
    """A predicate, its description, and all its parameters.

    `draw` returns a draw that uses the structure of the set, or None.
    """

    predicate: Predicate
    description: str
    params: dict[str, Any]
    draw: Callable[[], Draw | None] = lambda: None


@dataclass(frozen=True, eq=False)
class SeenSet:
    """The inputs that training shows: `predicate(x[..., n]) -> bool[...]` for x in {-1, +1}^n.

    The predicate refuses Booleans and unsigned integers. `make_seen_set(name, n, **params)` makes
    the same set again. `relevant` is the number of first coordinates it depends on, if known; 0:
    all.
    """

    name: str
    n: int
    predicate: Predicate
    description: str
    params: dict[str, Any]
    own_draw: Callable[[], Draw | None]
    relevant: int = 0

    def mask(self) -> np.ndarray:
        """Return the set as bool[2^n], n up to 24, in the order of `cube.points`.

        Raises ValueError if nothing is seen.
        """
        checks.integer(1, holdouts.LARGEST_MASK_N).check("n", self.n)
        mask = np.zeros(2 ** len(self._listed), bool)
        mask[self._indices] = True
        return np.repeat(mask, 2 ** (self.n - len(self._listed)))

    @cached_property
    def sample(self) -> Draw:
        """The draw `sample(key) -> x [n]`, uniform over the seen inputs; may be traced and vmapped.

        Uses the structure of the set, or lists it if n or `relevant` is up to 24. Otherwise inputs
        are drawn until one is seen.

        Raises:
            Refusal: nothing is seen, or too little to draw by trials.
        """
        if draw := self.own_draw():
            return draw
        if (self.relevant or self.n) <= holdouts.LARGEST_MASK_N:
            return seen_draws.product(self.n, [(self._listed, self._indices)])
        share, at_least = seen_draws.seen_share(self.predicate, self.n)
        if at_least < seen_draws.MIN_SHARE:
            allowed = (
                f"clearly more than {100 * seen_draws.MIN_SHARE:g} %, as its rows are found by "
                f"trying; or n up to {holdouts.LARGEST_MASK_N}; or the same set by name, as "
                "subcube, parity, hamming_ball, or where with parts of few coordinates joined by "
                "and, whose rows are drawn directly"
            )
            tried = f"it holds for {100 * share:.2g} % of {seen_draws.SHARE_POINTS:,} random inputs"
            raise checks.invalid(self._field, f"{self.description} ({tried})", allowed)
        return seen_draws.by_trial(self.n, self.predicate)

    @cached_property
    def _indices(self) -> np.ndarray:
        """The indices of the seen points on the relevant coordinates, int32[m]; up to 24."""
        found = seen_draws.indices_where(self.predicate, self._listed, self.n)
        if not len(found):
            raise checks.invalid(self._field, self.description, "one that holds for some input")
        return found

    @property
    def _listed(self) -> range:
        return range(self.relevant or self.n)

    @property
    def _field(self) -> str:
        """The parameter that defines the seen inputs."""
        return "condition" if self.name == "where" else "name"


def everything(n: int) -> Made:
    """The whole cube: nothing is held out."""
    return Made(
        lambda x: jnp.ones(x.shape[:-1], bool), "everything", {}, lambda: seen_draws.anywhere(n)
    )


def where(n: int, condition: str | None = None) -> Made:
    """The inputs for which a condition holds, such as "x0 = 1 or x1 = 1"."""
    parts = conditions.parse(condition)
    whole = conditions.joined(operator.and_, parts)
    if max(whole.coordinates, default=0) >= n:
        raise checks.invalid("condition", condition, f"coordinates x0 to x{n - 1} with n = {n}")
    description = polynomial.one_line(condition)

    def draw() -> Draw | None:
        if any(len(part.coordinates) > LARGEST_PART for part in parts):
            return None
        factors, share = [], 1.0
        for holds, mentioned in parts:
            own = sorted(mentioned) or [0]
            numbers = seen_draws.indices_where(holds, own, n)
            if not len(numbers):
                raise checks.invalid("condition", condition, "one that holds for some input")
            factors.append((own, numbers))
            share *= len(numbers) / 2 ** len(own)
        # If most inputs are seen, a few trials suffice.
        if share > 0.5:
            return seen_draws.by_trial(n, whole.holds)
        return seen_draws.product(n, factors)

    return Made(whole.holds, description, {"condition": description}, draw)


def parity(n: int, coordinates: Sequence[int] = (), value: int = 1) -> Made:
    """The inputs whose product over some coordinates is `value`."""
    chosen = _coordinates(coordinates, n)
    value = checks.one_of(*holdouts.VALUES).check("value", value)
    description = "*".join(f"x{i}" for i in chosen) + f" = {value}"
    return Made(
        lambda x: jnp.prod(x[..., jnp.array(chosen)], axis=-1) == value,
        description,
        {"coordinates": chosen, "value": value},
        lambda: seen_draws.parity(n, chosen, value),
    )


def subcube(n: int, coordinates: Sequence[int] = (), values: Sequence[int] = ()) -> Made:
    """The inputs with given values at some coordinates; one of them is the canonical holdout."""
    chosen = _coordinates(coordinates, n)
    values = checks.sequence("values", values, "one value of -1 or 1 per coordinate")
    if len(values) != len(chosen):
        raise checks.invalid("values", values, f"{len(chosen)} values, one per coordinate")
    values = tuple(checks.one_of(*holdouts.VALUES).check("values", value) for value in values)
    description = " and ".join(f"x{i} = {v}" for i, v in zip(chosen, values, strict=True))

    def predicate(x: jax.Array) -> jax.Array:
        return jnp.stack([x[..., i] == v for i, v in zip(chosen, values, strict=True)]).all(axis=0)

    params = {"coordinates": chosen, "values": values}
    return Made(predicate, description, params, lambda: seen_draws.subcube(n, chosen, values))


def hamming_ball(n: int, radius: int | None = None) -> Made:
    """The inputs with at most `radius` entries -1: the shorter ones, in length generalization."""
    radius = checks.integer(0, n).check("radius", radius)
    return Made(
        lambda x: jnp.sum(x < 0, axis=-1) <= radius,
        f"at most {radius} entries −1",
        {"radius": radius},
        lambda: seen_draws.hamming_ball(n, radius),
    )


def random(n: int, fraction: float = 0.5, seed: int = 0) -> Made:
    """A random fraction of the inputs, without replacement, chosen by the seed."""
    seed = checks.integer(0, 2**31 - 1).check("seed", seed)
    if n > holdouts.LARGEST_MASK_N:
        raise checks.invalid("n", n, f"1 to {holdouts.LARGEST_MASK_N} for a random seen set")
    shown = holdouts.random(n, fraction, jax.random.key(seed))
    weights = 1 << np.arange(n - 1, -1, -1)

    def predicate(x: jax.Array) -> jax.Array:
        number = jnp.sum(jnp.where(x > 0, jnp.asarray(weights, jnp.int32), 0), axis=-1)
        return shown[number]

    description = f"a random {exact(round(100 * float(fraction), 12))} % (seed {seed})"
    return Made(predicate, description, {"fraction": fraction, "seed": seed})


# One line adds a seen set: a function of (n, **parameters).
_SEEN_SETS: dict[str, Callable[..., Made]] = {
    "everything": everything,
    "where": where,
    "parity": parity,
    "subcube": subcube,
    "hamming_ball": hamming_ball,
    "random": random,
}


def names() -> tuple[str, ...]:
    """Names of all registered seen sets; users may also give 'module:function'."""
    return tuple(_SEEN_SETS)


def make_seen_set(name: str, n: int, **params: Any) -> SeenSet:
    """Make the seen set `name` on {-1, +1}^n with the given parameters, defaults for the rest.

    A user's predicate is 'module:function', x[..., n] -> bool[...], without parameters.

    Raises:
        Refusal: an unknown name or parameter, or a value out of range.
    """
    n = checks.integer(1, checks.LARGEST_N).check("n", n)
    if isinstance(name, str) and ":" in name:
        if params:
            raise checks.invalid(next(iter(params)), params, f"no parameters of {name}")
        made = Made(user_function.user_predicate(name, n), name, {})
        return _of_signs(SeenSet(name, n, *made))
    if name not in _SEEN_SETS:
        hint = did_you_mean(name, _SEEN_SETS)
        allowed = f"{', '.join(names())}, or your own 'module:function'{hint}"
        raise checks.invalid("name", name, allowed)
    maker = _SEEN_SETS[name]
    known = [parameter for parameter in inspect.signature(maker).parameters if parameter != "n"]
    for key, value in params.items():
        if key not in known:
            raise checks.invalid(
                key, value, f"parameters of {name} are {', '.join(known) or 'none'}"
            )
    return _of_signs(SeenSet(name, n, *maker(n, **params)))


def _of_signs(seen: SeenSet) -> SeenSet:
    """Make a predicate refuse inputs that cannot be -1 and +1."""
    own = seen.predicate
    return replace(seen, predicate=lambda x: own(checks.signs(x)))


def _coordinates(coordinates: Any, n: int) -> tuple[int, ...]:
    allowed = f"one or more different coordinates of 0 to {n - 1}"
    chosen = checks.sequence("coordinates", coordinates, allowed)
    chosen = tuple(checks.integer(0, n - 1).check("coordinates", i) for i in chosen)
    if not chosen or len(set(chosen)) < len(chosen):
        raise checks.invalid("coordinates", coordinates, allowed)
    return chosen
