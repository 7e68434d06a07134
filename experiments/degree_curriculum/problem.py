"""From a configuration to the objects that training and analysis share."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.degree_curriculum import settings
from pvr_jax import models, tasks
from pvr_jax.analysis import learned, spectrum
from pvr_jax.boolean import cube
from pvr_jax.tasks import datasets
from pvr_jax.training.curriculum import Samples
from pvr_jax.training.replicas import Replicas, replica_names

# Streams of a seed's key. Replicas of one seed share draws and initialization, whatever their leap;
# a smaller training set is the beginning of a larger one.
DATA_STREAM, INIT_STREAM = 0, 1


@dataclass(frozen=True)
class Problem:
    """One configured experiment. R replicas: sizes x leaps x learning rates x init scales x seeds.

    `samples` are the sizes N of the replicas' training sets [R].
    """

    task: tasks.Task
    model: models.Model
    truth: np.ndarray  # float64 [2^n]
    samples: np.ndarray  # [R]
    leaps: np.ndarray  # [R]
    rates: np.ndarray  # [R]
    scales: np.ndarray  # [R]
    seeds: np.ndarray  # [R]

    @property
    def names(self) -> list[str]:
        """The names of the replicas [R]."""
        pairs = zip(self.samples, self.leaps, strict=True)
        conditions = [f"samples{samples}-leap{leap}" for samples, leap in pairs]
        return replica_names(conditions, self.rates, self.scales, self.seeds)


def assemble(config: ConfigDict) -> Problem:
    """Build the experiment of a validated configuration."""
    task = settings.make_task(config)
    first = config.train.first_seed
    members = list(
        itertools.product(
            map(int, config.data.samples),
            map(int, config.curriculum.leaps),
            map(float, config.train.learning_rates),
            map(float, config.train.init_scales),
            range(first, first + config.train.seeds),
        )
    )
    samples, leaps, rates, scales, seeds = (
        np.array(column) for column in zip(*members, strict=True)
    )
    return Problem(
        task=task,
        model=models.build(n=task.n, **config.model.to_dict()),
        truth=tasks.exact_values(task),
        samples=samples,
        leaps=leaps,
        rates=rates,
        scales=scales,
        seeds=seeds,
    )


def make_replicas(problem: Problem) -> Replicas:
    """Return the replicas; each depends on its own seed, never on its position."""

    def keys(seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        root = jax.random.key(seed)
        return jax.random.fold_in(root, INIT_STREAM), jax.random.fold_in(root, DATA_STREAM)

    init_keys, data_keys = jax.vmap(keys)(jnp.asarray(problem.seeds, jnp.uint32))
    return Replicas(
        init_key=init_keys,
        data_key=data_keys,
        learning_rate=jnp.asarray(problem.rates, jnp.float32),
        init_scale=jnp.asarray(problem.scales, jnp.float32),
        conditions={
            "leap": jnp.asarray(problem.leaps, jnp.int32),
            "samples": jnp.asarray(problem.samples, jnp.int32),
        },
    )


def sampler(problem: Problem) -> Callable[..., Samples]:
    """Return `samples(key, leap=, samples=)`: the training set of one replica.

    N points of the cube, drawn uniformly with replacement; `level` counts their entries -1, and
    `number` is their place in the order of `cube.points`.
    """
    n, most = problem.task.n, int(problem.samples.max())

    def draw(key: jax.Array, *, leap: jax.Array, samples: jax.Array) -> Samples:
        rows = jnp.arange(most)
        numbers = datasets.row_numbers(key, rows, n)
        x = cube.points_at(numbers, n)
        return {
            "x": x,
            "y": problem.task.target(x).astype(jnp.float32),
            "level": jnp.sum(x < 0, axis=1, dtype=jnp.int32),
            "present": rows < samples,
            "number": numbers,
        }

    return draw


def evaluator(problem: Problem, dtype: str) -> Callable[..., dict[str, jax.Array]]:
    """Return `evaluate(params, samples, leap=, samples=)` of one replica on the whole cube."""
    truth = jnp.asarray(problem.truth, dtype)

    def evaluate(params: Any, shown: Samples, **conditions: jax.Array) -> dict[str, jax.Array]:
        outputs = learned.on_cube(problem.model.apply, params, problem.task.n)
        return measure(outputs, truth, shown["number"], shown["present"])

    return evaluate


def measure(
    outputs: jax.Array, truth: jax.Array, numbers: jax.Array, present: jax.Array
) -> dict[str, jax.Array]:
    """Return what one learned function is measured by; errors are half squared errors.

    Args:
        outputs: its values [2^n].
        truth: the target's [2^n].
        numbers: of the points of the training set, int32[N].
        present: which of them are in it, bool[N].

    Returns:
        `generalization_error` over the whole cube; `in_distribution_error` over the training set,
        a point that was drawn twice counting twice; `target_coefficient` E[g f] / E[f^2], for a
        parity its Fourier coefficient in g; `degree_profile` [n + 1], the mass of every degree.
    """
    halves = 0.5 * jnp.square(outputs - truth)
    return {
        "generalization_error": jnp.mean(halves),
        "in_distribution_error": jnp.sum(jnp.where(present, halves[numbers], 0)) / jnp.sum(present),
        "target_coefficient": jnp.mean(outputs * truth) / jnp.mean(jnp.square(truth)),
        **spectrum.profile(outputs, truth, truth),
    }
