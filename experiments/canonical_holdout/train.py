"""Train the replicas of one configuration: seeds x frozen bits, in one compiled program.

Or of several that agree in all that is compiled: see `pack`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.canonical_holdout import pack as packs
from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout import settings
from experiments.canonical_holdout.pack import Pack
from pvr_jax import stages
from pvr_jax.training import run
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule
from pvr_jax.training.settings import TrainSettings
from pvr_jax.training.shown_rows import count_rows


def train(config: ConfigDict, workdir: Path) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    Returns the run directory, `workdir/canonical_holdout/<task>-<model>-<8 hex>`.

    Raises:
        ValueError: an impossible configuration.
        RunError: the directory is in use, a checkpoint cannot be written, or a signal came.
    """
    return stages.train(settings, config, workdir, lambda one: plan_of((one,)))


def plan_of(configs: Sequence[ConfigDict]) -> run.Plan:
    """Return what is trained, and when what happens."""
    config = configs[0]
    pack = packs.join(problems.assemble_all(configs))
    training_set, value = pack.first.training_set, pack.first.value
    rows = None
    if not pack.first.matched:
        epochs = config.train.epochs if config.data.source == "fresh" else 1
        rows = count_rows(
            packs.batches(training_set, jnp.asarray(pack.truths)),
            {"unseen": lambda batch, bit, **_: jnp.take(batch["x"], bit, axis=-1) != value},
            packs.make_replicas(pack),
            epochs * training_set.steps_per_epoch,
        )
    names = pack.names
    if len(configs) > 1:
        runs = [settings.run_name(config) for config in configs]
        names = [
            f"{run_name}/{name}"
            for run_name, problem in zip(runs, pack.problems, strict=True)
            for name in problem.names
        ]
    tasks = list(dict.fromkeys(config.task.name for config in configs))
    return run.Plan(
        build_ensemble(config, pack),
        schedule(config, training_set.steps_per_epoch),
        names,
        f"{config.model.name} on {', '.join(tasks)}",
        rows,
    )


def schedule(config: ConfigDict, steps_per_epoch: int) -> Schedule:
    """Return when the run evaluates and saves."""
    return run.schedule(
        epochs=config.train.epochs,
        steps_per_epoch=steps_per_epoch,
        every_epochs=config.evaluation.every_epochs,
        kept=config.checkpoint.count,
        save_every_seconds=config.checkpoint.save_every_seconds,
    )


def build_ensemble(config: ConfigDict, pack: Pack) -> Ensemble:
    """Build the programs of the run; `config` is that of any of the pack's problems."""
    problem = pack.first
    truths = jnp.asarray(pack.truths, config.train.dtype)
    return run.build_ensemble(
        packs.make_replicas(pack),
        TrainSettings.of(config.train),
        init=partial(problem.model.init, x=jnp.ones((1, problem.task.n))),
        apply=problem.model.apply,
        batch=packs.batches(problem.training_set, truths),
        evaluate=packs.evaluator(problem.model.apply, truths, problems.seen_inputs(problem)),
    )
