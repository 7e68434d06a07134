"""Train the replicas of one configuration: subtasks x sizes x rates x init scales x seeds."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.pointer_value import problem as problems
from experiments.pointer_value import settings
from pvr_jax import stages
from pvr_jax.training import run
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule, logarithmic_steps
from pvr_jax.training.losses import cross_entropy
from pvr_jax.training.settings import TrainSettings
from pvr_jax.training.shown_rows import count_rows


def train(config: ConfigDict, workdir: Path) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    Returns the run directory, `workdir/pointer_value/<task>-<model>-<8 hex>`.

    Raises:
        ValueError: an impossible configuration.
        RunError: the directory is in use, a checkpoint cannot be written, or a signal came.
    """
    return stages.train(settings, config, workdir, plan_of)


def plan_of(config: ConfigDict) -> run.Plan:
    """Return what is trained, and when what happens."""
    problem = problems.assemble(config)
    rows = None
    if "withheld" in problem.parts:
        steps = config.train.steps
        if problem.members[0].samples is not None:
            most = max(member.samples for member in problem.members)
            steps = min(steps, -(-most // config.data.batch_size))
        rows = count_rows(
            problems.withheld_rows(problem, config.data.source, config.data.batch_size),
            {"unseen": lambda batch, **_: batch["withheld"]},
            problems.make_replicas(problem),
            steps,
        )
    return run.Plan(
        build_ensemble(config, problem),
        schedule(config),
        problem.names,
        f"{config.model.name} on {problem.task.label}",
        rows,
    )


def schedule(config: ConfigDict) -> Schedule:
    """Return when the run evaluates, at about `evaluation.count` log-spaced steps, and saves."""
    steps = config.train.steps
    plan = run.schedule(
        epochs=1,
        steps_per_epoch=steps,
        every_epochs=1,
        kept=config.checkpoint.count,
        save_every_seconds=config.checkpoint.save_every_seconds,
    )
    first = min(steps, 1 << 5)
    spaced = logarithmic_steps(first, steps, config.evaluation.count)
    return replace(plan, evaluations=frozenset(spaced))


def build_ensemble(config: ConfigDict, problem: problems.Problem) -> Ensemble:
    """Build the programs of the run."""
    count = problems.counts(
        problem,
        problem.parts,
        config.evaluation.test_samples,
        config.evaluation.training_samples,
        config.evaluation.chunk,
    )
    return run.build_ensemble(
        problems.make_replicas(problem),
        TrainSettings.of(config.train),
        init=partial(problem.model.init, x=_example(problem)),
        apply=problem.model.apply,
        batch=problems.batches(problem, config.data.source, config.data.batch_size),
        evaluate=problems.evaluator(count),
        loss=cross_entropy,
    )


def _example(problem: problems.Problem) -> jax.Array:
    """Return one input like those of the task [1, ...]; its values do not matter."""
    shape, alphabet = problem.task.inputs
    return jnp.zeros((1, *shape), jnp.float32 if alphabet is None else jnp.int32)
