"""The registry of seen sets: from a name and plain parameters to the inputs of training."""

import inspect
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.number_text import exact
from pvr_jax.refusal import did_you_mean
from pvr_jax.tasks import condition as conditions
from pvr_jax.tasks import holdouts, polynomial, seen_draws, user_function
from pvr_jax.tasks.condition import Part
from pvr_jax.tasks.seen_draws import Draw, Predicate

# Largest number of coordinates of a part of a condition whose points are listed for drawing.
LARGEST_PART = 20


class Made(NamedTuple):
    """A predicate, its description, all its parameters, and its parts.

    The parts, without common coordinates, hold together where the predicate does; None: the
    predicate may depend on all coordinates. `draw(bias)` returns a draw that uses the structure of
    the set, or None.
    """

    predicate: Predicate
    description: str
    params: dict[str, Any]
    parts: Sequence[Part] | None = None
    draw: Callable[[float], Draw | None] = lambda bias: None


@dataclass(frozen=True, eq=False)
class SeenSet:
    """The inputs that training shows: `predicate(x[..., n]) -> bool[...]` for x in {-1, +1}^n.

    The predicate refuses Booleans and unsigned integers. `make_seen_set(name, n, **params)` makes
    the same set again. It holds where all `parts` do, conditions without common coordinates.
    `sample` draws from coordinates that are +1 with probability `bias`.
    """

    name: str
    n: int
    predicate: Predicate
    description: str
    params: dict[str, Any]
    parts: Sequence[Part]
    own_draw: Callable[[float], Draw | None]
    bias: float = seen_draws.UNIFORM

    def mask(self) -> np.ndarray:
        """Return the set as bool[2^n], n up to 24, in the order of `cube.points`.

        Raises ValueError if nothing is seen.
        """
        checks.integer(1, holdouts.LARGEST_MASK_N).check("n", self.n)
        mask = np.zeros(2**self.n, bool)
        mask[self._indices] = True
        return mask

    @cached_property
    def sample(self) -> Draw:
        """The draw `sample(key) -> x [n]` of seen inputs; may be traced and vmapped.

        It is uniform, or as from independent biased coordinates given that the input is seen. Uses
        the structure of the set, or lists it if it depends on up to 24 coordinates. Otherwise
        inputs are drawn until one is seen.

        Raises:
            Refusal: nothing is seen, or too little to draw by trials.
        """
        if draw := self.own_draw(self.bias):
            return draw
        if len(self._listed) <= holdouts.LARGEST_MASK_N:
            own = seen_draws.listed(len(self._listed), self._indices, self.bias)
            return seen_draws.product(self.n, [(self._listed, own)], self.bias)
        part = conditions.joined(operator.and_, self.parts)
        return _draw_of(part, self.n, self.bias, self._field, self.description)

    @cached_property
    def share(self) -> float:
        """The share of inputs that are seen, estimated where no structure says it."""
        return math.prod(share_of(part, self.n) for part in self.parts)

    @property
    def complement(self) -> "SeenSet":
        """The set of all other inputs."""
        own = conditions.joined(operator.and_, self.parts)
        part = own._replace(holds=lambda x: ~own.holds(x))
        words = f"not ({self.description})"
        return SeenSet("complement", self.n, part.holds, words, {}, (part,), lambda bias: None)

    @cached_property
    def _indices(self) -> np.ndarray:
        """The indices of the seen points on the listed coordinates, int32[m]; up to 24."""
        found = seen_draws.indices_where(self.predicate, self._listed, self.n)
        if not len(found):
            raise checks.invalid(self._field, self.description, "one that holds for some input")
        return found

    @property
    def _listed(self) -> Sequence[int]:
        """All coordinates if these are up to 24, else those that the set depends on."""
        if self.n <= holdouts.LARGEST_MASK_N:
            return range(self.n)
        return sorted(frozenset().union(*(part.coordinates for part in self.parts))) or [0]

    @property
    def _field(self) -> str:
        """The parameter that defines the seen inputs."""
        return "condition" if self.name == "where" else "name"


def share_of(part: Part, n: int, bias: float = seen_draws.UNIFORM) -> float:
    """Return the share of inputs for which a part holds.

    Exact by its levels or by listing, else estimated from random inputs.
    """
    own = sorted(part.coordinates) or [0]
    if len(own) <= LARGEST_PART:
        return seen_draws.listed_share(len(own), _listing(part, n), bias)
    if part.by_level:
        sizes = seen_draws.level_sizes(len(own), bias)
        return sum(sizes[k] for k in _levels(part, n)) / sum(sizes)
    return seen_draws.seen_share(part.holds, n, bias)[0]


def _draw_of(part: Part, n: int, bias: float, field: str, description: str) -> Draw:
    """Return a draw of all coordinates, for a part that is not listed.

    Raises:
        Refusal: nothing is seen, or too little to draw by trials.
    """
    if part.by_level:
        levels = _levels(part, n)
        if not levels:
            raise checks.invalid(field, description, "one that holds for some input")
        own = sorted(part.coordinates)
        return seen_draws.product(n, [(own, seen_draws.by_level(len(own), levels, bias))], bias)
    share, at_least = seen_draws.seen_share(part.holds, n, bias)
    if at_least < seen_draws.MIN_SHARE:
        allowed = (
            f"clearly more than {100 * seen_draws.MIN_SHARE:g} %, as its rows are found by "
            f"trying; or n up to {holdouts.LARGEST_MASK_N}; or the same set by name, as "
            "subcube, parity, hamming_ball, or where with parts of few coordinates joined by "
            "and, whose rows are drawn directly"
        )
        tried = f"it holds for {100 * share:.2g} % of {seen_draws.SHARE_POINTS:,} random inputs"
        raise checks.invalid(field, f"{description} ({tried})", allowed)
    return seen_draws.by_trial(n, part.holds, bias)


def _listing(part: Part, n: int) -> np.ndarray:
    return seen_draws.indices_where(part.holds, sorted(part.coordinates) or [0], n)


def _levels(part: Part, n: int) -> list[int]:
    """Return the numbers of entries -1 for which a part holds that depends on nothing else."""
    own = np.array(sorted(part.coordinates))
    points = np.ones((len(own) + 1, n), np.float32)
    points[:, own] -= 2 * np.tri(len(own) + 1, len(own), -1, np.float32)
    return np.flatnonzero(part.holds(jnp.asarray(points))).tolist()


def everything(n: int) -> Made:
    """The whole cube: nothing is held out."""

    def predicate(x: jax.Array) -> jax.Array:
        return jnp.ones(x.shape[:-1], bool)

    parts = (Part(predicate, frozenset()),)
    return Made(predicate, "everything", {}, parts, partial(seen_draws.anywhere, n))


def where(n: int, condition: str | None = None) -> Made:
    """The inputs for which a condition holds, such as "x0 = 1 or x1 = 1"."""
    parts = conditions.parse(condition)
    whole = conditions.joined(operator.and_, parts)
    if max(whole.coordinates, default=0) >= n:
        raise checks.invalid("condition", condition, f"coordinates x0 to x{n - 1} with n = {n}")
    description = polynomial.one_line(condition)

    def draw(bias: float) -> Draw | None:
        if n <= holdouts.LARGEST_MASK_N and any(
            len(part.coordinates) > LARGEST_PART for part in parts
        ):
            return None
        shares = [share_of(part, n, bias) for part in parts]
        # If most inputs are seen, a few trials suffice.
        if math.prod(shares) > 0.5:
            return seen_draws.by_trial(n, whole.holds, bias)
        return seen_draws.product(n, [factor(part, bias) for part in parts], bias)

    def factor(part: Part, bias: float) -> tuple[Sequence[int], Draw]:
        own = sorted(part.coordinates) or [0]
        if len(own) > LARGEST_PART:
            of_all = _draw_of(part, n, bias, "condition", description)
            return own, lambda key: of_all(key)[jnp.asarray(own)]
        numbers = _listing(part, n)
        if not len(numbers):
            raise checks.invalid("condition", condition, "one that holds for some input")
        return own, seen_draws.listed(len(own), numbers, bias)

    return Made(whole.holds, description, {"condition": description}, parts, draw)


def parity(n: int, coordinates: Sequence[int] = (), value: int = 1) -> Made:
    """The inputs whose product over some coordinates is `value`."""
    chosen = _coordinates(coordinates, n)
    value = checks.one_of(*holdouts.VALUES).check("value", value)
    description = "*".join(f"x{i}" for i in chosen) + f" = {value}"

    def predicate(x: jax.Array) -> jax.Array:
        return jnp.prod(x[..., jnp.array(chosen)], axis=-1) == value

    def draw(bias: float) -> Draw:
        if bias == seen_draws.UNIFORM:
            return seen_draws.parity(n, chosen, value)
        levels = range(0 if value == 1 else 1, len(chosen) + 1, 2)
        own = seen_draws.by_level(len(chosen), levels, bias)
        return seen_draws.product(n, [(chosen, own)], bias)

    part = Part(predicate, frozenset(chosen), by_level=True)
    return Made(predicate, description, {"coordinates": chosen, "value": value}, (part,), draw)


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

    def is_at(i: int, v: int, x: jax.Array) -> jax.Array:
        return x[..., i] == v

    params = {"coordinates": chosen, "values": values}
    parts = [
        Part(partial(is_at, i, v), frozenset([i])) for i, v in zip(chosen, values, strict=True)
    ]
    draw = partial(seen_draws.subcube, n, chosen, values)
    return Made(predicate, description, params, parts, draw)


def hamming_ball(n: int, radius: int | None = None) -> Made:
    """The inputs with at most `radius` entries -1: the shorter ones, in length generalization."""
    radius = checks.integer(0, n).check("radius", radius)

    def predicate(x: jax.Array) -> jax.Array:
        return jnp.sum(x < 0, axis=-1) <= radius

    part = Part(predicate, frozenset(range(n)), by_level=True)
    draw = partial(seen_draws.by_level, n, range(radius + 1))
    return Made(predicate, f"at most {radius} entries −1", {"radius": radius}, (part,), draw)


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
        return _seen_set(name, n, Made(user_function.user_predicate(name, n), name, {}))
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
    return _seen_set(name, n, maker(n, **params))


def _seen_set(name: str, n: int, made: Made) -> SeenSet:
    """Make a seen set whose predicate refuses inputs that cannot be -1 and +1."""
    own, parts = made.predicate, made.parts
    if parts is None:
        parts = (Part(own, frozenset(range(n))),)
    complete = made._replace(predicate=lambda x: own(checks.signs(x)), parts=parts)
    return SeenSet(name, n, *complete)


def _coordinates(coordinates: Any, n: int) -> tuple[int, ...]:
    allowed = f"one or more different coordinates of 0 to {n - 1}"
    chosen = checks.sequence("coordinates", coordinates, allowed)
    chosen = tuple(checks.integer(0, n - 1).check("coordinates", i) for i in chosen)
    if not chosen or len(set(chosen)) < len(chosen):
        raise checks.invalid("coordinates", coordinates, allowed)
    return chosen
