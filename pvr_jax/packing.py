"""Packs: configurations that train in one program, because they differ only in their replicas.

`experiments.sweep` plans the packs.
"""

import contextlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from pvr_jax import stages
from pvr_jax.building import build
from pvr_jax.experiment import Experiment
from pvr_jax.frame import plan_of
from pvr_jax.measuring import write_measures
from pvr_jax.tasks.contents import Content
from pvr_jax.training import fields, run, run_log
from pvr_jax.training.settings import TrainSettings

# Larger packs save little compilation, and lose more if killed.
MAX_REPLICAS = 64
MAX_BYTES = 2 << 30
# Arrays in memory per replica: of the size of its outputs during evaluation, and of its parameters
# (themselves, gradients, two moments of the optimizer).
OUTPUTS, COPIES = 16, 4
STAGE = run.Stage("analyse", after=run.STAGE, product="run.json")


class Shape(NamedTuple):
    """Size of a configuration's program: replicas per pack, and relative cost per replica."""

    max_replicas: int
    cost: float


def key_of(experiment: Experiment, config: ConfigDict) -> str:
    """Return a key that is equal for configurations that can train in one program."""
    document = experiment.alike(config)
    shared = {n: v for n, v in document["train"].items() if f"train.{n}" not in fields.OF_A_REPLICA}
    return json.dumps({**document, "train": shared, "size": ""}, sort_keys=True)  # size: a label


def shape_of(experiment: Experiment, config: ConfigDict) -> Shape:
    """Return the shape of a validated configuration, without training."""
    built = build(experiment, (config,))
    program = built.programs[0]
    parameters = sum(leaf.size for leaf in jax.tree.leaves(built.ensemble.shapes().params))
    parameters //= built.ensemble.count
    width = TrainSettings.of(config.train).parameters_dtype.itemsize
    each = width * (COPIES * parameters + OUTPUTS * program.outputs_size)
    rows = config.data.get("batch_size", 1)
    points = 3 * built.schedule.total * rows
    points += len(built.schedule.evaluations) * program.outputs_size
    return Shape(max(1, min(MAX_REPLICAS, MAX_BYTES // each)), float(parameters) * points)


def train_pack(experiment: Experiment, configs: Sequence[ConfigDict], directory: Path) -> None:
    """Train configurations of equal key in one program, or resume their training.

    Raises:
        RunError: the contents behind a name changed, the directory is in use, a checkpoint cannot
            be written, or a signal arrived.
    """
    found = stages.contents_of(experiment, configs)
    stages.hold_to_contents(directory, _of_pack(experiment, configs, found))
    document = document_of(experiment, configs)
    plan = partial(plan_of, experiment, configs)
    run.train_run(directory, document, identity(experiment, configs), plan)


def analyse_pack(
    experiment: Experiment, configs: Sequence[ConfigDict], directory: Path, outputs: Sequence[Path]
) -> None:
    """Write the results of a trained pack, one run directory per configuration.

    The run directories `outputs` are complete except for checkpoints and metrics, which stay in the
    pack that `run.json` names.

    Raises:
        FileNotFoundError: the pack is not fully trained.
        RunError: the contents behind a name changed, a directory is in use, or the last checkpoint
            cannot be read.
    """
    found = stages.contents_of(experiment, configs)
    stages.hold_to_contents(directory, _of_pack(experiment, configs, found))
    with contextlib.ExitStack() as held:
        for output, own in zip(outputs, found, strict=True):
            held.enter_context(run_log.exclusive(output))
            stages.hold_to_contents(output, own)
        # Run again: results of a configuration are missing.
        (directory / f"{STAGE.name}.done").unlink(missing_ok=True)
        work = partial(_analyse, experiment, configs, directory, outputs)
        run.later_stage(directory, STAGE, configs[0].train.dtype, work)


def _analyse(
    experiment: Experiment, configs: Sequence[ConfigDict], directory: Path, outputs: Sequence[Path]
) -> None:
    diverged = write_measures(
        experiment, configs, directory, identity(experiment, configs), outputs
    )
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
    experiment: Experiment, configs: Sequence[ConfigDict], found: Sequence[dict[str, Content]]
) -> dict[str, Content]:
    """Return the contents behind the names of all configurations, by run and field."""
    return {
        f"{experiment.run_name(config)}.{field}": content
        for config, own in zip(configs, found, strict=True)
        for field, content in own.items()
    }


def document_of(experiment: Experiment, configs: Sequence[ConfigDict]) -> dict[str, Any]:
    """Return config.json of a pack: training settings and configurations."""
    first = configs[0]
    return {
        "experiment": first.experiment,
        "train": first.train.to_dict(),
        "names": [experiment.run_name(config) for config in configs],
        "cells": [config.to_dict() for config in configs],
    }


def identity(experiment: Experiment, configs: Sequence[ConfigDict]) -> str:
    """Return the 8 hexadecimal digits that identify a pack by its runs and their order."""
    shared = document_of(experiment, configs)
    del shared["cells"]  # named by their own digits
    return fields.identity(shared)
