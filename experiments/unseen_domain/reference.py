"""References for learned functions: target, seen set and min-degree interpolator."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from pvr_jax import tasks, theory
from pvr_jax.boolean import cube, float64
from pvr_jax.experiment import task_of
from pvr_jax.refusal import Refusal
from pvr_jax.tasks import seen_draws
from pvr_jax.tasks.condition import Part
from pvr_jax.tasks.seen_sets import share_of
from pvr_jax.training.run_log import RunError

# Largest cube that is evaluated completely; larger ones are sampled.
MAX_BITS = 20
# Sampled test points have their own key: they are the same for all replicas.
TEST_KEY = 2**31 - 1
# At least this fraction of the test points is seen, and at least this fraction unseen: what random
# points lack is drawn from the seen, or from the unseen, inputs alone.
MIN_FRACTION = 1 / 8
MAX_MONOMIALS = 2**20  # of a target, to find the largest
NEGLIGIBLE = 1e-9  # of a coefficient, relative to the target's largest value
ROUNDING = 1e-6  # of a value, relative to the target's largest, from reordered sums


@dataclass(frozen=True)
class Reference:
    """Exact target, seen set and min-degree interpolator on the relevant coordinates.

    The r relevant coordinates are those of the target, and those of the parts of the seen set that
    have one of these; or of all parts, if they are few. Other parts do not change the interpolator:
    let g be an interpolator, W its terms with coordinates of other parts, b a seen value of these
    coordinates. g(·, b) is an interpolator without them, and as W(·, b) has a lower degree than W,
    its highest degree has no more mass than that of g. So W is 0 there, and so on at lower degrees.

    All arrays are [2^r] in float64 (`seen` bool). Where the interpolator is too large a problem, it
    is NaN and `not_computed` says why. `seen` is None where target and seen set have too many
    coordinates together, and then the coordinates are the target's; `truth` is None, and there are
    no coordinates, if those are too many, too.

    Attributes:
        coordinates: the relevant coordinates, ascending.
        truth, seen, interpolator, not_computed: as above.
        other_share: the share of inputs for which the other parts of the seen set hold.
        facts: facts about the target where it is not enumerated, if any are known.
    """

    coordinates: tuple[int, ...]
    truth: np.ndarray | None
    seen: np.ndarray | None
    interpolator: np.ndarray
    not_computed: str = ""
    other_share: float = 1.0
    facts: tasks.ExactFacts | None = None

    @property
    def n(self) -> int:
        """The number of coordinates r."""
        return len(self.coordinates)

    @cached_property
    def spectra(self) -> tuple[np.ndarray, np.ndarray, float]:
        """The spectra [2^r] of target and interpolator, and their threshold for 0."""
        target, interpolator = map(float64.spectrum, (self.truth, self.interpolator))
        return target, interpolator, NEGLIGIBLE * np.abs(target).max()

    @property
    def dropped(self) -> np.ndarray:
        """The part [2^r] of the target whose monomials are not in the interpolator."""
        target, interpolator, least = self.spectra
        kept = (np.abs(target) > least) & (np.abs(interpolator) <= least)
        return float64.values_of(np.where(kept, target, 0.0))

    def indices(self, x: Any) -> Any:
        """Return the indices int[...] of inputs [..., n], by their relevant coordinates."""
        places = 1 << np.arange(self.n - 1, -1, -1)
        return (x[..., np.array(self.coordinates)] > 0) @ places

    def is_close(self, values: Any, truth: Any) -> Any:
        """Return whether values [...] of the target equal `truth`, up to rounding."""
        return abs(values - truth) <= ROUNDING * float(np.abs(self.truth).max())

    def mean_unseen(self, values: np.ndarray) -> float:
        """Return the mean of a function [2^r] over the unseen inputs; NaN if there are none."""
        if self.other_share == 1:
            unseen = values[~self.seen]
            return unseen.mean() if len(unseen) else np.nan
        share = self.other_share
        return (values - share * values * self.seen).mean() / (1 - share * self.seen.mean())


class Points(NamedTuple):
    """The points at which networks are evaluated, and what is known there.

    Attributes:
        inputs: the points [P, n]; None for the whole cube.
        uniform: how many of them, the first, are uniform over all inputs.
        indices: the indices [P] of the points in the reference.
        truth: the target [P], float64.
        seen: which are seen, bool [P].
        interpolator: the min-degree interpolator [P]; NaN if it is not computed.
        dropped: the part [P] of the target that the interpolator drops.
    """

    inputs: np.ndarray | None
    uniform: int
    indices: np.ndarray
    truth: np.ndarray
    seen: np.ndarray
    interpolator: np.ndarray
    dropped: np.ndarray


class Monomials(NamedTuple):
    """Tracked monomials [M], with their coefficients in target and interpolator.

    `sets` are their coordinates, `indices` their indices in a spectrum [2^r].
    """

    sets: list[tuple[int, ...]]
    indices: np.ndarray
    target: np.ndarray
    min_degree: np.ndarray


def seen_set_of(config: ConfigDict, n: int) -> tasks.SeenSet:
    """Return the seen set of a configuration; errors name the field."""
    try:
        seen = tasks.make_seen_set(n=n, **config.holdout.to_dict())
    except Refusal as error:
        section = "task" if str(error).startswith("n:") else "holdout"
        raise Refusal(f"config.{section}.{error}") from error
    if config.evaluation.relevant and n > MAX_BITS:
        known = frozenset(range(config.evaluation.relevant))
        seen = replace(seen, parts=(Part(seen.predicate, known),))
    return seen


def coordinates_of(task: tasks.Task) -> tuple[int, ...]:
    """Return the coordinates that a task depends on, at least one; all where that is not known."""
    facts = tasks.known_facts(task)
    if facts is None:
        return tuple(range(task.n))
    return tuple(np.flatnonzero(facts.influences).tolist()) or (0,)


class Split(NamedTuple):
    """The relevant coordinates, and the parts of the seen set on these and on others."""

    coordinates: tuple[int, ...]
    own: Sequence[Part]
    others: Sequence[Part]


def split_of(config: ConfigDict) -> Split:
    """Return the relevant coordinates of a configuration, see `Reference`.

    Those of a small cube are all.
    """
    task = task_of(config)
    parts = seen_set_of(config, task.n).parts
    if config.evaluation.relevant or task.n <= MAX_BITS:
        return Split(tuple(range(config.evaluation.relevant or task.n)), parts, ())
    target = frozenset(coordinates_of(task))
    every = target.union(*(part.coordinates for part in parts))
    if len(every) <= MAX_BITS:
        return Split(tuple(sorted(every)), parts, ())
    own = [part for part in parts if part.coordinates & target]
    others = [part for part in parts if not part.coordinates & target]
    return Split(tuple(sorted(target.union(*(part.coordinates for part in own)))), own, others)


def reference_of(config: ConfigDict) -> Reference:
    """Return target, seen set and interpolator of a configuration on the relevant coordinates.

    Raises:
        RunError: the target is not finite.
    """
    n, (coordinates, own, others) = task_of(config).n, split_of(config)
    if len(coordinates) > MAX_BITS:
        return _target_alone(config, len(coordinates))
    x = _points_on(coordinates, n)
    truth = _target_at(config, x)
    seen = np.ones(len(x), bool)
    for part in own:
        seen &= np.asarray(part.holds(jnp.asarray(x)))
    share = math.prod(share_of(part, n) for part in others)
    known = {"coordinates": coordinates, "truth": truth, "seen": seen, "other_share": share}
    try:
        return Reference(**known, interpolator=interpolator_of(truth.tobytes(), seen.tobytes()))
    except theory.TooManyPointsError as error:
        nothing = np.full_like(truth, np.nan)
        return Reference(**known, interpolator=nothing, not_computed=str(error))
    except Refusal as error:
        raise RunError(f"target and seen set allow no interpolator: {error}") from error


def _target_alone(config: ConfigDict, count: int) -> Reference:
    """Return a reference without seen set, if target and seen set have too many coordinates."""
    task = task_of(config)
    reason = (
        f"too large a problem: {count} coordinates of the target and of the parts of the seen set "
        f"that share one with it, and for now at most {MAX_BITS} are enumerated"
    )
    own = coordinates_of(task)
    if len(own) > MAX_BITS:
        return Reference((), None, None, np.full(1, np.nan), reason, facts=tasks.known_facts(task))
    truth = _target_at(config, _points_on(own, task.n))
    return Reference(own, truth, None, np.full_like(truth, np.nan), reason)


def _points_on(coordinates: tuple[int, ...], n: int) -> np.ndarray:
    """Return the points of the cube of some coordinates, the others being +1, [2^r, n]."""
    x = np.ones((2 ** len(coordinates), n), np.float32)
    x[:, coordinates] = cube.points(len(coordinates))
    return x


@lru_cache(maxsize=1)  # it can take minutes, and every stage and theory needs it
def interpolator_of(truth: bytes, seen: bytes) -> np.ndarray:
    """Return the min-degree interpolator [2^r] of arrays by their bytes, float64 and bool [2^r]."""
    return theory.min_degree_interpolator(np.frombuffer(truth), np.frombuffer(seen, bool))


def _target_at(config: ConfigDict, x: np.ndarray) -> np.ndarray:
    """Return the target [P] at inputs [P, n], in float64."""
    with float64.exact():
        return np.asarray(task_of(config).target(jnp.asarray(x, jnp.float64)), np.float64)


def is_sampled(config: ConfigDict) -> bool:
    """Return whether networks are evaluated at random points, not on the whole cube."""
    chosen = config.evaluation.points
    return chosen == "sampled" or (chosen == "auto" and task_of(config).n > MAX_BITS)


def points_of(config: ConfigDict, reference: Reference) -> Points:
    """Return the points at which the networks of a configuration are evaluated.

    Raises:
        RunError: target or seen set depend on more coordinates than `evaluation.relevant`.
    """
    n = task_of(config).n
    seen_set, inputs, uniform = seen_set_of(config, n), None, 2**n
    if is_sampled(config):
        uniform = config.evaluation.samples
        inputs = test_points(seen_set, n, uniform)
    if inputs is None:
        indices = np.arange(2**n) >> (n - reference.n)
    else:
        indices = reference.indices(inputs) if reference.n else np.zeros(len(inputs), int)
    at_points = reference.interpolator[indices]
    if reference.truth is None:
        if config.holdout.name == "subcube":
            at_points = _target_at(config, restored(inputs, seen_set))
        unknown = np.full(len(inputs), np.nan)
        return Points(inputs, uniform, indices, *_known_at(config, inputs), at_points, unknown)
    truth, dropped = reference.truth[indices], reference.dropped[indices]
    if reference.seen is None or reference.other_share < 1:
        seen = _known_at(config, inputs)[1]
    else:
        seen = reference.seen[indices]
    if reference.n < n and config.evaluation.relevant:
        values, shown = _known_at(config, np.asarray(cube.points(n)) if inputs is None else inputs)
        off = ~reference.is_close(values, truth) | (shown != seen)
        refuse_irrelevant(reference, int(off.sum()), len(off), "test points")
    return Points(inputs, uniform, indices, truth, seen, at_points, dropped)


def restored(inputs: np.ndarray, subcube: tasks.SeenSet) -> np.ndarray:
    """Return inputs [P, n] with the values that a subcube has at its coordinates.

    The target there is the min-degree interpolator of a subcube: of the monomials that are the same
    on it up to sign, it has the one without these coordinates.
    """
    changed = inputs.copy()
    changed[:, list(subcube.params["coordinates"])] = subcube.params["values"]
    return changed


def _known_at(config: ConfigDict, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the target [P] in float64, and whether inputs [P, n] are seen [P]."""
    seen_set = seen_set_of(config, task_of(config).n)
    return _target_at(config, x), np.asarray(seen_set.predicate(jnp.asarray(x)))


def refuse_irrelevant(reference: Reference, off: int, count: int, what: str) -> None:
    """Raise RunError if `off` of `count` inputs disagree with the reference."""
    if off:
        raise RunError(
            f"config.evaluation.relevant: given {reference.n}; allowed all coordinates that target "
            f"and seen set depend on, and at {off:,} of {count:,} {what} they depend on some past "
            f"x{reference.n - 1}"
        )


def test_points(seen_set: tasks.SeenSet, n: int, count: int) -> np.ndarray:
    """Return random test points, float32 [P, n].

    The first `count` are uniform over all inputs. If too few of them are seen, or unseen, further
    points follow, uniform over these alone; unseen ones only where they can be drawn.
    """
    key = jax.random.key(TEST_KEY)
    points = np.asarray(seen_draws.signs(key, (count, n)))
    seen = np.asarray(seen_set.predicate(jnp.asarray(points)))
    parts = [points]
    for stream, (there, subset) in enumerate(((seen, seen_set), (~seen, seen_set.complement))):
        missing = math.ceil(count * MIN_FRACTION) - int(there.sum())
        if missing <= 0:
            continue
        try:
            draw = subset.sample
        except Refusal:  # nothing, or too little
            continue
        keys = jax.random.split(jax.random.fold_in(key, stream), missing)
        parts.append(np.asarray(jax.jit(jax.vmap(draw))(keys)))
    return np.concatenate(parts)


def tracked_monomials(reference: Reference, count: int) -> Monomials:
    """Return up to `count` monomials in which target and interpolator differ most.

    Others of either follow. If the interpolator is not computed, those are the target's largest; if
    the target's are not known, the constant and the first coordinates.
    """
    if reference.truth is None:
        known = _largest(reference.facts, count)
        places, unknown = np.zeros(len(known), int), np.full(len(known), np.nan)
        return Monomials(list(known), places, np.array(list(known.values())), unknown)
    target, interpolator, least = reference.spectra
    present = np.flatnonzero((np.abs(target) > least) | (np.abs(interpolator) > least))
    size = np.abs(target - np.nan_to_num(interpolator))[present]
    # Equal sizes are ordered by degree and coordinates, so the order does not depend on rounding.
    order = np.lexsort((-present, np.bitwise_count(present), -np.round(size / least)))
    indices = present[order][:count]
    cleaned = (np.where(np.abs(f) <= least, 0.0, f)[indices] for f in (target, interpolator))
    own = np.array(reference.coordinates)
    sets = [tuple(own[list(cube.coordinates(p, reference.n))].tolist()) for p in indices]
    return Monomials(sets, indices, *cleaned)


def _largest(facts: tasks.ExactFacts | None, count: int) -> dict[tuple[int, ...], float]:
    """Return the `count` largest coefficients of a target by their sets of coordinates."""
    try:
        found = facts.monomials(MAX_MONOMIALS) if facts else {}
    except Refusal:
        found = {}
    if not found:
        return dict.fromkeys([(), *((i,) for i in range(count - 1))], np.nan)
    order = sorted(found, key=lambda own: (-round(abs(found[own]), 9), len(own), own))
    return {own: found[own] for own in order[:count]}
