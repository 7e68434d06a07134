"""The experiment's configuration: checked in full before anything runs.

Every complaint is one line: the field, what was given, what is allowed.
"""

import re
from collections.abc import Collection
from dataclasses import replace

from ml_collections import ConfigDict

from pvr_jax import models, tasks
from pvr_jax.checks import Rule, absent, integer, invalid, nonnegative, one_of, text
from pvr_jax.refusal import Refusal
from pvr_jax.tasks import datasets
from pvr_jax.tasks.contents import Content, of_problem
from pvr_jax.training import fields
from pvr_jax.training.fields import prefix_errors
from pvr_jax.training.replicas import device_mesh

# Up to here every input of the cube is evaluated; beyond, a sample.
MAX_BITS = 20

RULES: dict[str, Rule] = {
    **fields.NAMES,
    "holdout.name": text(),
    "holdout.n": absent("the task"),
    "data.source": one_of(*datasets.SOURCES),
    "data.samples": integer(1),
    "data.batch_size": integer(1),
    "data.order": one_of(*datasets.ORDERS),
    **fields.TRAINING,
    "train.batch_devices": integer(1),
    "train.weight_decay": nonnegative(),
    "evaluation.monomials": integer(1, 64),
    "evaluation.relevant": integer(0, MAX_BITS),
    "evaluation.points": integer(1, 2**20),
    "evaluation.chunk": integer(1, 2**16),
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
    prefix_errors("config.model.", lambda: models.build(n=task.n, **config.model.to_dict()))
    seen = make_seen_set(config, task.n)
    relevant = config.evaluation.relevant
    if task.n > MAX_BITS and not relevant:
        allowed = (
            f"1 to {MAX_BITS}, how many first coordinates target and seen set depend on, as n = "
            f"{task.n} is too many to enumerate"
        )
        raise invalid("config.evaluation.relevant", relevant, allowed)
    if relevant > task.n:
        raise invalid("config.evaluation.relevant", relevant, f"0 to {task.n}")
    training_set(config, task, seen)


def name_what_runs(config: ConfigDict, given: Collection[str]) -> None:
    """Clear `config.setting`, a published name, where a field of what it names is among the given.

    Given by hand are fields such as "task.expression". The run is then called by its target, and is
    that of setting=user. A name that was given by hand stays.
    """
    named = {name.partition(".")[0] for name in given} & {"task", "holdout"}
    if config.get("setting") and named and "setting" not in given:
        config.setting = ""


def make_task(config: ConfigDict) -> tasks.Task:
    """Return the task of the configuration; errors name the field."""
    parameters = {name: value for name, value in config.task.to_dict().items() if value is not None}
    return prefix_errors("config.task.", lambda: tasks.make(**parameters))


def make_seen_set(config: ConfigDict, n: int) -> tasks.SeenSet:
    """Return the seen set of the configuration; errors name the field."""
    given = config.holdout.to_dict()
    try:
        seen = tasks.make_seen_set(n=n, **given)
    except Refusal as error:
        section = "task" if str(error).startswith("n:") else "holdout"
        raise Refusal(f"config.{section}.{error}") from error
    return replace(seen, relevant=config.evaluation.relevant if n > MAX_BITS else 0)


def training_set(config: ConfigDict, task: tasks.Task, seen: tasks.SeenSet) -> datasets.TrainingSet:
    """Return the training set of the configuration; errors name the field."""
    data = config.data
    mask = None
    if task.n <= MAX_BITS:
        mask = prefix_errors("config.holdout.", seen.mask)
    if data.source != "whole":
        prefix_errors("config.holdout.", lambda: seen.sample)
    return prefix_errors(
        "config.data.",
        lambda: datasets.seen_training_set(
            task.target,
            seen,
            mask=mask,
            source=data.source,
            samples=None if data.source == "whole" else data.samples,
            batch_size=data.batch_size,
            order=data.order,
        ),
    )


def contents(config: ConfigDict) -> dict[str, Content]:
    """Return what stands behind the names of task and seen set that are the user's own."""
    task = make_task(config)
    return of_problem(task, make_seen_set(config, task.n))


def identity(config: ConfigDict) -> str:
    """Return the 8 hexadecimal digits that name this configuration."""
    return fields.identity(config.to_dict())


def run_name(config: ConfigDict) -> str:
    """Return the name of the run's directory: <task>-<model>-<8 hex of the configuration>."""
    task = re.sub(r"[^A-Za-z0-9_]+", "_", config.task.name)
    return f"{task}-{config.model.name}-{identity(config)}"
