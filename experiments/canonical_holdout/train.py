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
from pvr_jax.training import environment, loop, run_log
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.ensemble import Ensemble, ensemble
from pvr_jax.training.progress import ProgressDisplay
from pvr_jax.training.replicas import choose_execution, device_mesh
from pvr_jax.training.state import initial_state, optimizer

STAGE = "train"


def train(config: ConfigDict, workdir: Path) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    Returns the run directory, `workdir/canonical_holdout/<task>-<model>-<8 hex>`.

    Raises:
        ValueError: an impossible configuration.
        RunError: the directory is in use, a checkpoint cannot be written, or a signal came.
    """
    settings.validate(config)
    directory = run_directory(config, workdir)
    with run_log.exclusive(directory), environment.arithmetic(config.train.dtype):
        if run_log.is_done(directory, STAGE):
            return directory
        run_log.write_json(directory / "config.json", config.to_dict())
        _train(config, directory)
    return directory


def run_directory(config: ConfigDict, workdir: Path) -> Path:
    """Return the directory of this configuration's run."""
    return Path(workdir) / config.experiment / settings.run_name(config)


def schedule(config: ConfigDict, steps_per_epoch: int) -> loop.Schedule:
    """Return when the run evaluates and saves."""
    total = config.train.epochs * steps_per_epoch
    kept = loop.logarithmic_steps(steps_per_epoch, total, config.checkpoint.count)
    every = config.evaluation.every_epochs * steps_per_epoch
    return loop.Schedule(
        total=total,
        evaluations=frozenset(range(0, total + 1, every)) | frozenset(kept),
        kept=frozenset(kept),
        save_every_seconds=config.checkpoint.save_every_seconds,
    )


def build_ensemble(config: ConfigDict, problem: problems.Problem) -> Ensemble:
    """Build the programs of the run."""
    settings_of = config.train
    example = jnp.ones((1, problem.task.n))
    init = partial(_init, problem.model, example)
    make_optimizer = partial(_optimizer, settings_of.optimizer, settings_of.momentum)
    mesh = device_mesh()
    return ensemble(
        problems.make_replicas(problem),
        init=init,
        apply=problem.model.apply,
        batch=problems.batches(problem.training_set),
        optimizer=make_optimizer,
        evaluate=problems.evaluator(
            problem.model.apply,
            jnp.asarray(problem.truth, settings_of.dtype),
            problems.seen_inputs(problem),
        ),
        mesh=mesh,
        execution=choose_execution(
            settings_of.execution, mesh.devices.flat[0].platform, _bytes(init, make_optimizer)
        ),
        group_size=settings_of.group_size,
        matmul_precision=settings_of.matmul_precision,
        dtype=jnp.dtype(settings_of.dtype),
    )


def _train(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    members = build_ensemble(config, problem)
    plan = schedule(config, problem.training_set.steps_per_epoch)
    parameters = models.parameter_count(members.shapes().params) // members.count
    record: dict[str, Any] = {
        **environment.describe(),
        "precision": {
            "training": config.train.dtype,
            "matrix_products": config.train.matmul_precision,
            "analysis": "float64",
        },
        "parameters": parameters,
        "execution": members.execution,
        "replicas": problem.names,
        "stages": {},
    }
    run_log.write_json(directory / "run.json", record)
    identity = settings.identity(config)
    with (
        ProgressDisplay(plan.total, members.count) as display,
        Checkpoints(directory / "checkpoints", identity, plan.kept) as checkpoints,
    ):
        display.say(
            f"training {members.count} replicas of {config.model.name} ({parameters:,} parameters) "
            f"on {config.task.name}, {plan.total} steps, {members.execution} on "
            f"{members.mesh.size} {record['devices']['platform']} device(s)"
        )
        result = loop.train(members, plan, checkpoints, directory, display, problem.names)
    record["diverged"] = result.diverged
    record["stages"][STAGE] = result.timing._asdict()
    run_log.write_json(directory / "run.json", record)
    run_log.mark_done(directory, STAGE)


def _init(model: models.Model, example: jax.Array, key: jax.Array) -> Any:
    return model.init(key, example)


def _optimizer(name: str, momentum: float, learning_rate: Any) -> Any:
    return optimizer(name, learning_rate, momentum)


def _bytes(init: Any, make_optimizer: Any) -> int:
    """Return the size of one replica's state."""

    def start() -> Any:
        return initial_state(init(jax.random.key(0)), make_optimizer(0.0))

    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(start)))
