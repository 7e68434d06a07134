"""Error over influence by model and kind of frozen bit, and what it is made of.

For pointer value retrieval pointer bits and value bits are kept apart.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from pvr_jax.reporting import statistics
from pvr_jax.reporting.definitions import heading
from pvr_jax.reporting.labels import arm_labels, natural, pointer_bits
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import (
    MARKS,
    PREDICTION,
    UNFITTED,
    explaining_theories_of,
    first_of_each,
    format_interval,
    format_number,
    theories_of,
)

READING = (
    "Means over cells, a cell being a task with a frozen bit, with 95 % intervals over seeds. Once "
    "the seen inputs are fitted, error / influence = 1 − 2·overlap + learned influence, the last "
    "two in shares of the influence; the low-degree prediction is that both are 0. ↓ and ↑: the "
    "interval lies below or above 1; †: in some cell the fit is not finished."
)

Cell = tuple[Run, int]
# A mean with the bounds of its 95 % interval.
Interval = tuple[float, float, float]


class Kind(NamedTuple):
    """What one arm measured over all cells of one kind of frozen bit; means over cells.

    `ratio` is the error over the influence with its interval over seeds; `overlap` (twice the
    overlap) and `learned` are in shares of the influence; NaN what was not measured.
    `temperature` is the degree temperature with its interval over seeds. In shares of the
    influence too, by theory: the `predicted` error, and, with its interval, what the theory's
    function `left` unexplained. `fitted`: the replicas of every cell fitted what they saw, in the
    mean.
    """

    name: str
    cells: int
    ratio: Interval
    overlap: float
    learned: float
    projection: float
    leak: float
    temperature: Interval
    predicted: dict[str, float]
    left: dict[str, Interval]
    fitted: bool


def kinds_of_bits(runs: Sequence[Run], rows: pd.DataFrame) -> list[Kind]:
    """Return pointer bits and value bits of PVR, and bits of other tasks, as far as there are any.

    `runs` and `rows` (of the summary table) belong to one arm. Bits without an influence are left
    out, and cells all of whose replicas diverged.
    """
    measured = set(zip(rows["run"], rows["frozen_bit"], strict=True))
    cells: dict[str, list[Cell]] = {"pointer bit of PVR": [], "value bit of PVR": [], "bit": []}
    for run in runs:
        pointers = pointer_bits(run)
        for bit in run.bits:
            if (run.name, bit) in measured and run.influences[bit] > 0:
                side = "pointer" if pointers is not None and bit < pointers else "value"
                cells["bit" if pointers is None else f"{side} bit of PVR"].append((run, bit))
    indexed = rows.set_index(["run", "frozen_bit"])
    return [
        _kind(name, own, indexed.loc[[(run.name, bit) for run, bit in own]])
        for name, own in cells.items()
        if own
    ]


def _kind(name: str, cells: list[Cell], rows: pd.DataFrame) -> Kind:
    def share(measure: str) -> float:
        return float((rows[measure] / rows["influence"]).mean()) if measure in rows else np.nan

    return Kind(
        name=name,
        cells=len(cells),
        ratio=_over_cells(cells, lambda run: run.measures["generalization_error"][-1], True),
        overlap=2 * share("influence_overlap"),
        learned=share("learned_influence"),
        projection=float(rows["projection"].mean()) if "projection" in rows else np.nan,
        leak=float(rows["leak"].mean()) if "leak" in rows else np.nan,
        temperature=_over_cells(cells, lambda run: _last(run, "degree_temperature"), False),
        predicted={name: share(f"{PREDICTION}{name}") for name in theories_of(rows)},
        left={
            name: _over_cells(cells, lambda run, name=name: run.unexplained.get(name), True)
            for name in explaining_theories_of(rows)
        },
        fitted=bool((rows["fit"] == "finished").all()),
    )


def _last(run: Run, measure: str) -> np.ndarray | None:
    return run.measures[measure][-1] if measure in run.measures else None


def _over_cells(
    cells: Sequence[Cell], values_of: Callable[[Run], np.ndarray | None], shares: bool
) -> Interval:
    """Return the mean over cells with its interval over seeds; of shares of the influence or not.

    `values_of(run)` are float[R] of its replicas, or None where it has none.
    """
    values = cell_values(cells, values_of)
    if shares:
        values = values / np.array([[run.influences[bit]] for run, bit in cells])
    return statistics.mean_over_cells(values), *statistics.interval_over_seeds(values)


def cell_values(cells: Sequence[Cell], values_of: Callable[[Run], np.ndarray | None]) -> np.ndarray:
    """Return values [C, S] per cell and seed, NaN where a seed does not count."""
    found = []
    for run, bit in cells:
        values = values_of(run)
        kept = [] if values is None else run.counted(bit)
        found.append({run.replicas[i].seed: values[i] for i in kept})
    seeds = sorted({seed for values in found for seed in values})
    return np.array(
        [[values.get(seed, np.nan) for seed in seeds] for values in found], float
    ).reshape(len(found), len(seeds))


def by_arm(runs: Sequence[Run], cells: pd.DataFrame) -> list[tuple[str, list[Run], pd.DataFrame]]:
    """Return every arm of a study with its runs and its rows of the comparison's `cells`."""
    arms = arm_labels(runs)
    return [
        (arm, [run for run in runs if arms[run.name] == arm], cells[cells["arm"] == arm])
        for arm in sorted(set(arms.values()), key=natural)
    ]


def kinds_by_arm(runs: Sequence[Run], cells: pd.DataFrame) -> list[tuple[str, Kind]]:
    """Return every arm of a study with each of its kinds of frozen bits."""
    return [
        (arm, kind)
        for arm, own, rows in by_arm(runs, cells)
        for kind in kinds_of_bits(own, rows[rows["replicas"] > 0])
    ]


def named_columns(arm: str, kind: Kind) -> dict[str, str]:
    """Return the first columns of a row about a kind of frozen bits: which, and its error."""
    return {
        "model": arm,
        "frozen": f"{kind.name.replace(' of PVR', '')}s",
        "cells": str(kind.cells),
        "error / influence [95 %]": format_interval(*kind.ratio) + _mark(kind),
    }


def kinds_table(runs: Sequence[Run], cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row of text per arm and kind of frozen bit; `cells` are the comparison's."""
    table = pd.DataFrame(
        [
            named_columns(arm, kind)
            | {
                "2·overlap": format_number(kind.overlap, 3),
                heading("learned_influence"): format_number(kind.learned, 3),
                heading("projection"): format_number(kind.projection, 3),
                heading("leak"): format_number(kind.leak, 3),
                f"{heading('degree_temperature')} [95 %]": format_interval(*kind.temperature),
            }
            for arm, kind in kinds_by_arm(runs, cells)
        ]
    )
    if len(table):
        table["model"] = first_of_each(table, "model")
    return table


def _mark(kind: Kind) -> str:
    _, low, high = kind.ratio
    if not kind.fitted:
        return UNFITTED
    return MARKS["below"] if high < 1 else MARKS["above"] if low > 1 else "  "
