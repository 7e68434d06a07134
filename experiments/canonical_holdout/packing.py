"""How a sweep packs configurations of this experiment: which agree in all that is compiled.

`experiments.sweep` finds `shape_of`, `train_pack` and `analyse_pack` here.
"""

import contextlib
import json
import math
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.canonical_holdout import settings
from experiments.canonical_holdout.analyse import write_results
from experiments.canonical_holdout.train import plan_of
from pvr_jax import models, stages
from pvr_jax.tasks.contents import Content
from pvr_jax.training import fields, run, run_log

# More replicas share no compilation worth having, and a killed or failed pack would cost more.
MOST_REPLICAS = 64
MOST_BYTES = 2 << 30
# Arrays of 2^n numbers in memory for each replica while it is evaluated, and of its parameters:
# themselves, their gradients and the optimizer's two moments.
CUBES, COPIES = 16, 4
# Truth tables of different targets are constants of one program; above, one target each.
LARGEST_SHARED_N = 16
# Fields that replicas of one program may differ in; the report's `size` is only a label.
OF_A_REPLICA = ("seeds", "first_seed", "learning_rates", "init_scales")
STAGE = run.Stage("analyse", after=run.STAGE, product="run.json")


class Shape(NamedTuple):
    """What a sweep needs to know of a validated configuration before anything is built.

    Configurations of equal `key` can be trained in one program, of up to `most` replicas. `cost`
    is proportional to the arithmetic of its `replicas` replicas.
    """

    key: str
    replicas: int
    most: int
    cost: float


def shape_of(config: ConfigDict) -> Shape:
    """Return the shape of a validated configuration."""
    task = settings.make_task(config)
    train, data = config.train, config.data
    bits = settings.frozen_bits(config.holdout.bits, task.n)
    shared = config.to_dict()
    for name in OF_A_REPLICA:
        del shared["train"][name]
    del shared["size"]
    shared["holdout"]["bits"] = "frozen" if bits else "none"
    if task.n <= LARGEST_SHARED_N:
        shared["task"] = {"n": task.n}
    model = json.dumps(config.model.to_dict(), sort_keys=True)
    parameters = _parameters(model, task.n)
    replicas = (len(bits) or 1) * train.seeds
    replicas *= len(train.learning_rates) * len(train.init_scales)
    width = 8 if train.dtype == "float64" else 4
    each = width * (COPIES * parameters + CUBES * 2**task.n)
    samples = 2 ** (task.n - bool(bits)) if data.source == "whole" else data.samples
    points = 3 * train.epochs * samples + train.epochs / config.evaluation.every_epochs * 2**task.n
    return Shape(
        key=json.dumps(shared, sort_keys=True),
        replicas=replicas,
        most=max(1, min(MOST_REPLICAS, MOST_BYTES // each)),
        cost=float(replicas) * parameters * points,
    )


@lru_cache(maxsize=256)
def _parameters(model: str, n: int) -> int:
    """Return the number of parameters of a model, given as JSON; nothing is computed."""
    network = models.build(n=n, **json.loads(model))
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = jax.eval_shape(network.init, key, jax.ShapeDtypeStruct((1, n), jnp.float32))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def train_pack(configs: Sequence[ConfigDict], directory: Path) -> None:
    """Train configurations of equal shape in one program, or go on where a process stopped.

    Raises:
        RunError: a name stands for something else than before, the directory is in use, a
            checkpoint cannot be written, or a signal came.
    """
    found = stages.contents_of(settings, configs)
    stages.hold_to_contents(directory, _of_pack(configs, found))
    run.train_run(directory, document(configs), identity(configs), partial(plan_of, configs))


def analyse_pack(configs: Sequence[ConfigDict], directory: Path, outputs: Sequence[Path]) -> None:
    """Write the results of a trained pack, for each configuration to a run directory of its own.

    The run directories `outputs` are then as those of a run of its own, without checkpoints and
    metrics, which the pack holds; `run.json` names it.

    Raises:
        FileNotFoundError: the pack is not trained to its end.
        RunError: a name stands for something else than when the pack was begun, a directory is
            in use, or the last checkpoint cannot be read.
    """
    found = stages.contents_of(settings, configs)
    stages.hold_to_contents(directory, _of_pack(configs, found))
    with contextlib.ExitStack() as held:
        for output, own in zip(outputs, found, strict=True):
            held.enter_context(run_log.exclusive(output))
            stages.hold_to_contents(output, own)
        # Asked for again: results of a configuration are missing.
        (directory / f"{STAGE.name}.done").unlink(missing_ok=True)
        work = partial(_analyse, configs, directory, outputs)
        run.later_stage(directory, STAGE, configs[0].train.dtype, work)


def _analyse(configs: Sequence[ConfigDict], directory: Path, outputs: Sequence[Path]) -> None:
    diverged = write_results(configs, directory, identity(configs), outputs)
    record = run_log.read_record(directory)
    names = [name.split("/")[1] for name in record["replicas"]]
    for config, output, steps in zip(configs, outputs, diverged, strict=True):
        own, names = names[: len(steps)], names[len(steps) :]
        run_log.write_json(output / "config.json", config.to_dict())
        run_log.write_json(
            output / "run.json",
            record | {"replicas": own, "diverged": steps, "pack": directory.name},
        )
        for stage in (run.STAGE, STAGE.name):
            run_log.mark_done(output, stage)


def _of_pack(
    configs: Sequence[ConfigDict], found: Sequence[dict[str, Content]]
) -> dict[str, Content]:
    """Return what stands behind the names of all configurations, by run and field."""
    return {
        f"{settings.run_name(config)}.{field}": content
        for config, own in zip(configs, found, strict=True)
        for field, content in own.items()
    }


def document(configs: Sequence[ConfigDict]) -> dict[str, Any]:
    """Return config.json of a pack: settings of training, and the configurations."""
    first = configs[0]
    return {
        "experiment": first.experiment,
        "train": first.train.to_dict(),
        "names": [settings.run_name(config) for config in configs],
        "cells": [config.to_dict() for config in configs],
    }


def identity(configs: Sequence[ConfigDict]) -> str:
    """Return the 8 hexadecimal digits that name a pack: which runs it holds, in which order."""
    shared = document(configs)
    del shared["cells"]  # named by their own digits
    return fields.identity(shared)
