"""Train the replicas of one configuration: learning rates x init scales x seeds, one program."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.unseen_domain import problem as problems
from experiments.unseen_domain import settings
from pvr_jax import stages
from pvr_jax.training import run
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule
from pvr_jax.training.settings import TrainSettings
from pvr_jax.training.shown_rows import count_rows


def train(config: ConfigDict, workdir: Path) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    Returns the run directory, `workdir/unseen_domain/<task>-<model>-<8 hex>`.

    Raises:
        ValueError: an impossible configuration.
        RunError: the directory is in use, a checkpoint cannot be written, or a signal came.
    """
    return stages.train(settings, config, workdir, plan_of)


def plan_of(config: ConfigDict) -> run.Plan:
    """Return what is trained, and when what happens."""
    problem = problems.assemble(config)
    rows = check_rows(config, problem)
    return run.Plan(
        build_ensemble(config, problem),
        schedule(config, problem),
        problem.names,
        f"{config.model.name} on {config.task.name}, seen: {problem.seen_set.words}",
        rows,
    )


def check_rows(config: ConfigDict, problem: problems.Problem) -> dict[str, int]:
    """Return for the record how many training rows were looked at: all are seen.

    Raises RunError, one line, if one is not, or if target or seen set are not at all of them what
    their relevant coordinates say.
    """
    reference, training_set = problem.reference, problem.training_set
    epochs = config.train.epochs if config.data.source == "fresh" else 1
    steps = epochs * training_set.steps_per_epoch
    batch, replicas = training_set.batch, problems.make_replicas(problem)

    def is_unseen(batch: dict[str, jax.Array]) -> jax.Array:
        x = batch["x"]
        return ~(problem.seen_set.predicate(x) & jnp.all(jnp.abs(x) == 1, axis=-1))

    def is_off(batch: dict[str, jax.Array]) -> jax.Array:
        numbers = reference.numbers(batch["x"])
        truth = jnp.asarray(reference.truth, jnp.float32)[numbers]
        as_said = problems.is_close(batch["y"], truth, reference)
        return ~(as_said & jnp.asarray(reference.seen)[numbers])

    found = count_rows(batch, {"unseen": is_unseen, "off": is_off}, replicas, steps)
    problems.refuse_irrelevant(reference, found.pop("off"), found["checked"], "training rows")
    return found


def schedule(config: ConfigDict, problem: problems.Problem) -> Schedule:
    """Return when the run evaluates and saves."""
    return run.schedule(
        epochs=config.train.epochs,
        steps_per_epoch=problem.training_set.steps_per_epoch,
        every_epochs=config.evaluation.every_epochs,
        kept=config.checkpoint.count,
        save_every_seconds=config.checkpoint.save_every_seconds,
    )


def build_ensemble(config: ConfigDict, problem: problems.Problem) -> Ensemble:
    """Build the programs of the run."""
    values = problems.values_of(problem, config.evaluation.chunk)
    measures = problems.measures_of(problem, jnp.dtype(config.train.dtype))

    def evaluate(params: Any) -> dict[str, jax.Array]:
        return measures(values(params))

    return run.build_ensemble(
        problems.make_replicas(problem),
        TrainSettings.of(config.train),
        init=partial(problem.model.init, x=jnp.ones((1, problem.task.n))),
        apply=problem.model.apply,
        batch=problem.training_set.batch,
        evaluate=evaluate,
    )
