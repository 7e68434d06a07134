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
from pvr_jax.tasks import datasets
from pvr_jax.training.replicas import Replicas
from pvr_jax.training.run_log import RunError

# Streams of a seed's key.
DATA_STREAM, INIT_STREAM = 0, 1
# The test points of a cube that cannot be enumerated are drawn from a key of their own: they are
# the same for all replicas.
TEST_KEY = 2**31 - 1
PROBES = 512  # random points at which the coordinates past `relevant` are tried
NEGLIGIBLE = 1e-9  # of a coefficient, over the target's largest value


@dataclass(frozen=True)
class Reference:
    """Target, seen set and min-degree interpolator on the coordinates that matter, exactly.

    All are [2^r] in float64 (`seen` bool), on the first r coordinates.
    """

    truth: np.ndarray
    seen: np.ndarray
    interpolator: np.ndarray

    @property
    def n(self) -> int:
        """The number of coordinates r."""
        return int(self.truth.size).bit_length() - 1


@dataclass(frozen=True)
class Problem:
    """One configured experiment. R replicas: learning rates x init scales x seeds; P test points.

    `points` is None where these are all of the cube. `dropped` [P] is the part of the target that
    the min-degree interpolator does without; `monomials` are those whose coefficients are followed.
    """

    task: tasks.Task
    seen_set: tasks.SeenSet
    model: models.Model
    training_set: datasets.TrainingSet
    reference: Reference
    points: np.ndarray | None  # [P, n]
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
        """The names of the replicas [R]; rate and scale are in them where replicas differ in it."""
        rates_differ = len(set(self.replica_rates)) > 1
        scales_differ = len(set(self.replica_scales)) > 1
        return [
            (f"rate{rate:g}-" if rates_differ else "")
            + (f"scale{scale:g}-" if scales_differ else "")
            + f"seed{seed}"
            for rate, scale, seed in zip(
                self.replica_rates, self.replica_scales, self.replica_seeds, strict=True
            )
        ]


def assemble(config: ConfigDict) -> Problem:
    """Build the experiment of a validated configuration.

    Raises:
        RunError: target or seen set depend on more coordinates than `evaluation.relevant`, or the
            min-degree interpolator is too large a problem; one line.
    """
    task = settings.make_task(config)
    seen_set = settings.make_seen_set(config, task.n)
    try:
        reference = make_reference(task, seen_set, config.evaluation.relevant)
    except Refusal as error:
        raise RunError(f"the min-degree interpolator has no answer here: {error}") from error
    spectra = [float64.spectrum(f) for f in (reference.truth, reference.interpolator)]
    dropped = dropped_part(*spectra)
    tracked = tracked_monomials(*spectra, config.evaluation.monomials)
    numbers, points = None, None
    if task.n > settings.MAX_BITS:
        points = test_points(task.n, config.evaluation.points)
        numbers = (points[:, : reference.n] > 0) @ (1 << np.arange(reference.n - 1, -1, -1))
    elif reference.n < task.n:
        numbers = np.arange(2**task.n) >> (task.n - reference.n)

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

    With `relevant` = 0 all coordinates are kept. Otherwise the others are tried at random points,
    where flipping them must change nothing.
    """
    count = relevant or task.n
    if count < task.n:
        _check_relevant(task, seen_set, count)
    x = np.ones((2**count, task.n), np.float32)
    x[:, :count] = cube.points(count)
    with jax.enable_x64(True):
        truth = np.asarray(task.target(jnp.asarray(x, jnp.float64)), np.float64)
    seen = np.asarray(seen_set.predicate(jnp.asarray(x)))
    return Reference(truth, seen, theory.min_degree_interpolator(truth, seen))


def _check_relevant(task: tasks.Task, seen_set: tasks.SeenSet, count: int) -> None:
    x = test_points(task.n, PROBES)
    flipped = x.copy()
    flipped[:, count:] *= test_points(task.n, 2 * PROBES)[PROBES:, count:]
    for function in (task.target, seen_set.predicate):
        if not np.array_equal(*(np.asarray(function(jnp.asarray(p))) for p in (x, flipped))):
            raise Refusal(
                f"evaluation.relevant: given {count}; allowed all coordinates that target "
                f"and seen set depend on, and they depend on some past x{count - 1}"
            )


def test_points(n: int, count: int) -> np.ndarray:
    """Return uniform points of a cube that is too large to enumerate, float32 [count, n]."""
    signs = jax.random.rademacher(jax.random.key(TEST_KEY), (count, n))
    return np.asarray(signs, np.float32)


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

    Up to `count` of those that one of the two holds, each with its coordinates and coefficients.
    """
    n = int(target.size).bit_length() - 1
    least = NEGLIGIBLE * np.abs(target).max()
    present = np.flatnonzero((np.abs(target) > least) | (np.abs(interpolator) > least))
    size = np.abs(target - interpolator)[present]
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
    return float(coefficient) if abs(coefficient) > least else 0.0


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
    seen, characters = jnp.asarray(problem.seen), jnp.asarray(problem.characters)

    def measures(values: jax.Array) -> dict[str, jax.Array]:
        values = values.astype(dtype)
        measured = unseen.against_interpolator(values, truth, seen, interpolator, dropped)
        measured["coefficients"] = unseen.coefficients(values, characters)
        if problem.exact:
            measured["degree_profile"] = fourier.degree_profile(fourier.walsh_hadamard(values))
        return measured

    return measures
