"""From a configuration to the objects that training and analysis share."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.canonical_holdout import settings
from pvr_jax import models, tasks
from pvr_jax.analysis import canonical
from pvr_jax.boolean import cube, float64, measures
from pvr_jax.tasks import datasets, holdouts
from pvr_jax.training.replicas import Replicas, replica_names

# Streams of a seed's key. The data stream is the seed's alone, so all bits of one seed freeze the
# same draws; the initialization also depends on the bit. Both as in the authors' code (data seed
# 1000 run, network seed 1000 run + bit).
DATA_STREAM, INIT_STREAM = 0, 1
# The "bit" of replicas that see the whole cube.
NOTHING_FROZEN = -1


@dataclass(frozen=True)
class Problem:
    """One configured experiment. R replicas: frozen bits x learning rates x init scales x seeds."""

    task: tasks.Task
    model_name: str
    model: models.Model
    training_set: datasets.TrainingSet
    truth: np.ndarray  # float64 [2^n]
    coefficients: np.ndarray  # float64 [2^n], exact
    value: int
    bits: tuple[int, ...]  # none of them in the matched setting
    replica_bits: np.ndarray  # [R], NOTHING_FROZEN in the matched setting
    replica_rates: np.ndarray  # [R]
    replica_scales: np.ndarray  # [R]
    replica_seeds: np.ndarray  # [R]
    pairs: dict[int, list[dict[str, Any]]]  # frozen bit -> tracked aliased pairs

    @property
    def matched(self) -> bool:
        """Whether training sees the whole cube."""
        return not self.bits

    @property
    def count(self) -> int:
        """The number of replicas."""
        return len(self.replica_bits)

    @property
    def most_pairs(self) -> int:
        """The most tracked pairs of a bit."""
        return max((len(pairs) for pairs in self.pairs.values()), default=0)

    @property
    def names(self) -> list[str]:
        """The names of the replicas [R]."""
        conditions = [
            "matched" if bit == NOTHING_FROZEN else f"bit{bit}" for bit in self.replica_bits
        ]
        return replica_names(
            conditions, self.replica_rates, self.replica_scales, self.replica_seeds
        )


class ExactTarget(NamedTuple):
    """A target as numbers: its values and Fourier coefficients, both float64 [2^n]."""

    truth: np.ndarray
    coefficients: np.ndarray


def exact_target(task: tasks.Task) -> ExactTarget:
    """Return the values and coefficients of a task."""
    truth = tasks.exact_values(task)
    return ExactTarget(truth, float64.exact_spectrum(truth))


def assemble_all(configs: Sequence[ConfigDict]) -> list[Problem]:
    """Build the experiments of validated configurations; equal targets are computed once."""
    known: dict[str, ExactTarget] = {}
    found = []
    for config in configs:
        name = json.dumps(config.task.to_dict(), sort_keys=True)
        if name not in known:
            known[name] = exact_target(settings.make_task(config))
        found.append(assemble(config, known[name]))
    return found


def assemble(config: ConfigDict, exact: ExactTarget | None = None) -> Problem:
    """Build the experiment of a validated configuration; `exact` spares computing its target."""
    task = settings.make_task(config)
    bits = settings.frozen_bits(config.holdout.bits, task.n)
    first = config.train.first_seed
    members = list(
        itertools.product(
            bits or (NOTHING_FROZEN,),
            map(float, config.train.learning_rates),
            map(float, config.train.init_scales),
            range(first, first + config.train.seeds),
        )
    )
    value = config.holdout.value
    truth, coefficients = exact or exact_target(task)
    return Problem(
        task=task,
        model_name=config.model.name,
        model=models.build(n=task.n, **config.model.to_dict()),
        training_set=settings.training_set(config, task),
        truth=truth,
        coefficients=coefficients,
        value=value,
        bits=bits,
        replica_bits=np.array([bit for bit, _, _, _ in members]),
        replica_rates=np.array([rate for _, rate, _, _ in members]),
        replica_scales=np.array([scale for _, _, scale, _ in members]),
        replica_seeds=np.array([seed for _, _, _, seed in members]),
        pairs={
            bit: canonical.tracked_pairs(coefficients, bit, value, config.evaluation.tracked_pairs)
            for bit in bits
        },
    )


def influences(problem: Problem) -> dict[int, float]:
    """Return the exact Boolean influence of every frozen bit."""
    with float64.exact():
        exact = np.asarray(measures.influences(jnp.asarray(problem.coefficients)))
    return {bit: float(exact[bit]) for bit in problem.bits}


def pair_indices(problem: Problem, count: int) -> np.ndarray:
    """Return the spectrum indices of the tracked pairs, int32 [R, P, 2], -1 where a bit has fewer.

    P is `count`. The last axis is (low-degree twin T, high-degree twin T u {k}).
    """
    table = {NOTHING_FROZEN: np.full((count, 2), -1, np.int32)}
    for bit, pairs in problem.pairs.items():
        table[bit] = np.full((count, 2), -1, np.int32)
        for row, pair in enumerate(pairs):
            table[bit][row] = [cube.index(pair[twin], problem.task.n) for twin in ("low", "high")]
    return np.stack([table[bit] for bit in problem.replica_bits])


def make_replicas(problem: Problem, pairs: int) -> Replicas:
    """Return the replicas; each depends on its own seed and bit, never on its position.

    `pairs` is for how many tracked pairs there is room, the problem's own `most_pairs` or more.

    Replicas of one seed and bit that differ in learning rate or init scale start from the same
    draw.
    """

    def keys(seed: jax.Array, bit: jax.Array) -> tuple[jax.Array, jax.Array]:
        root = jax.random.key(seed)
        init_key = jax.random.fold_in(jax.random.fold_in(root, INIT_STREAM), bit)
        return init_key, jax.random.fold_in(root, DATA_STREAM)

    bits = jnp.asarray(problem.replica_bits, jnp.int32)
    seeds = jnp.asarray(problem.replica_seeds, jnp.uint32)
    # With nothing frozen, the initialization is that of a bit past the last.
    init_keys, data_keys = jax.vmap(keys)(seeds, jnp.where(bits < 0, problem.task.n, bits))
    return Replicas(
        init_key=init_keys,
        data_key=data_keys,
        learning_rate=jnp.asarray(problem.replica_rates, jnp.float32),
        init_scale=jnp.asarray(problem.replica_scales, jnp.float32),
        conditions={"bit": bits, "pairs": jnp.asarray(pair_indices(problem, pairs))},
    )


def seen_inputs(problem: Problem) -> Callable[[jax.Array], jax.Array]:
    """Return `seen(bit)`, the mask bool[2^n] of what training shows."""
    n = problem.task.n

    def seen(bit: jax.Array) -> jax.Array:
        everything = jnp.ones(2**n, bool)
        return everything if problem.matched else holdouts.canonical(n, bit, problem.value)

    return seen
