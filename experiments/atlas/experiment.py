"""What is learned of every Boolean function of a few bits with its last bit frozen?

Training shows the seen half F alone, so one cell per class of F gives every function with it.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from experiments.atlas import theories
from experiments.atlas.measures import (
    MEASURES,
    class_facts,
    coordinates,
    function_facts,
    of_replicas,
)
from pvr_jax import checks
from pvr_jax.analysis import errors, learned
from pvr_jax.boolean import classes, cube
from pvr_jax.experiment import Arrays, End, Experiment, Program, model_of
from pvr_jax.outputs_file import OutputsFile
from pvr_jax.training import fields
from pvr_jax.training.replicas import Replicas
from pvr_jax.training.shown_rows import count_rows

VALUE = 1  # to which the last bit is frozen
MEMBERS = ("representative", "drawn")


def axes(config: ConfigDict) -> list[dict[str, Any]]:
    """Return the classes of seen halves, by their representatives, or a sample of them."""
    bits, sample = config.task.n - 1, config.classes.sample
    found = classes.classes(bits, config.classes.negations)
    of_all, chosen = classes.classes(bits), np.arange(len(found.sizes))
    if sample:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, sample, replace=False))
    return [
        {
            "cell": int(number),
            "function_class": int(of_all.representatives[of_all.of[number]]),
            "functions": int(size),
        }
        for number, size in zip(found.representatives[chosen], found.sizes[chosen], strict=True)
    ]


def seen_halves(config: ConfigDict, replicas: pd.DataFrame) -> np.ndarray:
    """Return the number of each replica's seen half: of its cell, or drawn from its class."""
    bits = config.task.n - 1
    numbers = replicas["cell"].to_numpy()
    if config.classes.member == "representative":
        return numbers
    of = classes.classes(bits, config.classes.negations).of
    drawn = [
        np.random.default_rng([number, seed]).choice(np.flatnonzero(of == of[number]))
        for number, seed in zip(numbers, replicas["seed"], strict=True)
    ]
    return np.array(drawn)


def as_float32(value: np.ndarray | None) -> np.ndarray | None:
    """Return an array with its numbers in single precision, integers as they are."""
    if value is None or value.dtype != np.float64:
        return value
    with np.errstate(over="ignore"):  # bounds from two seeds
        return value.astype(np.float32)


def build(config: ConfigDict, replicas: pd.DataFrame) -> Program:
    """Return what one replica is: a network, its seen half as a full batch, how it is measured."""
    n, halves = config.task.n, seen_halves(config, replicas)
    model, points = model_of(config, n), jnp.arange(2 ** (n - 1))
    seen = jnp.arange(2**n) & 1 == 1

    def values(half: jax.Array) -> jax.Array:
        return jnp.where(half >> points & 1 == 1, 1.0, -1.0)

    def batch(key: jax.Array, step: jax.Array, half: jax.Array) -> Arrays:
        return {
            "x": cube.points_at(2 * points + 1, n),
            "y": values(half).astype(jnp.float32),
            "weight": jnp.ones(2 ** (n - 1)),
        }

    def measure(outputs: jax.Array, drawn: Arrays, half: jax.Array) -> Arrays:
        target = jnp.repeat(values(half).astype(outputs.dtype), 2)
        found = errors.half_squared_errors(outputs, target, seen)
        return {"in_distribution_error": found["in_distribution_error"]}

    def training_rows(replicas: Replicas) -> dict[str, int]:
        def is_unseen(batch: Arrays, half: jax.Array) -> jax.Array:
            return batch["x"][:, -1] != VALUE

        return count_rows(batch, {"unseen": is_unseen}, replicas, 1)

    def at_the_end(end: End) -> Arrays:
        outputs, table = end.values["outputs"], end.replicas
        found = {"outputs": None, **of_replicas(outputs, halves, table)}
        found |= class_facts(outputs, halves, table)
        every = (config.classes.negations, config.classes.member) == ("each", "representative")
        found |= function_facts(outputs, table) if every and n <= classes.MAX_BITS else {}
        # Networks are float32; in float64 files would be twice as large.
        return {name: as_float32(value) for name, value in found.items()}

    return Program(
        init=partial(model.init, x=jnp.ones((1, n))),
        apply=model.apply,
        batch=batch,
        outputs=lambda params, drawn, **own: learned.on_cube(model.apply, params, n),
        measure=measure,
        conditions=lambda table: {"half": jnp.asarray(seen_halves(config, table), jnp.int32)},
        training_rows=training_rows,
        of_last=lambda outputs: {"outputs": outputs},
        at_the_end=at_the_end,
        coordinates=coordinates(replicas, n),
        title=f"{config.model.name} on every function of {n - 1} bits",
        outputs_size=2**n,
    )


def check(config: ConfigDict) -> None:
    """Refuse a model that does not fit, or a sample of more classes than there are."""
    model_of(config, config.task.n)
    count = len(classes.classes(config.task.n - 1, config.classes.negations).sizes)
    if (sample := config.classes.sample) > count:
        raise checks.invalid("config.classes.sample", sample, f"0 (all) to {count}")


EXPERIMENT = Experiment(
    name="atlas",
    measures=MEASURES,
    predictions=theories.PREDICTIONS,
    axes=axes,
    label=lambda row: f"half{row['cell']:x}",
    # Cells are independent: each has initializations of its own.
    streams={"init": ("seed", "half"), "data": ("seed",)},
    counts="steps",
    rules={
        "task.n": checks.integer(2, classes.MAX_BITS + 1),
        "classes.negations": checks.one_of(*classes.NEGATIONS),
        "classes.member": checks.one_of(*MEMBERS),
        "classes.sample": checks.integer(0),
    },
    defaults={**fields.DEFAULTS, "classes.sample": 0},
    build=build,
    check=check,
    kept=OutputsFile("learned.npz", "values"),
    predict={
        name: partial(theories.predicted, theory, seen_halves)
        for name, theory in theories.THEORIES.items()
    },
    named=lambda config: {},
)
