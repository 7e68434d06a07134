"""The tables as text: accuracies in percent, with intervals, and the notes under them."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting.accuracy.cells import (
    Arm,
    Cell,
    Subtask,
    arms_of,
    gap_interval,
    least_withheld,
    mean_interval,
    scale_of,
)
from pvr_jax.reporting.accuracy.labels import arm_labels, task_labels
from pvr_jax.reporting.accuracy.thresholds import LEVEL, Threshold, least_thresholds, thresholds_of
from pvr_jax.reporting.tables import MISSING, format_interval, format_number, seeds_text
from pvr_jax.results import statistics

TITLES = {
    "sizes": "i.i.d. accuracy by training-set size, %",
    "table": "Accuracy and loss of every cell",
    "holdout": "Accuracy on withheld inputs",
    "samples": f"Training samples to {LEVEL} i.i.d. accuracy",
    "tasks": "What is known of the tasks without training",
    "recall": "Recall of every class, %",
}


def shown_sizes(cells: Sequence[Cell]) -> pd.DataFrame | None:
    """Return i.i.d. accuracies with a column per training-set size as text; None without sizes."""
    fixed = [cell for cell in least_withheld(cells) if cell.samples is not None]
    sizes = sorted({cell.samples for cell in fixed})
    if len(sizes) < 2:
        return None
    rows: dict[tuple[Arm, Subtask], dict[int, str]] = {}
    for cell in fixed:
        shown = rows.setdefault((cell.arm, cell.subtask), {})
        shown[cell.samples] = accuracy_text(cell.final("iid_accuracy"))
    columns = row_titles([(arm, subtask) for arm, subtask in rows], cells)
    columns["chance"] = [percent(subtask.chance) for _, subtask in rows]
    for size in sizes:
        columns[grouped(size)] = [own.get(size, MISSING) for own in rows.values()]
    return pd.DataFrame(columns)


def shown_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return accuracy and loss of every cell as text."""
    columns = row_titles([(cell.arm, cell.subtask) for cell in cells], cells)
    if any(cell.subtask.withheld for cell in cells):
        columns["withheld"] = [str(cell.subtask.withheld) for cell in cells]
    columns |= _samples_column(cells)
    columns["replicas"] = [str(int(cell.counted.sum())) for cell in cells]
    for name, title in (("iid", "i.i.d."), ("train", "training")):
        columns[f"{title} accuracy, % [95 %]"] = [
            accuracy_text(cell.final(f"{name}_accuracy")) for cell in cells
        ]
    columns["chance"] = [percent(cell.subtask.chance) for cell in cells]
    for name, title in _losses(cells).items():
        columns[f"{title} [95 %]"] = [_number_interval(cell, name) for cell in cells]
    return pd.DataFrame(columns)


def _losses(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the losses that a table of cells shows: of training, of the set or of the stream."""
    streams = {cell.is_fresh for cell in cells}
    of_training = {False: ("train_loss", "training loss"), True: ("batch_loss", "batch loss")}
    return {"iid_loss": "i.i.d. loss"} | dict(of_training[kind] for kind in sorted(streams))


def shown_holdout(cells: Sequence[Cell]) -> pd.DataFrame | None:
    """Return both accuracies and their gap as text, a row per cell that withholds something."""
    cells_with = [cell for cell in cells if cell.subtask.withheld]
    if not cells_with:
        return None
    pairs = [(cell.arm, cell.subtask) for cell in cells_with]
    columns = row_titles(pairs, cells)
    columns["withheld"] = [str(cell.subtask.withheld) for cell in cells_with]
    columns["removed, %"] = [f"{100 * cell.subtask.share_removed:.3g}" for cell in cells_with]
    columns |= _samples_column(cells_with)
    for part, title in (("iid", "i.i.d."), ("withheld", "withheld")):
        columns[f"{title} accuracy, % [95 %]"] = [
            accuracy_text(cell.final(f"{part}_accuracy")) for cell in cells_with
        ]
    columns["gap, points [95 %]"] = [gap_text(cell.gap) for cell in cells_with]
    columns["uniform guess"] = [percent(1 / cell.classes) for cell in cells_with]
    columns["withheld loss [95 %]"] = [
        _number_interval(cell, "withheld_loss") for cell in cells_with
    ]
    return pd.DataFrame(columns)


def shown_thresholds(thresholds: Sequence[Threshold], cells: Sequence[Cell]) -> pd.DataFrame | None:
    """Return the samples to the threshold as text, None where no cell can tell.

    A row per arm and function, of the task that withholds least.
    """
    thresholds = least_thresholds(thresholds, cells)
    if not thresholds:
        return None
    columns = row_titles([(t.arm, t.subtask) for t in thresholds], cells)
    columns["noise sensitivity [95 %]"] = [_noise(t.subtask) for t in thresholds]
    columns["samples [95 %]"] = [samples_text(t) for t in thresholds]
    columns["seeds that reach it"] = [f"{t.reaching} of {len(t.counted)}" for t in thresholds]
    return pd.DataFrame(columns)


def shown_tasks(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return what is known of every task without training, as text."""
    tasks: dict[tuple[str, Subtask], Cell] = {}
    for cell in cells:
        tasks.setdefault((cell.task_label, cell.subtask), cell)
    columns: dict[str, list[str]] = {}
    if len({label for label, _ in tasks}) > 1:
        short = task_labels(cells)
        columns["task"] = [short[label] for label, _ in tasks]
    subtasks = [subtask for _, subtask in tasks]
    columns |= _function_columns(subtasks)
    if any(subtask.withheld for subtask in subtasks):
        columns["withheld"] = [str(subtask.withheld) for subtask in subtasks]
        columns["removed, %"] = [f"{100 * subtask.share_removed:.3g}" for subtask in subtasks]
    columns["classes"] = [str(cell.classes) for cell in tasks.values()]
    columns["chance, %"] = [
        percent(s.chance) + ("" if s.label_distribution_exact else " (sampled)") for s in subtasks
    ]
    columns["label entropy, bits"] = [f"{subtask.entropy:.3f}" for subtask in subtasks]
    columns["noise sensitivity [95 %]"] = [_noise(subtask) for subtask in subtasks]
    return pd.DataFrame(columns)


def row_titles(pairs: Sequence[tuple[Arm, Subtask]], cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Return the columns that name a row: task, model, aggregation, complexity, if they differ."""
    labels, arms = arm_labels(cells), arms_of(cells)
    columns: dict[str, list[str]] = {}
    if len({cell.task_label for cell in cells}) > 1:
        short = task_labels(cells)
        columns["task"] = [short[arms[arm][0].task_label] for arm, _ in pairs]
    if len(labels) > 1:
        columns["model"] = [labels[arm] for arm, _ in pairs]
    return columns | _function_columns([subtask for _, subtask in pairs])


def _function_columns(subtasks: Sequence[Subtask]) -> dict[str, list[str]]:
    if all(subtask.aggregation is None for subtask in subtasks):
        return {}
    return {
        "aggregation": [subtask.aggregation or MISSING for subtask in subtasks],
        "complexity": [
            MISSING if subtask.complexity is None else str(subtask.complexity)
            for subtask in subtasks
        ],
    }


def _samples_column(cells: Sequence[Cell]) -> dict[str, list[str]]:
    return {
        "samples": [
            f"{grouped(int(cell.steps[-1]) * cell.batch_size)} fresh"
            if cell.samples is None
            else grouped(cell.samples)
            for cell in cells
        ]
    }


def _noise(subtask: Subtask) -> str:
    noise = subtask.noise
    if noise is None:
        return MISSING
    if noise.exact:
        return f"{noise.value:.4f}"
    return f"{noise.value:.4f} [{noise.low:.4f}, {noise.high:.4f}]"


def accuracy_text(values: np.ndarray, unit: str = "", decimals: int = 2) -> str:
    """Return the mean of accuracies [R] in percent, its interval, `unit`, and `seeds_text`."""
    shown = percent_interval(*mean_interval(values), decimals)
    return f"{shown}{unit}{seeds_text(values, percent=True)}"


def gap_text(values: np.ndarray, unit: str = "") -> str:
    """Return the mean of gaps [R] in points, its interval, `unit`, and `seeds_text`."""
    return f"{percent_interval(*gap_interval(values))}{unit}{seeds_text(values, percent=True)}"


def _number_interval(cell: Cell, name: str) -> str:
    values = cell.final(name)
    mean, low, high = (float(value) for value in mean_interval(values, scale_of(name)))
    return format_interval(mean, low, high, abs(mean) * 10) + seeds_text(values)


def samples_text(found: Threshold) -> str:
    """Return the samples to the threshold with their interval; of a censored task "> bound"."""
    mean, low, high = found.mean
    if not math.isfinite(mean):
        return MISSING
    if not found.reached:
        return f"> {format_samples(mean)}"
    text = f"{'≤ ' if found.at_once else ''}{format_samples(mean)}"
    if not math.isfinite(low):
        return f"{text} [{MISSING}]"
    return f"{text} [{format_samples(low)}, {format_samples(high)}]{seeds_text(found.counted)}"


def format_samples(value: float) -> str:
    """Return a number of samples with three significant digits, in groups of three."""
    if not math.isfinite(value):
        return MISSING
    digits = max(0, math.floor(math.log10(max(value, 1))) - 2)
    return grouped(int(round(value, -digits)))


def grouped(value: int) -> str:
    """Return a whole number with thin spaces between groups of three digits from 10 000 on."""
    return f"{value:,}".replace(",", "\u2009") if value >= 10_000 else str(value)


def percent(share: float, decimals: int = 2) -> str:
    """Return a share as a number of percent; a dash for NaN."""
    return f"{100 * share:.{decimals}f}" if math.isfinite(share) else MISSING


def percent_interval(mean: float, low: float, high: float, decimals: int = 2) -> str:
    """Return a share and its interval in percent, `[–]` without one, a dash for NaN."""
    if not math.isfinite(mean):
        return MISSING
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{percent(mean, decimals)} [{MISSING}]"
    shown = [percent(value, decimals) for value in (mean, low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def table_notes(cells: Sequence[Cell], table: pd.DataFrame) -> list[str]:
    """Return the notes that belong under the tables."""
    tests = " or ".join(grouped(n) for n in sorted({cell.test_samples for cell in cells}))
    steps = " or ".join(grouped(n) for n in sorted({int(cell.steps[-1]) for cell in cells}))
    notes = [
        f"Accuracies are top-1, in percent, losses mean cross-entropy in nats, after {steps} "
        f"steps, on {tests} test samples of each kind; means over replicas, which differ in the "
        "seed alone.",
        f"[95 %]: {statistics.INTERVAL_WORDS}; an interval for its own cell, not for all at once. "
        f"{statistics.SEEDS_WORDS}",
        "Chance: the accuracy of the best constant guess, the largest probability of a label.",
    ]
    if any(cell.is_fresh for cell in cells):
        notes.append(
            "Batch loss: of samples that are shown once, the mean over the batches since the "
            "evaluation before the last, each before its own step."
        )
    if any(cell.subtask.withheld for cell in cells):
        notes.append(
            "Gap: i.i.d. minus withheld accuracy in points, with the interval of the differences "
            "that replicas have, on the logit scale of (gap + 100) / 200. Uniform guess: one of "
            "all classes at random, on any inputs."
        )
        words = {
            f"{cell.subtask.words + ', ' if cell.subtask.words else ''}withheld "
            f"{cell.subtask.withheld}: {cell.subtask.withheld_words}."
            for cell in cells
            if cell.subtask.withheld and cell.subtask.withheld_words
        }
        notes += sorted(words) if len(words) <= 4 else []
    if thresholds := thresholds_of(cells):
        notes.append(_threshold_note(thresholds))
    noise = sorted({cell.noise for cell in cells if cell.noise is not None and cell.subtask.noise})
    if noise:
        notes.append(
            f"Noise sensitivity: δ = {' or '.join(format_number(v, 2) for v in noise)}; exact "
            "where it has no interval."
        )
    for run, rows in table.groupby("run", sort=False):
        if names := "; ".join(text for text in rows["excluded_replicas"] if text):
            notes.append(f"{run}, excluded: {names}.")
    return notes


def _threshold_note(thresholds: Sequence[Threshold]) -> str:
    return (
        f"Samples to {LEVEL}: where i.i.d. accuracy first reaches it, per seed, linear in "
        "the logarithm of the samples between evaluations (of fresh samples, those shown until "
        "then) or between training-set sizes; geometric mean over seeds. > : at least one seed "
        "does not reach it and enters with the most samples, so that the number is a bound from "
        "below. ≤ : a seed reaches it with the fewest samples that were looked at, so that the "
        "number is a bound from above. Neither has an interval; others have Student's t interval "
        "of the mean logarithm."
    )
