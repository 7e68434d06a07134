"""Train the replicas of one configuration: sizes x leaps x seeds, in one compiled program."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments import stages
from experiments.degree_curriculum import problem as problems
from experiments.degree_curriculum import settings
from pvr_jax.training import run
from pvr_jax.training.curriculum import curriculum_ensemble, most_stages
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule, logarithmic_steps
from pvr_jax.training.settings import TrainSettings


def train(config: ConfigDict, workdir: Path) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    A step of the run, in messages, metrics.jsonl and checkpoints, is one epoch. Returns the run
    directory, `workdir/degree_curriculum/<task>-<model>-<8 hex>`.

    Raises:
        ValueError: an impossible configuration.
        RunError: the directory is in use, a checkpoint cannot be written, or a signal came.
    """
    return stages.train(settings, config, workdir, plan_of)


def plan_of(config: ConfigDict) -> run.Plan:
    """Return what is trained, and when what happens."""
    problem = problems.assemble(config)
    return run.Plan(
        build_ensemble(config, problem),
        schedule(config),
        problem.names,
        f"{config.model.name} on {config.task.name} (a step is an epoch)",
    )


def schedule(config: ConfigDict) -> Schedule:
    """Return when the run evaluates and saves, in epochs."""
    plan = run.schedule(
        epochs=config.train.epochs,
        steps_per_epoch=1,
        every_epochs=config.evaluation.every_epochs,
        kept=config.checkpoint.count,
        save_every_seconds=config.checkpoint.save_every_seconds,
    )
    early = logarithmic_steps(1, plan.total, config.evaluation.logarithmic)
    return replace(plan, evaluations=plan.evaluations | frozenset(early))


def build_ensemble(config: ConfigDict, problem: problems.Problem) -> Ensemble:
    """Build the programs of the run."""
    return curriculum_ensemble(
        problems.make_replicas(problem),
        TrainSettings.of(config.train),
        init=partial(problem.model.init, x=jnp.ones((1, problem.task.n))),
        apply=problem.model.apply,
        samples=problems.sampler(problem),
        evaluate=problems.evaluator(problem, config.train.dtype),
        highest=problem.task.n,
        stages=most_stages(problem.task.n, tuple(config.curriculum.leaps)),
        threshold=config.curriculum.threshold,
        batch_size=config.data.batch_size,
    )
