"""The experiment's configuration: checked in full before anything runs.

Every complaint is one line: the field, what was given, what is allowed.
"""

import re

from ml_collections import ConfigDict

from pvr_jax import models, tasks
from pvr_jax.checks import Rule, above, integer, invalid, list_of
from pvr_jax.tasks.contents import Content, of_problem
from pvr_jax.training import fields
from pvr_jax.training.fields import prefix_errors

# Errors and spectra are exact, over all 2^n points, for every replica at every evaluation.
MAX_BITS = 20
MOST_SAMPLES = 1 << 20  # they are held in memory

RULES: dict[str, Rule] = {
    **fields.NAMES,
    "curriculum.leaps": list_of(integer(1), "4,10"),
    "curriculum.threshold": above(0),
    "data.samples": list_of(integer(1, MOST_SAMPLES), "500,900"),
    "data.batch_size": integer(1),
    **fields.TRAINING,
    "evaluation.logarithmic": integer(2),
}
SECTIONS = ("task", "model", "curriculum", "data", "train", "evaluation", "checkpoint")


def validate(config: ConfigDict) -> None:
    """Check the whole configuration.

    Raises:
        ValueError: the first field that is missing, of a wrong type, out of range, or impossible
            together with others; one line.
    """
    fields.check(config, SECTIONS, RULES)
    task = make_task(config)
    if task.n > MAX_BITS:
        raise invalid("config.task", f"n = {task.n}", f"tasks of up to {MAX_BITS} bits")
    prefix_errors("config.model.", lambda: models.build(n=task.n, **config.model.to_dict()))
    leaps = tuple(config.curriculum.leaps)
    if max(leaps) != task.n or len(leaps) < 2:
        allowed = f"{task.n} (normal training) and one or more smaller whole numbers"
        raise invalid("config.curriculum.leaps", leaps, allowed)


def make_task(config: ConfigDict) -> tasks.Task:
    """Return the task of the configuration; errors name the field."""
    parameters = {name: value for name, value in config.task.to_dict().items() if value is not None}
    return prefix_errors("config.task.", lambda: tasks.make(**parameters))


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
