"""Train the replicas of one configuration: seeds x frozen bits, in one compiled program."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout import settings
from pvr_jax import models
from pvr_jax.training import run
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule


def train(config: ConfigDict, workdir: Path) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    Returns the run directory, `workdir/canonical_holdout/<task>-<model>-<8 hex>`.

    Raises:
        ValueError: an impossible configuration.
        RunError: the directory is in use, a checkpoint cannot be written, or a signal came.
    """
    settings.validate(config)
    directory = run_directory(config, workdir)
    run.train_run(directory, config.to_dict(), settings.identity(config), partial(plan_of, config))
    return directory


def plan_of(config: ConfigDict) -> run.Plan:
    """Return what is trained, and when what happens."""
    problem = problems.assemble(config)
    return run.Plan(
        build_ensemble(config, problem),
        schedule(config, problem.training_set.steps_per_epoch),
        problem.names,
        f"{config.model.name} on {config.task.name}",
    )


def run_directory(config: ConfigDict, workdir: Path) -> Path:
    """Return the directory of this configuration's run."""
    return Path(workdir) / config.experiment / settings.run_name(config)


def schedule(config: ConfigDict, steps_per_epoch: int) -> Schedule:
    """Return when the run evaluates and saves."""
    return run.schedule(
        epochs=config.train.epochs,
        steps_per_epoch=steps_per_epoch,
        every_epochs=config.evaluation.every_epochs,
        kept=config.checkpoint.count,
        save_every_seconds=config.checkpoint.save_every_seconds,
    )


def build_ensemble(config: ConfigDict, problem: problems.Problem) -> Ensemble:
    """Build the programs of the run."""
    return run.build_ensemble(
        problems.make_replicas(problem),
        init=partial(_init, problem.model, jnp.ones((1, problem.task.n))),
        apply=problem.model.apply,
        batch=problems.batches(problem.training_set),
        evaluate=problems.evaluator(
            problem.model.apply,
            jnp.asarray(problem.truth, config.train.dtype),
            problems.seen_inputs(problem),
        ),
        optimizer_name=config.train.optimizer,
        momentum=config.train.momentum,
        execution=config.train.execution,
        group_size=config.train.group_size,
        batch_devices=config.train.batch_devices,
        matmul_precision=config.train.matmul_precision,
        dtype=config.train.dtype,
    )


def _init(model: models.Model, example: jax.Array, key: jax.Array) -> Any:
    return model.init(key, example)
