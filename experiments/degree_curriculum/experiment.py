"""Degree curriculum against standard training: iterations until a full parity is fitted.

Abbe et al. 2023: the curriculum first shows samples with few entries -1, and admits those with more
once these are fitted; standard training shows all samples from the beginning.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from pvr_jax import checks, tasks
from pvr_jax.analysis import learned, spectrum
from pvr_jax.boolean import cube, float64
from pvr_jax.experiment import Arrays, End, Experiment, Program, model_of, task_of
from pvr_jax.results import Measure
from pvr_jax.tasks import datasets
from pvr_jax.training.curriculum import (
    curriculum_ensemble,
    iterations_at,
    max_stages,
)

# Errors and spectra are exact, over all 2^n points, for every replica at every evaluation.
MAX_BITS = 20
MAX_SAMPLES = 1 << 20  # in memory

_ERROR = {"units": "half squared error", "bounds": (0, math.inf)}
_STAGE = {"kind": "state", "dims": ("stage",)}
_MASS = {"bounds": (0, math.inf), "dims": ("degree",)}
MEASURES = {
    "generalization_error": Measure("error", "½E(g − f)².", domain="whole cube", **_ERROR),
    "in_distribution_error": Measure(
        "training error",
        "½E(g − f)², a sample that was drawn twice counting twice.",
        domain="training samples",
        **_ERROR,
    ),
    "target_coefficient": Measure(
        "learned share of the target",
        "The projection of the learned function g on the target f; for a parity its coefficient.",
        symbol="E[gf] / E[f²]",
    ),
    "degree_profile": Measure(
        "Fourier mass", "Sum of the squared Fourier coefficients of a degree.", **_MASS
    ),
    "batch_loss": Measure(
        "batch loss",
        "Mean squared error of an epoch's batches, or the loss that `train.loss` names.",
        bounds=(0, math.inf),
    ),
    "iterations": Measure(
        "iterations", "Optimizer steps taken, each on one batch.", bounds=(0, math.inf),
        kind="state",
    ),
    "finished": Measure("ended", "Whether the last stage was passed.", kind="state"),
    "epochs_to_end": Measure(
        "epochs", "Epochs until the last stage was passed, or −1.", kind="state"
    ),
    "stage_end": Measure(
        "end of the stage", "Optimizer steps until a stage was passed, or −1.", **_STAGE
    ),
    "radius": Measure("radius", "Largest number of entries −1 in a stage's samples.", **_STAGE),
    "samples_inside": Measure("samples inside", "Samples that a stage shows.", **_STAGE),
    "constant_error": Measure(
        "error of the best constant", "½ Var f.", domain="whole cube", kind="exact", **_ERROR
    ),
    "target_degree_profile": Measure(
        "Fourier mass of the target",
        "Sum of the squared Fourier coefficients of a degree.",
        kind="exact",
        **_MASS,
    ),
}  # fmt: skip


def build(config: ConfigDict, replicas: pd.DataFrame) -> Program:
    """Return the program of one replica: network, random samples, measures."""
    task = task_of(config)
    model = model_of(config, task.n)
    truth = tasks.exact_values(task)
    size = int(replicas["samples"].max())

    def draw(key: jax.Array, *, samples: jax.Array, **conditions: jax.Array) -> Arrays:
        """Draw N points of the cube, uniformly with replacement.

        `level` counts entries -1, `number` is the index in `cube.points`. A smaller training set is
        a prefix of a larger one.
        """
        rows = jnp.arange(size)
        numbers = datasets.row_numbers(key, rows, task.n)
        x = cube.points_at(numbers, task.n)
        return {
            "x": x,
            "y": task.target(x).astype(jnp.float32),
            "level": jnp.sum(x < 0, axis=1, dtype=jnp.int32),
            "present": rows < samples,
            "number": numbers,
        }

    def measure(outputs: jax.Array, drawn: Arrays, **conditions: jax.Array) -> Arrays:
        target = jnp.asarray(truth, outputs.dtype)
        halves = 0.5 * jnp.square(outputs - target)
        seen = jnp.where(drawn["present"], halves[drawn["number"]], 0)
        return {
            "generalization_error": jnp.mean(halves),
            "in_distribution_error": jnp.sum(seen) / jnp.sum(drawn["present"]),
            "target_coefficient": jnp.mean(outputs * target) / jnp.mean(jnp.square(target)),
            **spectrum.profile(outputs, target, target),
        }

    degrees = np.bitwise_count(np.arange(2**task.n))
    return Program(
        init=partial(model.init, x=jnp.ones((1, task.n))),
        outputs=lambda params, drawn, **own: learned.on_cube(model.apply, params, task.n),
        measure=measure,
        draw=draw,
        ensemble=partial(
            curriculum_ensemble,
            init=partial(model.init, x=jnp.ones((1, task.n))),
            apply=model.apply,
            samples=draw,
            highest=task.n,
            stages=max_stages(task.n, tuple(config.curriculum.leaps)),
            threshold=config.curriculum.threshold,
            batch_size=config.data.batch_size,
        ),
        at_the_end=progress,
        exact={
            "constant_error": float(np.var(truth) / 2),
            "target_degree_profile": np.bincount(degrees, float64.exact_spectrum(truth) ** 2),
        },
        step_unit="epoch",
        title=f"{config.model.name} on {config.task.name} (a step is an epoch)",
        outputs_size=2**task.n,
    )


def progress(end: End) -> Arrays:
    """Return the progress of replicas [T, R], and the samples of their stages [R, S]."""
    carry, leaps = end.state().carry, end.replicas["leap"].to_numpy()
    finished = carry.finished_at >= 0
    passed = (carry.stage_epochs >= 0).sum(axis=1)
    # The last stage does not change the radius.
    first = carry.radius - leaps * (passed - finished)
    radius = first[:, None] + leaps[:, None] * np.arange(carry.stage_epochs.shape[1])
    levels = np.where(end.drawn["present"], end.drawn["level"], np.iinfo(np.int32).max)
    inside = [
        (own[:, None] <= reach).sum(axis=0) for own, reach in zip(levels, radius, strict=True)
    ]
    ends = zip(carry.stage_epochs, carry.stage_iterations, carry.iterations, strict=True)
    return {
        "iterations": np.stack([iterations_at(end.steps, *own) for own in ends], axis=1),
        "finished": finished,
        "epochs_to_end": carry.finished_at,
        "stage_end": carry.stage_iterations,
        "radius": radius,
        "samples_inside": np.array(inside),
    }


def check(config: ConfigDict) -> None:
    """Refuse what single rules cannot: tasks, models and leaps that do not match."""
    task = task_of(config)
    if task.n > MAX_BITS:
        raise checks.invalid("config.task", f"n = {task.n}", f"tasks of up to {MAX_BITS} bits")
    model_of(config, task.n)
    # The number of steps per epoch varies, so no step is known to be the last.
    for name, allowed in (("decay", "constant"), ("batch_devices", 1)):
        if (given := config.train.get(name, allowed)) != allowed:
            raise checks.invalid(f"config.train.{name}", given, str(allowed))
    leaps = tuple(config.curriculum.leaps)
    if max(leaps) != task.n or len(leaps) < 2:
        allowed = f"{task.n} (standard training) and one or more smaller whole numbers"
        raise checks.invalid("config.curriculum.leaps", leaps, allowed)


EXPERIMENT = Experiment(
    name="degree_curriculum",
    measures=MEASURES,
    axes=lambda config: {"samples": config.data.samples, "leap": config.curriculum.leaps},
    rules={
        "curriculum.leaps": checks.list_of(checks.integer(1), "4,10"),
        "curriculum.threshold": checks.above(0),
        "data.samples": checks.list_of(checks.integer(1, MAX_SAMPLES), "500,900"),
        "data.batch_size": checks.integer(1),
        "evaluation.logarithmic": checks.integer(2),
    },
    build=build,
    check=check,
)
