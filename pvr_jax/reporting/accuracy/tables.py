"""The tables as data: a row per cell, per replica, and per task that a threshold is looked for."""

import math
from collections.abc import Sequence

import pandas as pd

from pvr_jax.reporting.accuracy.cells import (
    MEASURES,
    Cell,
    Subtask,
    gap_interval,
    mean_interval,
    scale_of,
)
from pvr_jax.reporting.accuracy.thresholds import Threshold, thresholds_of

# The columns of a replica's setting, in order.
_REPLICA_SETTING = ("model", "task", "aggregation", "complexity", "withheld", "samples")
_REPLICA_SETTING += ("learning_rate", "init_scale")


def cell_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per cell: settings, what is known of its task, and means over replicas.

    Measures are those at the last evaluation, means over the replicas that did not diverge, with
    the bounds of their 95 % intervals in `_low` and `_high`. `gap` is i.i.d. minus withheld
    accuracy, with the interval of the differences that replicas have.
    """
    return pd.DataFrame([_row(cell) for cell in cells])


def _row(cell: Cell) -> dict[str, object]:
    lost = [replica for replica in cell.replicas if replica.diverged_at is not None]
    row = _setting(cell) | {
        "replicas": int(cell.counted.sum()),
        "excluded": len(lost),
        "excluded_replicas": "; ".join(
            f"{replica.name} diverged at step {replica.diverged_at}" for replica in lost
        ),
        "step": int(cell.steps[-1]),
        "test_samples": cell.test_samples,
    }
    row |= subtask_columns(cell.subtask)
    for name in MEASURES:
        row |= _columns(name, mean_interval(cell.final(name), scale_of(name)))
    return row | _columns("gap", gap_interval(cell.gap))


def _setting(cell: Cell) -> dict[str, object]:
    return {
        "run": cell.run,
        "task": cell.task,
        "task_label": cell.task_label,
        "model": cell.model,
        "model_label": cell.model_label,
        "optimizer": cell.optimizer,
        "source": cell.source,
        "aggregation": cell.subtask.aggregation,
        "complexity": _whole(cell.subtask.complexity),
        "withheld": cell.subtask.withheld,
        "samples": _whole(cell.samples),
        "learning_rate": cell.arm.learning_rate,
        "init_scale": cell.arm.init_scale,
    }


def _whole(value: int | None) -> object:
    return pd.NA if value is None else value


def subtask_columns(subtask: Subtask) -> dict[str, object]:
    """Return what is known of a task without training, as columns."""
    noise = subtask.noise
    return {
        "withheld_words": subtask.withheld_words,
        "share_removed": subtask.share_removed,
        "chance": subtask.chance,
        "entropy_bits": subtask.entropy,
        "label_distribution_exact": subtask.label_distribution_exact,
        "noise_sensitivity": math.nan if noise is None else noise.value,
        "noise_sensitivity_low": math.nan if noise is None else noise.low,
        "noise_sensitivity_high": math.nan if noise is None else noise.high,
        "noise_sensitivity_exact": pd.NA if noise is None else noise.exact,
    }


def _columns(name: str, interval: Sequence[float]) -> dict[str, float]:
    names = (name, f"{name}_low", f"{name}_high")
    return {name: float(value) for name, value in zip(names, interval, strict=True)}


def replica_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per replica, diverged ones too, with its values at the last evaluation.

    `iid_error` is 1 minus its i.i.d. accuracy, `constant_error` that of the best constant guess.
    `samples_to_95` is infinite where the replica, or of fixed sets its seed with any size, does not
    reach the threshold, and empty where one cannot tell.
    """
    reached = {
        (found.arm, found.subtask, seed): samples
        for found in thresholds_of(cells)
        for seed, samples in zip(found.seeds, found.samples, strict=True)
    }
    rows = []
    for cell in cells:
        setting = _setting(cell)
        setting = {name: setting[name] for name in _REPLICA_SETTING}
        for i, replica in enumerate(cell.replicas):
            values = {name: float(cell.final(name)[i]) for name in MEASURES}
            row = {"run": cell.run, "replica": replica.name} | setting
            row |= {"seed": replica.seed, "diverged_at": _whole(replica.diverged_at)}
            row["iid_error"] = 1 - values["iid_accuracy"]
            row["constant_error"] = 1 - cell.subtask.chance
            for part in ("iid", "withheld", "train"):
                row |= {f"{part}_{kind}": values[f"{part}_{kind}"] for kind in ("accuracy", "loss")}
            row["batch_loss"] = values["batch_loss"]
            samples = reached.get((cell.arm, cell.subtask, replica.seed), math.nan)
            row["samples_to_95"] = math.nan if replica.diverged_at is not None else samples
            rows.append(row)
    return pd.DataFrame(rows)


def threshold_table(thresholds: Sequence[Threshold]) -> pd.DataFrame:
    """Return one row per arm and task: samples to the threshold, and what is known of the task.

    `samples_to_95` is the geometric mean over seeds with its interval; where `reaching` is below
    `seeds` the task is censored and the number a bound from below.
    """
    return pd.DataFrame(
        [
            {
                "run": found.arm.directory.name,
                "aggregation": found.subtask.aggregation,
                "complexity": _whole(found.subtask.complexity),
                "withheld": found.subtask.withheld,
                "learning_rate": found.arm.learning_rate,
                "init_scale": found.arm.init_scale,
                "seeds": len(found.counted),
                "reaching": found.reaching,
                "censored": not found.reached,
                "fewest_samples": found.first,
                "most_samples": found.last,
            }
            | dict(
                zip(
                    ("samples_to_95", "samples_to_95_low", "samples_to_95_high"),
                    found.mean,
                    strict=True,
                )
            )
            | subtask_columns(found.subtask)
            for found in thresholds
        ]
    )
