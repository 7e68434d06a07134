"""Columns specific to this report: predictions, differences, cells."""

import numpy as np

from experiments.canonical_holdout.frames import ERROR, LEFT, NOISE
from pvr_jax.reporting import columns
from pvr_jax.reporting.columns import Cell, Column, Context, Group, Mark, values_by_cell
from pvr_jax.reporting.numbers import MISSING, interval, number
from pvr_jax.results import statistics


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


def _nearest(group: Group, context: Context) -> Cell:
    texts = [
        columns.smallest(names, per="unit").cell(group, context).text
        for names in (LEFT, LEFT | NOISE)
    ]
    if texts[0] != MISSING:
        return Cell(
            "Nearest of the theories: {}; with the noise kernel, ρ fitted: {}.".format(*texts)
        )
    if texts[1] != MISSING:
        return Cell(f"Nearest of influence and noise kernel, ρ fitted: {texts[1]}.")
    return Cell("Theories are not compared.")


nearest_in_words = Column("nearest_in_words", _nearest)
