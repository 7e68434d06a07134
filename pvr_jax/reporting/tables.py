"""The table of results: one row per run and frozen bit, as data, CSV, Markdown and LaTeX."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting import statistics
from pvr_jax.reporting.definitions import heading, ordered
from pvr_jax.reporting.runs import Run

MISSING = "–"
GROUP = ["run", "task_label", "model", "optimizer"]
_SHOWN_FIRST = ["in_distribution_error", "generalization_error", "influence", "difference"]
_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "½": r"$\frac{1}{2}$",
}


def summary_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row per run and frozen bit with means over the replicas that did not diverge.

    `<measure>_low` and `<measure>_high` bound the 95 % percentile bootstrap interval of the mean,
    `generalization_error_student_low` and `_high` Student's t interval. All errors are half
    losses at the last evaluation; `difference` is generalization error minus influence; `verdict`
    says where the error lies: "above" or "below" the influence, or "inside" when the bootstrap
    interval holds the influence, empty without an interval; `verdict_student` judges by Student's.
    """
    names = ordered({name for run in runs for name in run.measures})
    rows = [_row(run, bit, names) for run in runs for bit in run.bits]
    return pd.DataFrame(rows)


def _row(run: Run, bit: int, names: list[str]) -> dict[str, object]:
    kept = run.counted(bit)
    empty = np.full(len(kept), np.nan)
    values = np.stack([run.final(n, bit) if n in run.measures else empty for n in names])
    means = statistics.mean(values)
    low, high = statistics.bootstrap_interval(values)
    row: dict[str, object] = {
        "run": run.name,
        "task": run.task,
        "task_label": run.task_label,
        "model": run.model,
        "optimizer": run.optimizer,
        "loss": run.loss,
        "step": int(run.steps[-1]),
        "frozen_bit": bit,
        "replicas": len(kept),
        "excluded": len(run.excluded(bit)),
        "excluded_replicas": "; ".join(
            f"{r.name} diverged at step {r.diverged_at}" for r in run.excluded(bit)
        ),
    }
    for i, name in enumerate(names):
        row |= {name: means[i], f"{name}_low": low[i], f"{name}_high": high[i]}
        if name == "generalization_error":
            student_low, student_high = statistics.student_interval(values[i])
            row |= {f"{name}_student_low": student_low, f"{name}_student_high": student_high}
    influence = run.influences[bit]
    row["influence"] = influence
    for suffix in ("", "_low", "_high", "_student_low", "_student_high"):
        row[f"difference{suffix}"] = row[f"generalization_error{suffix}"] - influence
    row["verdict"] = _verdict(row["difference_low"], row["difference_high"])
    row["verdict_student"] = _verdict(row["difference_student_low"], row["difference_student_high"])
    return {k: float(v) if isinstance(v, np.ndarray | np.floating) else v for k, v in row.items()}


def _verdict(low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return ""
    return "above" if low > 0 else "below" if high < 0 else "inside"


def replica_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row per replica, diverged ones too, with its values at the last evaluation."""
    names = ordered({name for run in runs for name in run.measures})
    rows = []
    for run in runs:
        for i, replica in enumerate(run.replicas):
            row = {
                "run": run.name,
                "task": run.task,
                "model": run.model,
                "optimizer": run.optimizer,
                "loss": run.loss,
                "step": int(run.steps[-1]),
                "replica": replica.name,
                "frozen_bit": replica.bit,
                "seed": replica.seed,
                "diverged_at": replica.diverged_at,
                "influence": run.influences[replica.bit],
            }
            for name in names:
                row[name] = float(run.measures[name][-1, i]) if name in run.measures else math.nan
            row["difference"] = row["generalization_error"] - row["influence"]
            rows.append(row)
    return pd.DataFrame(rows).astype({"diverged_at": "Int64"})


def format_number(value: float, digits: int = 4) -> str:
    """Return `value` with `digits` significant digits; a dash for NaN."""
    if not math.isfinite(value):
        return MISSING
    text = f"{value:#.{digits}g}".rstrip(".")
    return text.replace("-0.000", "0.000") if value == 0 else text


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


def display_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the shown columns of a summary table as text under full headings, same row order."""
    others = [c.removesuffix("_low") for c in table.columns if c.endswith("_low")]
    others = [n for n in others if not n.endswith("_student") and n not in _SHOWN_FIRST]
    shown = [n for n in _SHOWN_FIRST if n in table.columns]
    shown += [n for n in others if n != "unseen_error"]
    columns = {
        "frozen bit": table["frozen_bit"].astype(str),
        "replicas": table["replicas"].astype(str),
        "excluded": table["excluded"].astype(str),
    }
    for name in shown:
        if name in ("generalization_error", "difference"):
            numbers = table[[name, f"{name}_low", f"{name}_high", "generalization_error"]]
            columns[f"{heading(name)} [95 %]"] = [
                format_interval(*row) for row in numbers.to_numpy()
            ]
        elif name == "influence":  # exact, so shown as it is: 0.46875, 113
            columns[heading(name)] = [f"{value:.6g}" for value in table[name]]
        else:
            columns[heading(name)] = [format_number(value, 3) for value in table[name]]
    return pd.DataFrame(columns, index=table.index)


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
        "[95 %]: percentile bootstrap interval of the mean over replicas, "
        f"{statistics.RESAMPLES} resamples; {MISSING} where there are fewer than two replicas.",
    ]
    if (table["replicas"] < statistics.FEW_REPLICAS).any():
        notes.append(
            f"With fewer than {statistics.FEW_REPLICAS} replicas the bootstrap interval is "
            "optimistic (too narrow); the CSV table also has Student's t interval."
        )
    for run, rows in table.groupby("run", sort=False):
        names = "; ".join(text for text in rows["excluded_replicas"] if text)
        if names:
            notes.append(f"{run}, excluded: {names}.")
    return notes


def render_text(table: pd.DataFrame) -> str:
    """Return a summary table as aligned Markdown that also reads well in a terminal."""
    shown = display_table(table)
    parts = []
    for title, index in group_titles(table):
        rows = [list(shown.columns), *shown.loc[index].to_numpy().tolist()]
        widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "| " + " | ".join(str(c).rjust(w) for c, w in zip(row, widths, strict=True)) + " |"
            for row in rows
        ]
        lines.insert(1, "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|")
        parts.append(f"### {title}\n\n" + "\n".join(lines))
    parts.append("\n".join(f"- {note}" for note in table_notes(table)))
    return "\n\n".join(parts) + "\n"


def render_latex(table: pd.DataFrame) -> str:
    """Return a summary table as a LaTeX tabular with booktabs rules, the notes as comments."""
    shown = display_table(table)
    count = len(shown.columns)
    lines = ["% needs \\usepackage{booktabs}"]
    lines += [f"% {note}" for note in table_notes(table)]
    lines += [f"\\begin{{tabular}}{{{'r' * count}}}", "\\toprule"]
    lines += [" & ".join(escape_latex(c) for c in shown.columns) + r" \\"]
    for title, index in group_titles(table):
        lines += ["\\midrule", f"\\multicolumn{{{count}}}{{l}}{{{escape_latex(title)}}} \\\\"]
        for row in shown.loc[index].to_numpy().tolist():
            lines.append(" & ".join(_latex_number(cell) for cell in row) + r" \\")
    lines += ["\\bottomrule", "\\end{tabular}", ""]
    return "\n".join(lines)


def escape_latex(text: str) -> str:
    """Return `text` with the characters that LaTeX treats specially escaped."""
    return "".join(_LATEX_ESCAPES.get(character, character) for character in text)


def _latex_number(cell: str) -> str:
    return escape_latex(cell.replace("-", "−"))
