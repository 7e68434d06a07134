"""References for learned functions: target, seen set and min-degree interpolator."""

import math
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
from pvr_jax.training.run_log import RunError

# Largest cube that is evaluated completely; larger ones are sampled.
MAX_BITS = 20
# Sampled test points have their own key: they are the same for all replicas.
TEST_KEY = 2**31 - 1
# At least this fraction of the test points is seen, and at least this fraction unseen: what random
# points lack is drawn from the seen, or from the unseen, inputs alone.
MIN_FRACTION = 1 / 8
NEGLIGIBLE = 1e-9  # of a coefficient, relative to the target's largest value
ROUNDING = 1e-6  # of a value, relative to the target's largest, from reordered sums


@dataclass(frozen=True)
class Reference:
    """Exact target, seen set and min-degree interpolator on the relevant coordinates.

    All are [2^r] in float64 (`seen` bool), on the first r coordinates. If the interpolator is too
    large a problem, it is NaN and `not_computed` says why.
    """

    truth: np.ndarray
    seen: np.ndarray
    interpolator: np.ndarray
    not_computed: str = ""

    @property
    def n(self) -> int:
        """The number of coordinates r."""
        return int(self.truth.size).bit_length() - 1

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
        """Return the indices int[...] of inputs [..., n], by their first r coordinates."""
        return (x[..., : self.n] > 0) @ (1 << np.arange(self.n - 1, -1, -1))

    def is_close(self, values: Any, truth: Any) -> Any:
        """Return whether values [...] of the target equal `truth`, up to rounding."""
        return abs(values - truth) <= ROUNDING * float(np.abs(self.truth).max())


class Points(NamedTuple):
    """The points at which networks are evaluated.

    `indices` [P] are the indices of the points in the reference. `inputs` [P, n] is None for the
    whole cube; else the first `uniform` points are uniform over all inputs.
    """

    indices: np.ndarray
    inputs: np.ndarray | None
    uniform: int


class Monomials(NamedTuple):
    """Tracked monomials [M], with their coefficients in target and interpolator.

    `indices` are their indices in a spectrum [2^r].
    """

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
    return replace(seen, relevant=config.evaluation.relevant if n > MAX_BITS else 0)


def reference_of(config: ConfigDict) -> Reference:
    """Return target, seen set and interpolator of a configuration on the relevant coordinates.

    Raises:
        RunError: the target is not finite.
    """
    task = task_of(config)
    count = config.evaluation.relevant or task.n
    x = np.ones((2**count, task.n), np.float32)
    x[:, :count] = cube.points(count)
    truth, seen = _values_at(config, x)
    try:
        return Reference(truth, seen, interpolator_of(truth.tobytes(), seen.tobytes()))
    except theory.TooManyPointsError as error:
        return Reference(truth, seen, np.full_like(truth, np.nan), str(error))
    except Refusal as error:
        raise RunError(f"target and seen set allow no interpolator: {error}") from error


@lru_cache(maxsize=1)  # it can take minutes, and every stage and theory needs it
def interpolator_of(truth: bytes, seen: bytes) -> np.ndarray:
    """Return the min-degree interpolator [2^r] of arrays by their bytes, float64 and bool [2^r]."""
    return theory.min_degree_interpolator(np.frombuffer(truth), np.frombuffer(seen, bool))


def _values_at(config: ConfigDict, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the target [P] in float64, and whether inputs [P, n] are seen [P]."""
    task = task_of(config)
    with float64.exact():
        truth = np.asarray(task.target(jnp.asarray(x, jnp.float64)), np.float64)
    return truth, np.asarray(seen_set_of(config, task.n).predicate(jnp.asarray(x)))


def points_of(config: ConfigDict, reference: Reference) -> Points:
    """Return the points at which the networks of a configuration are evaluated.

    Raises:
        RunError: target or seen set depend on more coordinates than `evaluation.relevant`.
    """
    n = task_of(config).n
    if n > MAX_BITS:
        inputs = test_points(reference, n, config.evaluation.points)
        points = Points(reference.indices(inputs), inputs, config.evaluation.points)
    else:
        points = Points(np.arange(2**n) >> (n - reference.n), None, 2**n)
    if reference.n < n:
        x = np.asarray(cube.points(n)) if points.inputs is None else points.inputs
        truth, seen = _values_at(config, x)
        is_close = reference.is_close(truth, reference.truth[points.indices])
        off = ~is_close | (seen != reference.seen[points.indices])
        refuse_irrelevant(reference, int(off.sum()), len(off), "test points")
    return points


def refuse_irrelevant(reference: Reference, off: int, count: int, what: str) -> None:
    """Raise RunError if `off` of `count` inputs disagree with the reference."""
    if off:
        raise RunError(
            f"config.evaluation.relevant: given {reference.n}; allowed all coordinates that target "
            f"and seen set depend on, and at {off:,} of {count:,} {what} they depend on some past "
            f"x{reference.n - 1}"
        )


def test_points(reference: Reference, n: int, count: int) -> np.ndarray:
    """Return the test points of a cube that is too large to enumerate, float32 [P, n].

    The first `count` are uniform over all inputs. If too few of them are seen, or unseen, further
    points follow, uniform over these alone.
    """
    key = jax.random.key(TEST_KEY)
    points = np.asarray(seen_draws.signs(key, (count, n)))
    seen = reference.seen[reference.indices(points)]
    parts = [points]
    for stream, (there, subset) in enumerate(((seen, reference.seen), (~seen, ~reference.seen))):
        missing = math.ceil(count * MIN_FRACTION) - int(there.sum())
        if missing > 0 and subset.any():
            signs_key, choice_key = jax.random.split(jax.random.fold_in(key, stream))
            more = np.array(seen_draws.signs(signs_key, (missing, n)))
            indices = jnp.asarray(np.flatnonzero(subset))
            chosen = jax.random.randint(choice_key, (missing,), 0, len(indices), jnp.int32)
            more[:, : reference.n] = cube.points_at(indices[chosen], reference.n)
            parts.append(more)
    return np.concatenate(parts)


def tracked_monomials(reference: Reference, count: int) -> Monomials:
    """Return up to `count` monomials in which target and interpolator differ most.

    Others of either follow. If the interpolator is not computed, those are the target's largest.
    """
    target, interpolator, least = reference.spectra
    present = np.flatnonzero((np.abs(target) > least) | (np.abs(interpolator) > least))
    size = np.abs(target - np.nan_to_num(interpolator))[present]
    # Equal sizes are ordered by degree and coordinates, so the order does not depend on rounding.
    order = np.lexsort((-present, np.bitwise_count(present), -np.round(size / least)))
    indices = present[order][:count]
    cleaned = (np.where(np.abs(f) <= least, 0.0, f)[indices] for f in (target, interpolator))
    return Monomials(indices, *cleaned)
