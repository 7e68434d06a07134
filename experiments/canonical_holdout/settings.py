"""The experiment's configuration: checked in full before anything runs.

Every complaint is one line: the field, what was given, what is allowed.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from pvr_jax import models, tasks
from pvr_jax.checks import Rule, integer, invalid, one_of
from pvr_jax.refusal import Refusal
from pvr_jax.tasks import datasets
from pvr_jax.tasks.contents import Content, of_problem
from pvr_jax.training import fields
from pvr_jax.training.fields import prefix_errors
from pvr_jax.training.replicas import device_mesh

# Errors and spectra are exact, over all 2^n points, for every replica at every evaluation.
MAX_BITS = 24


RULES: dict[str, Rule] = {
    **fields.NAMES,
    "holdout.value": one_of(1, -1),
    "data.source": one_of(*datasets.SOURCES),
    "data.samples": integer(1),
    "data.batch_size": integer(1),
    "data.order": one_of(*datasets.ORDERS),
    "data.drop_remainder": one_of(True, False),
    **fields.TRAINING,
    "train.batch_devices": integer(1),
    "evaluation.tracked_pairs": integer(0, 4096),
    "evaluation.spectra": one_of("last", "all"),
}
SECTIONS = ("task", "model", "holdout", "data", "train", "evaluation", "checkpoint")


def validate(config: ConfigDict) -> None:
    """Check the whole configuration.

    Raises:
        ValueError: the first field that is missing, of a wrong type, out of range, or impossible
            together with others; one line.
    """
    fields.check(config, SECTIONS, RULES)
    prefix_errors("config.train.", lambda: device_mesh(batch_devices=config.train.batch_devices))
    task = make_task(config)
    if task.n > MAX_BITS:
        raise invalid("config.task", f"n = {task.n}", f"tasks of up to {MAX_BITS} bits")
    prefix_errors("config.model.", lambda: models.build(n=task.n, **config.model.to_dict()))
    prefix_errors("config.holdout.", lambda: frozen_bits(config.holdout.get("bits"), task.n))
    training_set(config, task)


def make_task(config: ConfigDict) -> tasks.Task:
    """Return the task of the configuration; errors name the field."""
    parameters = {name: value for name, value in config.task.to_dict().items() if value is not None}
    return prefix_errors("config.task.", lambda: tasks.make(**parameters))


def training_set(config: ConfigDict, task: tasks.Task) -> datasets.TrainingSet:
    """Return the training set of the configuration; errors name the field."""
    data = config.data
    return prefix_errors(
        "config.data.",
        lambda: datasets.canonical_training_set(
            task.target,
            task.n,
            frozen=not is_matched(config),
            value=config.holdout.value,
            source=data.source,
            samples=None if data.source == "whole" else data.samples,
            batch_size=data.batch_size,
            order=data.order,
            drop_remainder=data.drop_remainder,
        ),
    )


def is_matched(config: ConfigDict) -> bool:
    """Return whether nothing is frozen: training and evaluation have the same distribution."""
    return str(config.holdout.bits).strip() == "none"


def frozen_bits(text: str, n: int) -> tuple[int, ...]:
    """Return the frozen bits that "all", "none" or "0,3,7" names, ascending.

    Raises:
        ValueError: not such a text, a bit out of range, or one named twice.
    """
    example = f"0,{n - 1}" if n > 1 else "0"
    allowed = f"all, none (the matched setting), or bits from 0 to {n - 1} such as {example}"
    if not isinstance(text, str):
        raise Refusal(f"bits: given {text!r}; allowed {allowed}")
    if text.strip() in ("all", "none"):
        return tuple(range(n)) if text.strip() == "all" else ()
    parts = [part.strip() for part in text.strip().strip("()[]").split(",") if part.strip()]
    if not parts or not all(re.fullmatch(r"-?\d+", part) for part in parts):
        raise Refusal(f"bits: given {text!r}; allowed {allowed}")
    bits = [int(part) for part in parts]
    for bit in bits:
        if not 0 <= bit < n:
            raise Refusal(f"bits: given {bit}; allowed {allowed}")
    if len(set(bits)) < len(bits):
        raise Refusal(f"bits: given {text!r}, one of them twice; allowed {allowed}")
    return tuple(sorted(bits))


def remarks(config: ConfigDict, given: Mapping[str, Any]) -> list[str]:
    """Return what a user should know who has given these fields, one line each."""
    if "holdout.bits" not in given or config.holdout.bits in ("all", "none"):
        return []
    bits = frozen_bits(config.holdout.bits, MAX_BITS)
    if len(bits) < 2:
        return []
    listed, values = ",".join(map(str, bits)), ",".join([str(config.holdout.value)] * len(bits))
    # The task as it is here: the other file's defaults may be others.
    task = [
        f" --config.task.{name}={shlex.quote(str(value))}"
        for name, value in config.task.items()
        if name != "name" and value is not None
    ]
    return [
        f"holdout.bits={listed} freezes these bits one at a time, each with networks of its own. "
        "To freeze them all at once: ./launch.sh run configs/unseen_domain.py:setting=user,"
        f"task={config.task.name},holdout=subcube --config.holdout.coordinates={listed} "
        f"--config.holdout.values={values}{''.join(task)}"
    ]


def contents(config: ConfigDict) -> dict[str, Content]:
    """Return what stands behind the task's name, where it is a file or the user's own."""
    return of_problem(make_task(config))


def identity(config: ConfigDict) -> str:
    """Return the 8 hexadecimal digits that name this configuration."""
    return fields.identity(config.to_dict())


def run_name(config: ConfigDict) -> str:
    """Return the name of the run's directory: <task>-<model>-<8 hex of the configuration>."""
    task = re.sub(r"[^A-Za-z0-9_]+", "_", config.task.name)
    return f"{task}-{config.model.name}-{identity(config)}"
