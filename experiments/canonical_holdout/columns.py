"""Columns specific to this report: verdicts and predictions."""

from collections.abc import Mapping

import numpy as np

from experiments.canonical_holdout.frames import ERROR
from pvr_jax.reporting import columns
from pvr_jax.reporting.columns import Cell, Column, Context, Group, Mark, values_by_cell
from pvr_jax.reporting.numbers import MISSING, interval, number
from pvr_jax.results import statistics
from pvr_jax.results.verdicts import Decision

SIGNS = {"below": "↓", "above": "↑", "undecided": "?", "unfinished": "†"}
WORDS = {
    "unfinished": "none, not finished",
    "one": "none, one seed",
    "groups": "none, two groups",
    "constant": "none, equal seeds",
}


def verdict_of(group: Group, context: Context) -> Decision:
    """Compare the error with the influence, in shares of the influence.

    An influence of 0 is exceeded if the unseen inputs add to the error of the seen ones.
    """
    if (group["influence"] == 0).all():
        return columns.judged(group, values_by_cell(group, "added", context))
    values, margin = values_by_cell(group, ERROR, context, per="unit"), group["margin"].min()
    return columns.judged(group, values, 1.0, "positive", margin)


def sign(decision: Decision) -> str:
    """Return the sign of a verdict: = ↓ ↑ ? or, if the fit is not finished, †."""
    if decision.verdict == "equal":
        return "=" + SIGNS.get(decision.differs, "")
    return SIGNS.get(decision.verdict, "")


def in_short(decision: Decision) -> str:
    """Return a verdict in words; of an equal mean, also the side on which it lies."""
    found = WORDS.get(decision.verdict, decision.verdict)
    return f"{found}, {decision.differs}" if found == "equal" and decision.differs else found


def mark(group: Group, context: Context, cell: Cell) -> str:
    """Mark an error by the sign of its verdict."""
    found = sign(verdict_of(group, context)) if np.isfinite(cell.sort) else ""
    return f" {found}" if found else ""


def _verdict(group: Group, context: Context) -> Cell:
    found = verdict_of(group, context)
    looked = f" ({found.seeds} seeds)" if columns.looks_of(group) and found.seeds else ""
    values = {"_seeds": found.seeds, "_low": found.low, "_high": found.high}
    return Cell(in_short(found) + looked, {"": found.verdict, **values})


verdict = Column(
    "verdict",
    _verdict,
    about="Error against influence, by one interval that holds for all rows at once with 95 %.",
)
_IN_FIGURES = str.maketrans("↓↑", "▼▲")  # arrows are too thin there


def _signed(group: Group, context: Context) -> Cell:
    found = verdict_of(group, context)
    words = f"{in_short(found)}, {found.seeds} seeds"
    return Cell(sign(found).translate(_IN_FIGURES), {"": words})


# What stands above a mean in a figure, and its words in the tooltip.
signed = Column("verdict", _signed)


def in_words(sentences: Mapping[str, str]) -> Column:
    """The verdict as a sentence, by verdict; of an equal mean, also the side on which it lies."""

    def cell(group: Group, context: Context) -> Cell:
        found = verdict_of(group, context)
        though = (
            f", and is {found.differs} it" if found.verdict == "equal" and found.differs else ""
        )
        return Cell(sentences.get(found.verdict, "no verdict") + though)

    return Column("verdict", cell)


def predicted(theory: str) -> Column:
    """The predicted error, with its standard error over initializations."""

    def cell(group: Group, context: Context) -> Cell:
        value = statistics.mean_over_cells(values_by_cell(group, f"predicted_{theory}", context))
        error = np.nan
        if (name := f"se_{theory}") in group:
            error = statistics.mean_over_cells(values_by_cell(group, name, context))
        text = number(value)
        if np.isfinite(value) and error > 0:
            decimals = min(max(1 - int(np.floor(np.log10(error))), 0), 9)
            text = f"{value:.{decimals}f} ± {error:.{decimals}f}"
        return Cell(text, {"": value, "_se": error})

    return Column(f"predicted_{theory}", cell, (f"predicted_{theory}",))


def deviation(theory: str) -> Column:
    """The largest relative deviation of a replica's error from its prediction."""

    def cell(group: Group, context: Context) -> Cell:
        apart = (group[ERROR] / group[f"predicted_{theory}"] - 1).abs().max()
        return Cell(f"{apart:.1e}" if np.isfinite(apart) else MISSING, {"": apart})

    about = "The largest |error / predicted error − 1| of a replica."
    return Column(f"deviation_{theory}", cell, (f"predicted_{theory}",), about)


def _difference(group: Group, context: Context) -> Cell:
    values = values_by_cell(group, ERROR, context)
    center, influence = statistics.mean_over_cells(values), float(group["influence"].iloc[0])
    bounds = (center, *statistics.interval_over_seeds(values, "positive"))
    parts = [bound - influence for bound in bounds]
    # Decimals of the error.
    decimals = 3 - int(np.floor(np.log10(center))) if center > 0 else 3
    text = interval(*parts, decimals=decimals)
    return Cell(text, dict(zip(("", "_low", "_high"), parts, strict=True)))


difference = Column("difference", _difference, ("difference",))


def _cells(group: Group, context: Context) -> Cell:
    count = len(group[["task", "frozen_bit"]].drop_duplicates())
    return Cell(str(count), {"": count})


cells = Column("cells", _cells, about="A cell is a task with a frozen bit.")


def of_some(name: str) -> Mark:
    """Say how many cells a number is over, if not all."""

    def words(group: Group, context: Context, cell: Cell) -> str:
        known = np.isfinite(values_by_cell(group, name, context)).any(axis=1)
        return f" ({known.sum()} of {len(known)} cells)" if 0 < known.sum() < len(known) else ""

    return words


def share_of_some(name: str) -> Column:
    """The mean over cells in shares of the influence, and the number of cells if not all."""
    return columns.number(name, digits=3, per="unit", mark=of_some(name))
