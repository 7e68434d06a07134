"""Which classes are taken for which: shares of every true class, means over seeds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting.accuracy.cells import (
    PARTS,
    Cell,
    largest_sets,
    least_withheld,
    mean_interval,
)
from pvr_jax.reporting.accuracy.shown import accuracy_text, row_titles

MOST_SHOWN = 8
MOST_CLASSES = 12  # of a table of recalls


def shares(cell: Cell, part: str) -> np.ndarray:
    """Return the row-normalised confusion [r, C, C] of a part, true classes in rows.

    NaN of replicas that diverged, and of classes that no test sample has.
    """
    counts = np.where(cell.counted[:, None, None], cell.confusion[part], np.nan)
    totals = counts.sum(axis=2, keepdims=True)
    return counts / np.where(totals > 0, totals, np.nan)


def recalls(cell: Cell, part: str) -> np.ndarray:
    """Return the recall of every class and counted replica [C, R], NaN of no class."""
    return np.diagonal(shares(cell, part), axis1=1, axis2=2).T


def has(cell: Cell, part: str) -> bool:
    """Return whether a replica that counts has a confusion matrix of this part."""
    return bool(np.isfinite(cell.confusion[part][cell.counted]).any())


def shown_cells(cells: Sequence[Cell]) -> list[tuple[Cell, str]]:
    """Return the cells and parts that are shown, at most `MOST_SHOWN`, with the largest sets.

    i.i.d. of what withholds least, withheld of all that withhold something; of too many, as many
    as are shown, evenly spread.
    """
    least = least_withheld(cells)
    found = [
        (cell, part)
        for cell in largest_sets(cells)
        for part in PARTS
        if has(cell, part) and (part == "withheld" or cell in least)
    ]
    if len(found) <= MOST_SHOWN:
        return found
    places = np.linspace(0, len(found) - 1, MOST_SHOWN).round().astype(int)
    return [found[place] for place in places]


def confusion_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per cell, part, true and predicted class: mean count and share of the class.

    Shares are of the samples of the true class, with the bounds of their 95 % intervals over seeds.
    Classes that no test sample has are left out.
    """
    rows: list[pd.DataFrame] = []
    for cell in cells:
        for part in PARTS:
            if not has(cell, part):
                continue
            counts = np.nanmean(cell.confusion[part][cell.counted], axis=0)
            mean, low, high = mean_interval(np.moveaxis(shares(cell, part), 0, -1))
            true, predicted = np.nonzero(np.isfinite(mean))
            at = (true, predicted)
            columns = {
                "true": true,
                "predicted": predicted,
                "count": counts[at],
                "share": mean[at],
                "low": low[at],
                "high": high[at],
            }
            rows.append(pd.DataFrame(_named(cell, part) | columns))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def recall_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per cell, part and class: its mean recall and the 95 % interval over seeds."""
    rows: list[pd.DataFrame] = []
    for cell in cells:
        for part in PARTS:
            if not has(cell, part):
                continue
            mean, low, high = mean_interval(recalls(cell, part))
            known = np.flatnonzero(np.isfinite(mean))
            columns = {"class": known, "recall": mean[known]}
            columns |= {"low": low[known], "high": high[known]}
            rows.append(pd.DataFrame(_named(cell, part) | columns))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _named(cell: Cell, part: str) -> dict[str, object]:
    """Return the columns that name a cell and a part."""
    return {
        "run": cell.run,
        "aggregation": cell.subtask.aggregation or "",
        "complexity": "" if cell.subtask.complexity is None else cell.subtask.complexity,
        "withheld": cell.subtask.withheld,
        "samples": cell.samples_words,
        "learning_rate": cell.arm.learning_rate,
        "init_scale": cell.arm.init_scale,
        "part": part,
    }


def shown_recalls(cells: Sequence[Cell]) -> pd.DataFrame | None:
    """Return the recalls of the shown cells as text, a column per class; None of too many."""
    chosen = shown_cells(cells)
    found = [recalls(cell, part) for cell, part in chosen]
    known = sorted({c for own in found for c in np.flatnonzero(np.isfinite(own).any(axis=1))})
    if not 0 < len(known) <= MOST_CLASSES:
        return None
    columns = row_titles([(cell.arm, cell.subtask) for cell, _ in chosen], cells)
    if any(cell.subtask.withheld for cell in cells):
        columns["withheld"] = [str(cell.subtask.withheld) for cell, _ in chosen]
    columns["part"] = [PARTS[part] for _, part in chosen]
    for label in known:
        columns[str(label)] = [accuracy_text(own[label], decimals=1) for own in found]
    return pd.DataFrame(columns)
