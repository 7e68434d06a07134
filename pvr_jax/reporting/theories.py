"""Which theory explains what was learned, and what tells why: the tables beside the errors."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting.definitions import heading, left_by
from pvr_jax.reporting.kinds import Kind, kinds_by_arm, named_columns
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import (
    MISSING,
    UNEXPLAINED,
    explaining_theories_of,
    first_of_each,
    format_exact,
    format_number,
    interval_column,
    prediction_columns,
    render_markdown,
    where,
)
from pvr_jax.reporting.verdicts import NOT_FITTED, not_fitted

THEORY_TITLE = "Which theory explains it"
CELLS_TITLE = "Errors and predictions, cell by cell"
REASONS_TITLE = "Why: what was learned off the support"
READING = (
    "Left by a theory: half the mean squared distance, over the whole cube, between the learned "
    "function and the one that the theory predicts, mean over replicas with its 95 % interval. "
    "Influence: the min-degree interpolator, which does not use the frozen bit; NTK: regression "
    "with the tangent kernel, as lazy training has it. Nearest: what leaves the least, with all "
    "that a paired interval over seeds does not tell apart from it. Degree temperature: 0 as the "
    "min-degree interpolator, 1 without preference for low degree."
)
REASONS_READING = (
    "Means over replicas. Exactly, error = influence − 2·overlap + learned influence + not fitted, "
    "which is what differences on the seen inputs add; the low-degree prediction is that all three "
    "are 0."
)
STUDY_READING = (
    "Means over cells, with 95 % intervals over seeds, in shares of the influence: the error, what "
    "each theory predicts it to be (the influence predicts 1), and what it leaves unexplained, "
    "half the mean squared distance between the learned function and the one it predicts. Rows of "
    "influence 0 hold absolute numbers. Nearest: what leaves the least in the cells that all "
    "theories explain, with all that a paired interval over seeds does not tell apart from it."
)
# In the table of errors, or of no use beside it.
_ELSEWHERE = {
    "in_distribution_error",
    "generalization_error",
    "unseen_error",
    "difference",
    "judged",
}


def theory_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far each theory's function is from what was learned, as text, row by row.

    `table` is a summary table; empty where no theory was compared with it.
    """
    names = explaining_theories_of(table)
    if not names:
        return pd.DataFrame()
    columns = {"frozen bit": table["frozen_bit"].astype(str)}
    if (temperature := "degree_temperature") in table:
        columns |= interval_column(table, temperature, heading(temperature))
    for name in names:
        columns |= interval_column(table, f"{UNEXPLAINED}{name}", left_by(name))
    columns["nearest"] = table["nearest"]
    return pd.DataFrame(columns, index=table.index)


def cell_theories(cells: pd.DataFrame, errors: Sequence[str]) -> pd.DataFrame:
    """Return a row of text per task, frozen bit and arm: its error, every prediction, what is left.

    `cells` are the comparison's and `errors` their errors as text; empty where no theory was
    compared with what was learned.
    """
    if not explaining_theories_of(cells):
        return pd.DataFrame()
    first = ~cells.duplicated(["task_short", "frozen_bit"])
    columns = {
        "task": first_of_each(cells, "task_short"),
        "frozen bit": where(first, cells["frozen_bit"].map(str)),
        "model": list(cells["arm"]),
        "generalization error [95 %]": list(errors),
        heading("influence"): [format_exact(value) for value in cells["influence"]],
        **prediction_columns(cells),
    }
    left = theory_table(cells).drop(columns="frozen bit")
    return pd.DataFrame(columns | {name: list(left[name]) for name in left})


def reasons_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return every other measure of a summary table as text, row by row.

    The degree temperature is among them only where `theory_table` is empty.
    """
    names = [column.removesuffix("_low") for column in table if column.endswith("_low")]
    elsewhere = _ELSEWHERE | ({"degree_temperature"} if explaining_theories_of(table) else set())
    columns = {"frozen bit": table["frozen_bit"].astype(str)}
    for name in names:
        if name not in elsewhere and not name.startswith(UNEXPLAINED):
            columns[heading(name)] = [format_number(value, 3) for value in table[name]]
    rest = not_fitted(table)
    if rest.notna().any():
        columns[NOT_FITTED] = [format_number(value, 3) for value in rest]
    return pd.DataFrame(columns, index=table.index)


def render_theory(table: pd.DataFrame) -> str:
    """Return `theory_table` as aligned Markdown with a title and how to read it."""
    return f"### {THEORY_TITLE}\n\n{render_markdown(theory_table(table))}\n{READING}\n"


def render_reasons(table: pd.DataFrame) -> str:
    """Return `reasons_table` as aligned Markdown with a title and how to read it."""
    shown = render_markdown(reasons_table(table))
    return f"### {REASONS_TITLE}\n\n{shown}\n{REASONS_READING}\n"


def study_theories(runs: Sequence[Run], cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row of text per arm and kind of frozen bit: what theories predict, and leave.

    `cells` are the comparison's; empty where no theory was compared with what was learned.
    """
    names = explaining_theories_of(cells)
    if not names:
        return pd.DataFrame()
    table = pd.DataFrame(
        [
            named_columns(arm, kind)
            | {
                f"{heading(name)} / influence": format_number(kind.predicted.get(name, np.nan), 3)
                + _some_cells(kind, name)
                for name in names
                if name != "influence"
            }
            | {
                f"{left_by(name)} [95 %]": str(kind.left.get(name, MISSING))
                + _some_cells(kind, name)
                for name in names
            }
            | {"nearest": kind.nearest}
            for arm, kind in kinds_by_arm(runs, cells)
        ]
    )
    if len(table):
        table["model"] = first_of_each(table, "model")
    return table


def _some_cells(kind: Kind, theory: str) -> str:
    """Say of how many of its cells a kind's numbers about a theory are, where it is not all."""
    explained = kind.explained.get(theory, 0)
    return f" ({explained} of {kind.cells} cells)" if 0 < explained < kind.cells else ""
