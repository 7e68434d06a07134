"""The figure of confusion matrices."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pvr_jax.reporting.accuracy.cells import PARTS, Cell
from pvr_jax.reporting.accuracy.confusion import shares, shown_cells
from pvr_jax.reporting.accuracy.labels import panel_title
from pvr_jax.reporting.accuracy.shown import grouped
from pvr_jax.reporting.drawing import PALE, plain
from pvr_jax.results.statistics import mean

MOST_NUMBERS = 12  # classes up to which the shares are written into the matrix
_COLUMNS = 4
_DARK = 0.55  # the share from which numbers are white


def confusion_matrices(cells: Sequence[Cell]) -> Figure:
    """Draw the shares of every true class by predicted class, in percent, means over seeds.

    A panel per task and part, of the largest training set; grey rows have no test sample.
    """
    chosen = shown_cells(cells)
    columns = 2 if len(chosen) == 4 else min(len(chosen), _COLUMNS)
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(max(2.45 * columns + 0.6, 4.2), 2.55 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in grid[len(chosen) :]:
        axis.set_visible(False)
    image = None
    for place, (axis, (cell, part)) in enumerate(zip(grid, chosen, strict=False)):
        matrix = mean(np.moveaxis(shares(cell, part), 0, -1))
        known = _known(matrix)
        matrix = matrix[:known, :known]
        axis.set_facecolor(PALE)
        image = axis.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        if known <= MOST_NUMBERS:
            _write_numbers(axis, matrix)
            axis.set_xticks(range(known))
            axis.set_yticks(range(known))
        axis.tick_params(length=0, labelsize=6)
        axis.set_title(plain(_title(cell, part, cells)), loc="left", fontsize=7)
        if place % columns == 0:
            axis.set_ylabel("true class")
        if place + columns >= len(chosen):
            axis.set_xlabel("predicted class")
    bar = figure.colorbar(image, ax=list(grid), fraction=0.03, pad=0.01, shrink=0.6)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return figure


def _write_numbers(axis: Axes, matrix: np.ndarray) -> None:
    for (true, predicted), share in np.ndenumerate(matrix):
        if np.isfinite(share) and round(100 * share) > 0:
            axis.text(
                predicted,
                true,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=5,
                color="white" if share > _DARK else "#222222",
            )


def _known(matrix: np.ndarray) -> int:
    """Return how many classes are shown: all of a few, of many those up to the last that occurs."""
    if len(matrix) <= MOST_NUMBERS:
        return len(matrix)
    occurring = np.nan_to_num(matrix) > 0
    return 1 + int(np.flatnonzero(occurring.any(axis=0) | occurring.any(axis=1)).max(initial=0))


def _title(cell: Cell, part: str, cells: Sequence[Cell]) -> str:
    third, count = PARTS[part], cell.subtask.withheld
    if part == "withheld" and cell.subtask.complexity is not None:
        third = f"{third} ({count} permutation{'s' if count > 1 else ''})"
    size = "fresh" if cell.samples is None else f"{grouped(cell.samples)} samples"
    return panel_title(cell.arm, [cell.subtask.words, third, size], cells, 2.3)
