"""The table of results: one row per run and frozen bit, as data, CSV and Markdown."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting.definitions import (
    PREDICTIONS,
    THEORIES,
    heading,
    is_exact,
    ordered,
    scale,
)
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.verdicts import judged, nearest
from pvr_jax.results import statistics

MISSING = "–"
MARKS = {"below": " ↓", "above": " ↑"}
UNFITTED = " †"
GROUP = ["run", "task_label", "model_label", "optimizer"]
LEFT_ALIGNED = ("task", "model", "aggregation", "part", "T", "twin", "nearest")
PREDICTION, DEVIATION, UNEXPLAINED = "prediction_", "deviation_", "unexplained_"
UNCERTAINTY, BY_SEED = "standard_error_", "_by_seed"


def summary_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row per canonical run and frozen bit, means over replicas that did not diverge.

    `<measure>_low` and `<measure>_high` bound the 95 % interval of the mean
    (`statistics.mean_interval`). All errors are half losses at the last evaluation; `difference` is
    generalization error minus influence. `fit` says whether the seen inputs are fitted, in the
    mean: "finished", "unfinished" or "not measured". `<measure>_by_seed` is its `seeds_text`.

    `verdict` says where the error lies: "above" or "below" the influence, or "inside" when the
    interval `judged_low` to `judged_high` holds the influence; that interval holds for all rows of
    the table at once with 95 %. Where the influence is 0, the error lies above it if the unseen
    inputs add to the error of the seen ones. It is empty without an interval, before the fit is
    finished, and where two groups of seeds have no mean to speak of.

    `prediction_<theory>` is the mean of what theory predicts for the replicas, and, of a theory
    that claims to be exact for each, `deviation_<theory>` the largest |error / prediction − 1| of
    one of them; `standard_error_<theory>` is that of a prediction from a few initializations.
    `unexplained_<theory>`, with `_low` and `_high`, is the mean half squared distance
    between what they learned and the function that the theory predicts, and `nearest` the theories
    that leave the least (`verdicts.nearest_theories`).
    """
    names = ordered({name for run in runs for name in run.measures})
    theories = _theories(runs)
    explaining = _explaining(runs)
    cells = [(run, bit) for run in runs for bit in run.bits]
    confidence = statistics.simultaneous(sum(len(run.counted(bit)) > 1 for run, bit in cells))
    return pd.DataFrame(
        [
            _row(run, bit, names)
            | judged(run, bit, confidence)
            | predicted(run, bit, theories)
            | unexplained(run, bit, explaining)
            for run, bit in cells
        ]
    )


def _theories(runs: Sequence[Run]) -> list[str]:
    return ordered({name for run in runs for name in run.predictions}, THEORIES)


def _explaining(runs: Sequence[Run]) -> list[str]:
    return ordered({name for run in runs for name in run.unexplained}, PREDICTIONS | THEORIES)


def settings_columns(run: Run) -> dict[str, object]:
    """Return what names a run and its settings in every table."""
    return {
        "run": run.name,
        "task": run.task,
        "task_label": run.task_label,
        "model": run.model,
        "model_label": run.model_label,
        "optimizer": run.optimizer,
        "learning_rate": math.nan if run.learning_rate is None else run.learning_rate,
        "init_scale": math.nan if run.init_scale is None else run.init_scale,
        "size": run.size or "",
        "loss": run.loss,
        "step": int(run.steps[-1]),
    }


def replica_counts(run: Run, bit: int | None) -> dict[str, object]:
    """Return how many replicas of a bit count, and which are excluded."""
    excluded = run.excluded(bit)
    return {
        "replicas": len(run.counted(bit)),
        "excluded": len(excluded),
        "excluded_replicas": "; ".join(
            f"{replica.name} diverged at step {replica.diverged_at}" for replica in excluded
        ),
    }


def predicted(run: Run, bit: int, theories: Sequence[str]) -> dict[str, float]:
    """Return, per theory, its mean prediction for a bit; of exact ones the largest deviation."""
    error = run.final("generalization_error", bit)
    row = {}
    for name in theories:
        values = run.predictions.get(name)
        values = np.full(len(error), np.nan) if values is None else values[run.counted(bit)]
        usable = np.isfinite(values) & np.isfinite(error) & (values != 0)
        deviations = np.abs(error[usable] / values[usable] - 1)
        row[f"{PREDICTION}{name}"] = float(statistics.mean(values))
        if name in run.prediction_errors:
            uncertain = run.prediction_errors[name][run.counted(bit)]
            row[f"{UNCERTAINTY}{name}"] = float(statistics.mean(uncertain))
        if not is_exact(name):
            continue
        row[f"{DEVIATION}{name}"] = float(deviations.max(initial=-math.inf))
    return {key: math.nan if value == -math.inf else value for key, value in row.items()}


def unexplained(run: Run, bit: int, theories: Sequence[str]) -> dict[str, object]:
    """Return, per theory, the mean of what it leaves unexplained for a bit, with its interval."""
    row: dict[str, object] = {}
    kept = run.counted(bit)
    left = {
        name: run.unexplained.get(name, np.full(len(run.replicas), np.nan)) for name in theories
    }
    left = {name: values[kept] for name, values in left.items()}
    for name, values in left.items():
        low, high = statistics.mean_interval(values, "positive")
        column = f"{UNEXPLAINED}{name}"
        row |= {column: float(statistics.mean(values))}
        row |= {f"{column}_low": float(low), f"{column}_high": float(high)}
        row[f"{column}{BY_SEED}"] = seeds_text(values)
    row["nearest"] = nearest({name: values[None] for name, values in left.items()})
    return row


def _row(run: Run, bit: int, names: list[str]) -> dict[str, object]:
    row = settings_columns(run) | {"frozen_bit": bit} | replica_counts(run, bit)
    for name in names:
        values = run.final(name, bit) if name in run.measures else np.full(1, np.nan)
        low, high = statistics.mean_interval(values, scale(name))
        row |= {name: float(statistics.mean(values))}
        row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
        row[f"{name}{BY_SEED}"] = seeds_text(values)
    influence = run.influences[bit]
    row["influence"] = influence
    for suffix in ("", "_low", "_high"):
        row[f"difference{suffix}"] = row[f"generalization_error{suffix}"] - influence
    return row


def replica_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row per replica, diverged ones too, with its values at the last evaluation.

    Where runs have nothing frozen, `constant_error` is theirs of the best constant, ½ Var f.
    """
    names = ordered({name for run in runs for name in run.measures})
    columns = [(PREDICTION, name) for name in _theories(runs)]
    columns += [(UNEXPLAINED, name) for name in _explaining(runs)]
    rows = []
    for run in runs:
        for i, replica in enumerate(run.replicas):
            row = settings_columns(run) | {
                "replica": replica.name,
                "frozen_bit": replica.bit,
                "seed": replica.seed,
                "diverged_at": replica.diverged_at,
                "influence": math.nan if run.matched else run.influences[replica.bit],
            }
            if run.matched:
                row["constant_error"] = (run.target or {}).get("variance", math.nan) / 2
            for name in names:
                row[name] = float(run.measures[name][-1, i]) if name in run.measures else math.nan
            row["difference"] = row["generalization_error"] - row["influence"]
            for kind, name in columns:
                values = (run.predictions if kind == PREDICTION else run.unexplained).get(name)
                row[f"{kind}{name}"] = math.nan if values is None else float(values[i])
            rows.append(row)
    return pd.DataFrame(rows).astype({"diverged_at": "Int64", "frozen_bit": "Int64"})


def format_number(value: float, digits: int = 4) -> str:
    """Return `value` with `digits` significant digits; a dash for NaN."""
    if not math.isfinite(value):
        return MISSING
    text = f"{value:#.{digits}g}".rstrip(".")
    return text.replace("-0.000", "0.000") if value == 0 else text


def format_uncertain(value: float, error: float) -> str:
    """Return `value ± error` to two digits of the error, or `value` alone where that is NaN."""
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return format_number(value)
    decimals = min(max(1 - math.floor(math.log10(error)), 0), 9)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def format_exact(value: float) -> str:
    """Return an exact value as it is, 0.46875 or 113; a dash for NaN."""
    return f"{value:.6g}" if math.isfinite(value) else MISSING


def format_interval(value: float, low: float, high: float, scale: float | None = None) -> str:
    """Return `value [low, high]`, or `value [–]` where there is no interval.

    All three have the decimals that give `scale` (by default `value`) four significant digits.
    """
    if not math.isfinite(value):
        return MISSING
    scale = abs(value if scale is None else scale)
    decimals = 3 - math.floor(math.log10(scale)) if scale > 0 else 3
    shown = [
        f"{number:.{max(decimals, 0)}f}" if decimals <= 6 else format_number(number)
        for number in (value, low, high)
    ]
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{shown[0]} [{MISSING}]"
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def seeds_text(values: np.ndarray, percent: bool = False) -> str:
    """Return what stands beside the mean of `values` [R] where a mean alone would mislead.

    The values of fewer than five seeds, or sizes and means of two groups of seeds; else nothing.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)] * (100 if percent else 1)
    if 2 <= len(values) < statistics.FEW_SEEDS:
        return f" ({', '.join(map(_short, values))})"
    groups = statistics.groups_of_seeds(values)
    if groups is None:
        return ""
    return f" ({' and '.join(f'{len(side)} at {_short(side.mean())}' for side in groups)})"


def _short(value: float) -> str:
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else format_number(value, 3)


def format_percent(share: float, sign: str = "") -> str:
    """Return a share with two digits as a percentage: 0.31 %, 14 %, 120 %; `sign` "+" shows it."""
    if not math.isfinite(share):
        return MISSING
    percent = 100 * share
    digits = 1 - math.floor(math.log10(abs(percent))) if percent else 0
    return f"{round(percent, digits):{sign}.{max(digits, 0)}f} %"


def first_of_each(rows: pd.DataFrame, column: str) -> list[str]:
    """Return a column's text where it changes from one row to the next, and nothing elsewhere."""
    return where(rows[column] != rows[column].shift(), rows[column])


def where(shown: pd.Series, texts: pd.Series) -> list[str]:
    """Return the texts that are shown, and nothing in place of the others."""
    return [text if show else "" for show, text in zip(shown, texts, strict=True)]


def display_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a summary table's errors and predictions as text under full headings, row by row.

    What explains them is in `theories.theory_table` and `theories.reasons_table`.
    """
    columns = {
        "frozen bit": table["frozen_bit"].astype(str),
        "replicas": table["replicas"].astype(str),
        "excluded": table["excluded"].astype(str),
    }
    if (fitted := "in_distribution_error") in table:
        columns[heading(fitted)] = [format_number(value, 3) for value in table[fitted]]
    columns |= interval_column(table, "generalization_error", heading("generalization_error"))
    columns[heading("influence")] = [format_exact(value) for value in table["influence"]]
    columns |= prediction_columns(table)
    scale = table["generalization_error"]
    columns |= interval_column(table, "difference", heading("difference"), scale)
    return pd.DataFrame(columns, index=table.index)


def interval_column(
    table: pd.DataFrame, name: str, title: str, scale: pd.Series | None = None
) -> dict[str, list[str]]:
    """Return a column of a summary table with interval and `seeds_text`, as text under `title`.

    The decimals are those of `scale`, by default of the column itself.
    """
    numbers = table[[name, f"{name}_low", f"{name}_high"]].to_numpy()
    scales = table[name] if scale is None else scale
    seeds = table.get(f"{name}{BY_SEED}", [""] * len(table))
    texts = [
        format_interval(*row, size) + text
        for row, size, text in zip(numbers, scales, seeds, strict=True)
    ]
    return {f"{title} [95 %]": texts}


def prediction_columns(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return what theories other than the influence predict, as text under full headings."""
    columns = {}
    for name in theories_of(table):
        uncertain = table.get(f"{UNCERTAINTY}{name}", pd.Series(math.nan, table.index))
        columns[heading(name)] = [
            format_uncertain(*pair)
            for pair in zip(table[f"{PREDICTION}{name}"], uncertain, strict=True)
        ]
        if is_exact(name):
            columns[f"deviation from {heading(name)}"] = [
                f"{value:.1e}" if math.isfinite(value) else MISSING
                for value in table[f"{DEVIATION}{name}"]
            ]
    return columns


def theories_of(table: pd.DataFrame) -> list[str]:
    """Return the names of the theories that predict something in a summary table."""
    return [
        column.removeprefix(PREDICTION)
        for column in table.columns
        if column.startswith(PREDICTION) and table[column].notna().any()
    ]


def exact_theories_of(table: pd.DataFrame) -> list[str]:
    """Return those of them that claim the very error of each replica."""
    return [name for name in theories_of(table) if is_exact(name)]


def explaining_theories_of(table: pd.DataFrame) -> list[str]:
    """Return the theories whose predicted functions were compared with what was learned."""
    return [
        column.removeprefix(UNEXPLAINED)
        for column in table.columns
        if column.startswith(UNEXPLAINED)
        and not column.endswith(("_low", "_high", BY_SEED))
        and table[column].notna().any()
    ]


def run_title(run: Run) -> str:
    """Return the title of a run: what was learned, with what, and its directory."""
    return f"{run.task_label}, {run.model_label}, {run.optimizer} ({run.name})"


def group_titles(table: pd.DataFrame) -> list[tuple[str, pd.Index]]:
    """Return, for every run in a summary table, its title and the index of its rows."""
    return [
        (f"{label}, {model}, {optimizer} ({run})", rows.index)
        for (run, label, model, optimizer), rows in table.groupby(GROUP, sort=False)
    ]


def table_notes(table: pd.DataFrame) -> list[str]:
    """Return the notes that belong under a summary table: losses, intervals, excluded replicas."""
    losses = " / ".join(dict.fromkeys(table["loss"]))
    notes = [
        f"Errors are {losses} at the last evaluation, mean over replicas: generalization error "
        "over the whole cube, in-distribution error over the seen inputs.",
        f"[95 %]: {statistics.INTERVAL_WORDS}. {statistics.SEEDS_WORDS}",
    ]
    notes += [
        f"Deviation from {heading(name)}: the largest |error / {heading(name)} − 1| of a replica."
        for name in exact_theories_of(table)
    ]
    return notes + excluded_notes(table)


def excluded_notes(table: pd.DataFrame) -> list[str]:
    """Return a note per run of a table that has excluded replicas, naming them."""
    notes = []
    for run, rows in table.groupby("run", sort=False):
        names = "; ".join(text for text in rows["excluded_replicas"] if text)
        if names:
            notes.append(f"{run}, excluded: {names}.")
    return notes


def render_text(table: pd.DataFrame) -> str:
    """Return a summary table as aligned Markdown that also reads well in a terminal."""
    shown = display_table(table)
    parts = [
        f"### {heading_text}\n\n" + render_markdown(shown.loc[index])
        for heading_text, index in group_titles(table)
    ]
    parts.append(render_notes(table_notes(table)))
    return "\n".join(parts)


def render_markdown(shown: pd.DataFrame) -> str:
    """Return a table of text as aligned Markdown; columns of numbers end at the right."""
    rows = [list(shown.columns), *shown.to_numpy().tolist()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = [name in LEFT_ALIGNED for name in shown.columns]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(row, widths, left, strict=True)
        )
        + " |"
        for row in rows
    ]
    rule = [
        ":" + "-" * (width + 1) if to_left else "-" * (width + 1) + ":"
        for width, to_left in zip(widths, left, strict=True)
    ]
    lines.insert(1, "|" + "|".join(rule) + "|")
    return "".join(f"{line}\n" for line in lines)


def render_notes(notes: Sequence[str]) -> str:
    """Return notes as a Markdown list."""
    return "".join(f"- {note}\n" for note in notes)


def render_findings(findings: Sequence[tuple[str, str]]) -> str:
    """Return paragraphs with a bold title each."""
    return "\n".join(f"**{title}.** {text}\n" for title, text in findings)
