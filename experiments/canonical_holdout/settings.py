"""The experiment's configuration: checked in full before anything runs.

Every complaint is one line: the field, what was given, what is allowed.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from pvr_jax import models, tasks
from pvr_jax.tasks import datasets

# Errors and spectra are exact, over all 2^n points, for every replica at every evaluation.
MAX_BITS = 24


def whole(low: int, high: float = math.inf) -> tuple[Callable[[Any], bool], str]:
    """Return (check, description) of the whole numbers from low to high."""
    text = f"a whole number of at least {low}" if high == math.inf else f"{low} to {high}"
    return (
        lambda value: (
            isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        ),
        text,
    )


def number(low: float, high: float = math.inf) -> tuple[Callable[[Any], bool], str]:
    """Return (check, description) of the real numbers above `low` and up to `high`."""
    text = f"a number above {low:g}" + ("" if high == math.inf else f" and up to {high:g}")
    return (
        lambda value: (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and low < value <= high
            and math.isfinite(value)
        ),
        text,
    )


def one_of(*allowed: Any) -> tuple[Callable[[Any], bool], str]:
    """Return (check, description) of a closed list of values."""
    return (
        lambda value: any(value == item and type(value) is type(item) for item in allowed),
        ", ".join(str(item) for item in allowed),
    )


def several(
    rule: tuple[Callable[[Any], bool], str], example: str
) -> tuple[Callable[[Any], bool], str]:
    """Return (check, description) of lists of one or more different values that fit `rule`."""
    check, description = rule
    return (
        lambda values: (
            isinstance(values, (tuple, list))
            and len(values) > 0
            and len(set(values)) == len(values)
            and all(map(check, values))
        ),
        f"different values separated by commas, such as {example}, each {description}",
    )


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "holdout.value": one_of(1, -1),
    "data.source": one_of(*datasets.SOURCES),
    "data.samples": whole(1),
    "data.batch_size": whole(1),
    "data.order": one_of(*datasets.ORDERS),
    "data.drop_remainder": one_of(True, False),
    "train.seeds": whole(1),
    "train.first_seed": whole(0, 2**31 - 1),
    "train.epochs": whole(1),
    "train.optimizer": one_of("adam", "sgd"),
    "train.learning_rates": several(number(0), "5e-5,1e-4"),
    "train.init_scales": several(number(0), "1,0.5"),
    "train.momentum": number(-1e-12, 1 - 1e-12),
    "train.dtype": one_of("float32", "float64"),
    "train.matmul_precision": one_of("highest", "high", "default"),
    "train.execution": one_of("auto", "vmap", "map", "chunked"),
    "train.group_size": whole(1),
    "evaluation.every_epochs": whole(1),
    "evaluation.tracked_pairs": whole(0, 4096),
    "evaluation.spectra": one_of("last", "all"),
    "checkpoint.count": whole(2),
    "checkpoint.save_every_seconds": number(0),
}
SIZES = ("", "small", "paper")  # of a reproduction; "" where the numbers are the user's own
SECTIONS = ("task", "model", "holdout", "data", "train", "evaluation", "checkpoint")


def refuse(field: str, given: Any, allowed: str) -> ValueError:
    """Return the one-line error about a field of the configuration."""
    return ValueError(f"config.{field}: given {given!r}; allowed {allowed}")


def validate(config: ConfigDict) -> None:
    """Check the whole configuration.

    Raises:
        ValueError: the first field that is missing, of a wrong type, out of range, or impossible
            together with others; one line.
    """
    for section in SECTIONS:
        if not isinstance(config.get(section), ConfigDict):
            raise refuse(section, config.get(section), "a section with the fields of this group")
    if config.get("size") not in SIZES:
        raise refuse("size", config.get("size"), "small, paper, or an empty text")
    for field, (check, allowed) in RULES.items():
        section, name = field.split(".")
        value = config[section].get(name)
        if not check(value):
            raise refuse(field, value, allowed)
    task = make_task(config)
    if task.n > MAX_BITS:
        raise refuse("task", f"n = {task.n}", f"tasks of up to {MAX_BITS} bits")
    _prefix_errors("config.model.", lambda: models.build(n=task.n, **config.model.to_dict()))
    _prefix_errors("config.holdout.", lambda: frozen_bits(config.holdout.bits, task.n))
    training_set(config, task)


def make_task(config: ConfigDict) -> tasks.Task:
    """Return the task of the configuration; errors name the field."""
    parameters = {name: value for name, value in config.task.to_dict().items() if value is not None}
    return _prefix_errors("config.task.", lambda: tasks.make(**parameters))


def training_set(config: ConfigDict, task: tasks.Task) -> datasets.TrainingSet:
    """Return the training set of the configuration; errors name the field."""
    data = config.data
    return _prefix_errors(
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
    allowed = f"all, none (the matched setting), or bits from 0 to {n - 1} such as 0,{n - 1}"
    if not isinstance(text, str):
        raise ValueError(f"bits: given {text!r}; allowed {allowed}")
    if text.strip() in ("all", "none"):
        return tuple(range(n)) if text.strip() == "all" else ()
    parts = [part.strip() for part in text.strip().strip("()[]").split(",") if part.strip()]
    if not parts or not all(re.fullmatch(r"-?\d+", part) for part in parts):
        raise ValueError(f"bits: given {text!r}; allowed {allowed}")
    bits = [int(part) for part in parts]
    for bit in bits:
        if not 0 <= bit < n:
            raise ValueError(f"bits: given {bit}; allowed {allowed}")
    if len(set(bits)) < len(bits):
        raise ValueError(f"bits: given {text!r}, one of them twice; allowed {allowed}")
    return tuple(sorted(bits))


def identity(config: ConfigDict) -> str:
    """Return the 8 hexadecimal digits that name this configuration: its canonical JSON, hashed."""
    canonical = json.dumps(config.to_dict(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def run_name(config: ConfigDict) -> str:
    """Return the name of the run's directory: <task>-<model>-<8 hex of the configuration>."""
    task = re.sub(r"[^A-Za-z0-9_]+", "_", config.task.name)
    return f"{task}-{config.model.name}-{identity(config)}"


def _prefix_errors(prefix: str, call: Callable[[], Any]) -> Any:
    """Run `call`; a ValueError that begins with a parameter's name gets the field's path."""
    try:
        return call()
    except ValueError as error:
        raise ValueError(prefix + str(error)) from error
