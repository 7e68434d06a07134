"""From a configuration to the objects that training and analysis share."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.pointer_value import settings
from pvr_jax import models
from pvr_jax.analysis import classification as analysis
from pvr_jax.tasks import drawn_sets
from pvr_jax.tasks.classification import Classification, Subtask
from pvr_jax.training.replicas import Replicas, replica_names

# The other stream of a seed's key is `drawn_sets.DATA_STREAM`. Replicas of one seed share draws and
# initialization, whatever their task; a smaller training set is the beginning of a larger one.
INIT_STREAM = 1


@dataclass(frozen=True)
class Member:
    """What one replica is: its subtask, training-set size (None: a stream), rate, scale, seed."""

    subtask: Subtask
    samples: int | None
    learning_rate: float
    init_scale: float
    seed: int


@dataclass(frozen=True)
class Problem:
    """One configured experiment. R replicas: subtasks x sizes x rates x init scales x seeds."""

    task: Classification
    model: models.Model
    members: tuple[Member, ...]  # [R]

    @property
    def names(self) -> list[str]:
        """The names of the replicas [R]."""
        conditions = [
            member.subtask.name
            + (f"-samples{member.samples}" if member.samples is not None else "")
            for member in self.members
        ]
        rates, scales, seeds = zip(
            *((m.learning_rate, m.init_scale, m.seed) for m in self.members), strict=True
        )
        return replica_names(conditions, rates, scales, seeds)

    @property
    def parts(self) -> tuple[str, ...]:
        """The test sets: "iid", and "withheld" where anything is withheld from any replica."""
        withheld = any(member.subtask.withheld for member in self.members)
        return ("iid", "withheld") if withheld else ("iid",)


def assemble(config: ConfigDict) -> Problem:
    """Build the experiment of a validated configuration."""
    task = settings.make_task(config)
    first = config.train.first_seed
    members = itertools.product(
        task.subtasks,
        [int(size) for size in config.data.samples] or [None],
        map(float, config.train.learning_rates),
        map(float, config.train.init_scales),
        range(first, first + config.train.seeds),
    )
    return Problem(
        task=task,
        model=settings.make_model(config, task),
        members=tuple(Member(*values) for values in members),
    )


def make_replicas(problem: Problem) -> Replicas:
    """Return the replicas; each depends on its own seed and task, never on its position."""

    def keys(seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        root = jax.random.key(seed)
        data_key = jax.random.fold_in(root, drawn_sets.DATA_STREAM)
        return jax.random.fold_in(root, INIT_STREAM), data_key

    members = problem.members
    seeds = np.array([member.seed for member in members], np.uint32)
    init_keys, data_keys = jax.vmap(keys)(jnp.asarray(seeds))
    conditions = [
        {"samples": member.samples or 0, **member.subtask.conditions} for member in members
    ]
    return Replicas(
        init_key=init_keys,
        data_key=data_keys,
        learning_rate=jnp.asarray([member.learning_rate for member in members], jnp.float32),
        init_scale=jnp.asarray([member.init_scale for member in members], jnp.float32),
        conditions={
            "data_key": data_keys,  # evaluation looks at rows of the training set again
            **{
                name: jnp.asarray([each[name] for each in conditions], jnp.int32)
                for name in conditions[0]
            },
        },
    )


def batches(problem: Problem, source: str, batch_size: int) -> Callable[..., dict[str, jax.Array]]:
    """Return `batch(key, step, **conditions)` of one replica."""
    return _batches(problem.task.draw, source, batch_size)


def withheld_rows(
    problem: Problem, source: str, batch_size: int
) -> Callable[..., dict[str, jax.Array]]:
    """Return what `batches` does with, in the place of inputs and labels, "withheld" bool [b]."""

    def draw(key: jax.Array, part: str, conditions: dict[str, Any]) -> dict[str, jax.Array]:
        return {"withheld": problem.task.is_withheld(key, conditions)}

    return _batches(draw, source, batch_size)


def _batches(
    draw: drawn_sets.Draw, source: str, batch_size: int
) -> Callable[..., dict[str, jax.Array]]:
    drawn = drawn_sets.drawn_batches(draw, source=source, batch_size=batch_size)

    def batch(
        key: jax.Array, step: jax.Array, *, data_key: jax.Array, **conditions: jax.Array
    ) -> dict[str, jax.Array]:
        return drawn(key, step, **conditions)

    return batch


def counts(
    problem: Problem, parts: tuple[str, ...], test_samples: int, training_samples: int, chunk: int
) -> Callable[..., dict[str, analysis.Counts]]:
    """Return `count(params, **conditions) -> {part: counts}` of one replica.

    "train" is the beginning of its own training set, at most `training_samples` of it (none of a
    stream); the other parts are test sets of `test_samples`.
    """
    task, apply = problem.task, problem.model.apply

    def count(
        params: Any, *, samples: jax.Array, data_key: jax.Array, **conditions: jax.Array
    ) -> dict[str, analysis.Counts]:
        def of(rows: Callable[[jax.Array], Any], size: Any, most: int) -> analysis.Counts:
            return analysis.confusion_counts(
                partial(apply, params), rows, size, most=most, chunk=chunk, classes=task.classes
            )

        own = partial(drawn_sets.training_rows, task.draw, data_key, conditions=conditions)
        test = partial(drawn_sets.test_rows, task.draw, conditions=conditions)
        found = {part: of(partial(test, part), test_samples, test_samples) for part in parts}
        if problem.members[0].samples is not None:
            found["train"] = of(own, samples, training_samples)
        # Nothing is withheld from some: their test set of it has no examples.
        if "withheld" in found:
            nothing = jax.tree.map(jnp.zeros_like, found["withheld"])
            is_withheld = conditions["withheld"] > 0
            found["withheld"] = jax.tree.map(
                lambda some, none: jnp.where(is_withheld, some, none), found["withheld"], nothing
            )
        return found

    return count


def evaluator(
    count: Callable[..., dict[str, analysis.Counts]],
) -> Callable[..., dict[str, jax.Array]]:
    """Return `evaluate(params, **conditions) -> {name: scalar}`, such as `iid_accuracy`."""

    def evaluate(params: Any, **conditions: jax.Array) -> dict[str, jax.Array]:
        return {
            f"{part}_{name}": value
            for part, counted in count(params, **conditions).items()
            for name, value in analysis.scores(counted).items()
        }

    return evaluate
