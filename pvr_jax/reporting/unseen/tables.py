"""The tables as text: errors on the unseen inputs, what was learned there, the coefficients."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.number_text import exact
from pvr_jax.reporting.labels import label_notes, short_labels
from pvr_jax.reporting.latex import escape_latex
from pvr_jax.reporting.tables import (
    BY_SEED,
    MISSING,
    UNFITTED,
    excluded_notes,
    format_exact,
    format_interval,
    format_number,
)
from pvr_jax.reporting.unseen.cells import (
    ERROR,
    UNFITTED_SHARE,
    judged_confidence,
    theories_of,
)
from pvr_jax.reporting.unseen.definitions import UNEXPLAINED, heading
from pvr_jax.reporting.unseen.labels import arm_names, in_order, task_names, task_notes
from pvr_jax.reporting.unseen.runs import MIN_DEGREE, Cell
from pvr_jax.results import statistics

TITLES = {
    "table": "Errors on the unseen inputs",
    "explanation": "What was learned on the unseen inputs",
    "degrees": "Degrees of what was learned",
    "coefficients": "Coefficients of the monomials in target or MDI",
}
LARGE = 1e5  # from here numbers are written with an exponent
# Numbers whose scale is 1: they need no digits beyond the fourth decimal.
SHARES = ("distance_share", "error_share", "dropped_share", "degree_temperature")
SMALLEST_SHARE = 0.1
_NEGATIVE_ZERO = re.compile(r"-(0\.0+)(?![0-9e])")


def shown_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Return the errors of a cell table as text under full headings, same row order."""
    columns = _named(table) | {
        "replicas": [str(value) for value in table["replicas"]],
        "excluded": [str(value) for value in table["excluded"]],
        heading("in_distribution_error"): [
            f"{format_number(error, 3)}{UNFITTED if fit == 'unfinished' else ''}"
            for error, fit in zip(table["in_distribution_error"], table["fit"], strict=True)
        ],
        _interval_heading("unseen_error"): _intervals(table, "unseen_error"),
    }
    for name in theories_of(table):
        write = format_exact if name == MIN_DEGREE else format_number
        title = f"{heading(name)}'s unseen error"
        columns[title] = [write(value) for value in table[f"{name}{ERROR}"]]
    return pd.DataFrame(columns)


def shown_explanation(table: pd.DataFrame) -> pd.DataFrame:
    """Return what a cell table says of the learned function as text, same row order.

    Columns without any value are left out.
    """
    columns = _named(table, domain=False)
    columns[_interval_heading("unseen_distance")] = _intervals(table, "unseen_distance")
    if table["distance_share"].notna().any():
        columns[_interval_heading("distance_share")] = _intervals(table, "distance_share")
    for name in theories_of(table):
        column = f"{UNEXPLAINED}{name}"
        if name != MIN_DEGREE and table[column].notna().any():
            columns[f"distance to {heading(name)} [95 %]"] = _intervals(table, column)
    if table["dropped_share"].notna().any():
        columns[_interval_heading("dropped_share")] = _intervals(table, "dropped_share")
    return pd.DataFrame(columns)


def shown_degrees(table: pd.DataFrame) -> pd.DataFrame | None:
    """Return what a cell table says of degrees as text, same row order; None where nothing."""
    columns = _named(table, domain=False)
    names = list(columns)
    if table["degree_temperature"].notna().any():
        columns[_interval_heading("degree_temperature")] = _intervals(table, "degree_temperature")
    if table["highest_degree"].notna().any():
        columns["r"] = [format_exact(degree) for degree in table["highest_degree"]]
        columns[_interval_heading("mass_above")] = _intervals(table, "mass_above")
        columns["target's mass there"] = [format_exact(mass) for mass in table["target_mass_above"]]
    return pd.DataFrame(columns) if len(columns) > len(names) else None


def shown_coefficients(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of coefficients as text under full headings, same row order."""
    columns = _named(table, domain=False) | {
        "monomial": list(table["monomial"]),
        "target": [format_exact(value) for value in table["target"]],
        heading(MIN_DEGREE): [format_exact(value) for value in table[MIN_DEGREE]],
    }
    first = list(table.columns).index("fit") + 1
    for name in table.columns[first : list(table.columns).index("learned")]:
        if table[name].notna().any():
            columns[heading(name)] = [format_number(value, 3) for value in table[name]]
    columns["learned [95 %]"] = [
        interval_text(
            row.learned,
            row.learned_low,
            row.learned_high,
            max(abs(row.learned), min(1.0, max(abs(row.target), abs(row.min_degree)))),
        )
        + row.learned_by_seed
        for row in table.itertuples()
    ]
    return pd.DataFrame(columns)


def table_notes(cells: Sequence[Cell], table: pd.DataFrame) -> list[str]:
    """Return the notes under the tables: losses, intervals, tasks, what is left out."""
    losses = " / ".join(dict.fromkeys(table["loss"]))
    notes = [
        f"Errors and distances are {losses}s at the last evaluation, mean over replicas; the "
        "published code prints full squared errors, which are twice these.",
        f"[95 %]: {statistics.INTERVAL_WORDS}. Coefficients, margins and the dropped monomials "
        "learned are any real number.",
    ]
    if (table.filter(regex=f"{BY_SEED}$") != "").any(axis=None):
        notes.append(
            f"In parentheses: the values of fewer than {statistics.FEW_SEEDS} seeds, or, where the "
            "seeds fall into two groups, the number and the mean of each: the mean of all "
            "describes neither."
        )
    if (table["nearer"] != "").any():
        notes.append(
            "Whether networks end nearer to the MDI or to the target, and closer than a tenth, is "
            f"read from intervals with {100 * judged_confidence(cells):.4g} % each, which hold for "
            "all settings at once with 95 %."
        )
    if (table["fit"] == "unfinished").any():
        notes.append(
            f"†: the in-distribution error is above {100 * UNFITTED_SHARE:.0f} % of ½ E f², the "
            "error of the zero function: the fit is not finished, and nothing is judged."
        )
    if unknown := sorted({c.directory.name for c in cells if math.isnan(c.mean_square)}):
        notes.append(
            "½ E f² is not known, so whether the seen inputs are fitted is not either, and nothing "
            "is judged: an earlier version analysed these. Remove analyse.done and predict.done "
            f"there and give the command of the run again: {', '.join(unknown)}."
        )
    if ((table["fit"] == "not measured") & table["target_mean_square"].notna()).any():
        notes.append(
            f"{MISSING} as in-distribution error: whether the seen inputs are fitted was not "
            "measured, and nothing is judged."
        )
    notes += [
        f"Distance to {heading(name)}: ½ E(g − h)² over the unseen inputs, h being what the "
        f"{heading(name)} learns."
        for name in theories_of(table)
        if name != MIN_DEGREE
    ]
    if theories_of(table):
        notes.append(
            "Distance / MDI's error: 0 for the MDI, 1 for the target. Dropped monomials learned: "
            "0 as the MDI, 1 as the target."
        )
    if table["highest_degree"].notna().any():
        notes.append("r: the degree of the MDI; mass above it: 0 as the MDI.")
    notes += task_notes(cells)
    notes += _undefined(cells)
    without = [cell for cell in cells if not cell.theories and not cell.not_defined]
    if unpredicted := sorted({cell.directory.name for cell in without}):
        notes.append(
            f"Without predictions (./launch.sh run --stage=predict): {', '.join(unpredicted)}."
        )
    notes += label_notes(short_labels(table["model_label"].unique()))
    return notes + excluded_notes(table)


def render_latex(parts: Sequence[tuple[str, pd.DataFrame]], notes: Sequence[str]) -> str:
    """Return titled tables of text as LaTeX tabulars with booktabs rules, the notes as comments."""
    lines = ["% needs \\usepackage{booktabs}"]
    lines += [f"% {note}" for note in notes]
    for title, shown in parts:
        alignment = "".join("l" if name in ("task", "model") else "r" for name in shown.columns)
        lines += [f"% {title}", f"\\begin{{tabular}}{{{alignment}}}", "\\toprule"]
        lines += [" & ".join(_latex(name) for name in shown.columns) + r" \\", "\\midrule"]
        lines += [
            " & ".join(_latex(cell.replace("-", "−")) for cell in row) + r" \\"
            for row in shown.to_numpy().tolist()
        ]
        lines += ["\\bottomrule", "\\end{tabular}", ""]
    return "\n".join(lines)


def interval_text(value: float, low: float, high: float, scale: float | None = None) -> str:
    """Return `value [low, high]`, large numbers with an exponent; see `tables.format_interval`."""
    if not abs(value) >= LARGE:
        return _NEGATIVE_ZERO.sub(r"\1", format_interval(value, low, high, scale))
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{format_number(value)} [{MISSING}]"
    return f"{format_number(value)} [{format_number(low)}, {format_number(high)}]"


def row_interval(row: pd.Series, name: str) -> str:
    """Return a column of one row of a cell table with its interval."""
    scale = max(abs(row[name]), SMALLEST_SHARE) if name in SHARES else None
    return interval_text(row[name], row[f"{name}_low"], row[f"{name}_high"], scale)


def _named(table: pd.DataFrame, domain: bool = True) -> dict[str, list[str]]:
    """Return the columns that name a cell, with `domain` also the share of inputs that it saw.

    Without, a model whose fit is not finished is marked: its in-distribution error is elsewhere.
    """
    columns = {"task": list(table["task_short"])}
    if domain:
        columns["seen"] = [f"{100 * share:.3g} %" for share in table["seen_fraction"]]
    marks = np.where((table["fit"] == "unfinished") & (not domain), UNFITTED, "")
    columns["model"] = [f"{arm}{mark}" for arm, mark in zip(table["arm"], marks, strict=True)]
    columns["learning rate"] = [_setting(value) for value in table["learning_rate"]]
    if table["init_scale"].nunique() > 1:
        columns["init scale"] = [_setting(value) for value in table["init_scale"]]
    return columns


def _setting(value: float) -> str:
    return exact(value) if math.isfinite(value) else MISSING


def _intervals(table: pd.DataFrame, name: str) -> list[str]:
    return [row_interval(row, name) + row[f"{name}{BY_SEED}"] for _, row in table.iterrows()]


def _undefined(cells: Sequence[Cell]) -> list[str]:
    """Return a note per theory and reason why it predicts nothing for some tasks and models."""
    tasks, arms = task_names(cells), arm_names(cells)
    where: dict[tuple[str, str], list[str]] = {}
    for cell in in_order(cells):
        for name, reason in cell.not_defined.items():
            key = (heading(name), reason.rstrip("."))
            where.setdefault(key, []).append(f"{tasks[cell.name]}, {arms[cell.name]}")
    return [
        f"{name}, not computed for {'; '.join(dict.fromkeys(places))}: {reason}."
        for (name, reason), places in where.items()
    ]


def _interval_heading(name: str) -> str:
    return f"{heading(name)} [95 %]"


def _latex(text: str) -> str:
    escaped = escape_latex(text)
    for character, command in {"†": r"$\dagger$", "·": r"$\cdot$", "…": r"\ldots{}"}.items():
        escaped = escaped.replace(character, command)
    return escaped
