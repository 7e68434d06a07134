"""From a configuration to the objects that training, analysis and prediction share."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.unseen_domain import settings
from pvr_jax import models, tasks, theory
from pvr_jax.analysis import learned, unseen
from pvr_jax.boolean import cube, float64, fourier
from pvr_jax.refusal import Refusal
from pvr_jax.tasks import datasets, seen_draws
from pvr_jax.training.replicas import Replicas, replica_names
from pvr_jax.training.run_log import RunError

# Streams of a seed's key.
DATA_STREAM, INIT_STREAM = 0, 1
# The test points of a cube that cannot be enumerated are drawn from a key of their own: they are
# the same for all replicas.
TEST_KEY = 2**31 - 1
# One in so many test points at least is seen, and one unseen: where fewer of the random ones are,
# others are added that are drawn from the seen, or the unseen, inputs alone.
LEAST_PART = 8
NEGLIGIBLE = 1e-9  # of a coefficient, over the target's largest value
# Measures that average over the seen or the unseen points, and so over all that are tested.
OF_PARTS = ("in_distribution_error", "unseen_error", "unseen_distance")
ROUNDING = 1e-6  # of a value, over the target's largest: what the order of a sum can change


@dataclass(frozen=True)
class Reference:
    """Target, seen set and min-degree interpolator on the coordinates that matter, exactly.

    All are [2^r] in float64 (`seen` bool), on the first r coordinates. Where the interpolator is
    too large a problem, it is NaN and `not_computed` says why.
    """

    truth: np.ndarray
    seen: np.ndarray
    interpolator: np.ndarray
    not_computed: str = ""

    @property
    def n(self) -> int:
        """The number of coordinates r."""
        return int(self.truth.size).bit_length() - 1

    def numbers(self, x: Any) -> Any:
        """Return the numbers int[...] of inputs [..., n], by their first r coordinates."""
        return (x[..., : self.n] > 0) @ (1 << np.arange(self.n - 1, -1, -1))


@dataclass(frozen=True)
class Problem:
    """One configured experiment. R replicas: learning rates x init scales x seeds; P test points.

    `points` is None where these are all of the cube, else the first `uniform` of them are of all
    inputs. `dropped` [P] is the part of the target that the min-degree interpolator does without;
    `monomials` are those whose coefficients are followed.
    """

    task: tasks.Task
    seen_set: tasks.SeenSet
    model: models.Model
    training_set: datasets.TrainingSet
    reference: Reference
    points: np.ndarray | None  # [P, n]
    uniform: int
    truth: np.ndarray  # float64 [P]
    seen: np.ndarray  # bool [P]
    interpolator: np.ndarray  # float64 [P]
    dropped: np.ndarray  # float64 [P]
    monomials: list[dict[str, Any]]
    characters: np.ndarray  # float32 [M, P]
    replica_rates: np.ndarray  # [R]
    replica_scales: np.ndarray  # [R]
    replica_seeds: np.ndarray  # [R]

    @property
    def exact(self) -> bool:
        """Whether the test points are all of the cube."""
        return self.points is None

    @property
    def names(self) -> list[str]:
        """The names of the replicas [R]."""
        conditions = [""] * len(self.replica_seeds)
        return replica_names(
            conditions, self.replica_rates, self.replica_scales, self.replica_seeds
        )


def assemble(config: ConfigDict) -> Problem:
    """Build the experiment of a validated configuration.

    Raises:
        RunError: target or seen set depend on more coordinates than `evaluation.relevant`, or the
            target is not finite; one line.
    """
    task = settings.make_task(config)
    seen_set = settings.make_seen_set(config, task.n)
    try:
        reference = make_reference(task, seen_set, config.evaluation.relevant)
    except Refusal as error:
        raise RunError(f"target and seen set allow no interpolator: {error}") from error
    spectra = [float64.spectrum(f) for f in (reference.truth, reference.interpolator)]
    dropped = dropped_part(*spectra)
    tracked = tracked_monomials(*spectra, config.evaluation.monomials)
    numbers, points = None, None
    if task.n > settings.MAX_BITS:
        points = test_points(reference, task.n, config.evaluation.points)
        numbers = reference.numbers(points)
    elif reference.n < task.n:
        numbers = np.arange(2**task.n) >> (task.n - reference.n)
    if numbers is not None:
        inputs = np.asarray(cube.points(task.n)) if points is None else points
        _check_relevant(task, seen_set, reference, inputs, numbers)

    def at_points(values: np.ndarray) -> np.ndarray:
        return values if numbers is None else values[numbers]

    first = config.train.first_seed
    members = list(
        itertools.product(
            map(float, config.train.learning_rates),
            map(float, config.train.init_scales),
            range(first, first + config.train.seeds),
        )
    )
    return Problem(
        task=task,
        seen_set=seen_set,
        model=models.build(n=task.n, **config.model.to_dict()),
        training_set=settings.training_set(config, task, seen_set),
        reference=reference,
        points=points,
        uniform=config.evaluation.points if points is not None else 2**task.n,
        truth=at_points(reference.truth),
        seen=at_points(reference.seen),
        interpolator=at_points(reference.interpolator),
        dropped=at_points(dropped),
        monomials=tracked,
        characters=np.stack([at_points(_character(m, reference.n)) for m in tracked]),
        replica_rates=np.array([rate for rate, _, _ in members]),
        replica_scales=np.array([scale for _, scale, _ in members]),
        replica_seeds=np.array([seed for _, _, seed in members]),
    )


def make_reference(task: tasks.Task, seen_set: tasks.SeenSet, relevant: int) -> Reference:
    """Return target, seen set and their min-degree interpolator on the first coordinates.

    With `relevant` = 0 all coordinates are kept; otherwise that nothing depends on the others is
    the caller's claim.
    """
    count = relevant or task.n
    x = np.ones((2**count, task.n), np.float32)
    x[:, :count] = cube.points(count)
    truth, seen = _values_at(task, seen_set, x)
    try:
        return Reference(truth, seen, theory.min_degree_interpolator(truth, seen))
    except theory.TooManyPointsError as error:
        return Reference(truth, seen, np.full_like(truth, np.nan), str(error))


def _values_at(
    task: tasks.Task, seen_set: tasks.SeenSet, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the target [P] in float64 and which inputs are seen [P], of inputs [P, n]."""
    with float64.exact():
        truth = np.asarray(task.target(jnp.asarray(x, jnp.float64)), np.float64)
    return truth, np.asarray(seen_set.predicate(jnp.asarray(x)))


def _check_relevant(
    task: tasks.Task,
    seen_set: tasks.SeenSet,
    reference: Reference,
    inputs: np.ndarray,
    numbers: np.ndarray,
) -> None:
    """Compare target and seen set at inputs [P, n] with what the reference says of their numbers.

    Raises RunError, one line, where they differ.
    """
    truth, seen = _values_at(task, seen_set, inputs)
    off = ~is_close(truth, reference.truth[numbers], reference) | (seen != reference.seen[numbers])
    refuse_irrelevant(reference, int(off.sum()), len(off), "test points")


def is_close(values: Any, truth: Any, reference: Reference) -> Any:
    """Return which values [...] of the target are those of the reference, up to rounding."""
    return abs(values - truth) <= ROUNDING * float(np.abs(reference.truth).max())


def refuse_irrelevant(reference: Reference, off: int, count: int, what: str) -> None:
    """Raise RunError, one line, where `off` of `count` inputs are not as the reference says."""
    if off:
        raise RunError(
            f"config.evaluation.relevant: given {reference.n}; allowed all coordinates that target "
            f"and seen set depend on, and at {off:,} of {count:,} {what} they depend on some past "
            f"x{reference.n - 1}"
        )


def test_points(reference: Reference, n: int, count: int) -> np.ndarray:
    """Return the test points of a cube that is too large to enumerate, float32 [P, n].

    The first `count` are of all inputs. Where there are too few seen or unseen ones among them,
    others follow, uniform over these alone.
    """
    key = jax.random.key(TEST_KEY)
    points = np.asarray(seen_draws.signs(key, (count, n)))
    seen = reference.seen[reference.numbers(points)]
    parts = [points]
    for stream, (there, members) in enumerate(((seen, reference.seen), (~seen, ~reference.seen))):
        missing = -(-count // LEAST_PART) - int(there.sum())
        if missing > 0 and members.any():
            signs_key, choice_key = jax.random.split(jax.random.fold_in(key, stream))
            more = np.array(seen_draws.signs(signs_key, (missing, n)))
            numbers = jnp.asarray(np.flatnonzero(members))
            chosen = jax.random.randint(choice_key, (missing,), 0, len(numbers), jnp.int32)
            more[:, : reference.n] = cube.points_at(numbers[chosen], reference.n)
            parts.append(more)
    return np.concatenate(parts)


def dropped_part(target: np.ndarray, interpolator: np.ndarray) -> np.ndarray:
    """Return the values [2^r] of the monomials that are in the target and not in the interpolator.

    Both are given by their spectra [2^r].
    """
    least = NEGLIGIBLE * np.abs(target).max()
    kept = (np.abs(target) > least) & (np.abs(interpolator) <= least)
    return float64.values_of(np.where(kept, target, 0.0))


def tracked_monomials(
    target: np.ndarray, interpolator: np.ndarray, count: int
) -> list[dict[str, Any]]:
    """Return the monomials whose coefficients differ most between two spectra [2^r], then others.

    Up to `count` of those that one of the two holds, each with its coordinates and coefficients. Of
    an interpolator that is NaN, not computed, the target's largest.
    """
    n = int(target.size).bit_length() - 1
    least = NEGLIGIBLE * np.abs(target).max()
    present = np.flatnonzero((np.abs(target) > least) | (np.abs(interpolator) > least))
    size = np.abs(target - np.nan_to_num(interpolator))[present]
    # Equal sizes are ordered by degree and coordinates, so that rounding does not shuffle them.
    order = np.lexsort((-present, np.bitwise_count(present), -np.round(size / least)))
    return [
        {
            "coordinates": list(cube.coordinates(int(index), n)),
            "target": _cleaned(target[index], least),
            "min_degree": _cleaned(interpolator[index], least),
        }
        for index in present[order][:count]
    ]


def _cleaned(coefficient: float, least: float) -> float:
    return 0.0 if abs(coefficient) <= least else float(coefficient)


def _character(monomial: dict[str, Any], n: int) -> np.ndarray:
    return np.asarray(cube.character(cube.index(monomial["coordinates"], n), n), np.float32)


def make_replicas(problem: Problem) -> Replicas:
    """Return the replicas; each depends on its own seed alone.

    Replicas of one seed that differ in learning rate or init scale start from the same draw.
    """

    def keys(seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        root = jax.random.key(seed)
        return jax.random.fold_in(root, INIT_STREAM), jax.random.fold_in(root, DATA_STREAM)

    init_keys, data_keys = jax.vmap(keys)(jnp.asarray(problem.replica_seeds, jnp.uint32))
    return Replicas(
        init_key=init_keys,
        data_key=data_keys,
        learning_rate=jnp.asarray(problem.replica_rates, jnp.float32),
        init_scale=jnp.asarray(problem.replica_scales, jnp.float32),
        conditions={},
    )


def values_of(problem: Problem, chunk: int) -> Callable[[Any], jax.Array]:
    """Return `values(params)`, what one network says at the test points [P].

    At most `chunk` points are evaluated at once.
    """
    chunk = min(chunk, learned.chunk_size())

    def values(params: Any) -> jax.Array:
        if problem.points is None:
            size = 1 << (chunk.bit_length() - 1)
            return learned.on_cube(problem.model.apply, params, problem.task.n, size)
        points = jnp.asarray(problem.points)
        return learned.at_points(problem.model.apply, params, points, chunk)

    return values


def measures_of(problem: Problem, dtype: Any) -> Callable[[jax.Array], dict[str, jax.Array]]:
    """Return `measures(values[P])`: every measure of one learned function, in a float type."""
    arrays = (problem.truth, problem.interpolator, problem.dropped)
    truth, interpolator, dropped = (jnp.asarray(array, dtype) for array in arrays)
    whole = problem.uniform
    seen = jnp.asarray(problem.seen)
    characters = jnp.asarray(problem.characters[:, :whole])

    def measures(values: jax.Array) -> dict[str, jax.Array]:
        values = values.astype(dtype)
        own = (values, truth, seen, interpolator, dropped)
        measured = unseen.against_interpolator(*own)
        if whole < len(problem.truth):
            of_parts = {name: measured[name] for name in OF_PARTS}
            measured = unseen.against_interpolator(*(array[:whole] for array in own)) | of_parts
        measured["coefficients"] = unseen.coefficients(values[:whole], characters)
        if problem.exact:
            measured["degree_profile"] = fourier.degree_profile(fourier.walsh_hadamard(values))
        return measured

    return measures
