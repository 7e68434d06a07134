"""Error over influence by model and kind of frozen bit, and what it is made of.

For pointer value retrieval pointer bits and value bits are kept apart.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from pvr_jax.reporting.definitions import PREDICTIONS, THEORIES, heading, ordered
from pvr_jax.reporting.labels import arm_labels, bits_in_words, natural, pointer_bits
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import (
    MARKS,
    PREDICTION,
    UNFITTED,
    first_of_each,
    format_interval,
    format_number,
    seeds_text,
    theories_of,
)
from pvr_jax.reporting.verdicts import NOT_FITTED, nearest, not_fitted
from pvr_jax.results import statistics

READING = (
    "Means over cells, a cell being a task with a frozen bit, with 95 % intervals over seeds. "
    "Exactly, error / influence = 1 − 2·overlap + learned influence + not fitted, all in shares of "
    "the influence; not fitted is what differences on the seen inputs add. The low-degree "
    "prediction is that all three are 0. Rows of influence 0, which nothing can be divided by, "
    "hold absolute numbers, without the 1. ↓ and ↑: the interval "
    "that holds for all rows at once lies below or above 1 (of influence 0: the unseen inputs add "
    "to the error of the seen ones). †: in some cell the fit is not finished or not measured, so "
    "there is no verdict."
)

NO_INFLUENCE = "bits of influence 0"

Cell = tuple[Run, int]


class Interval(NamedTuple):
    """A mean over cells with the bounds of its 95 % interval, and its `seeds_text`."""

    mean: float
    low: float
    high: float
    by_seed: str

    def __str__(self) -> str:
        return format_interval(self.mean, self.low, self.high) + self.by_seed


class Kind(NamedTuple):
    """What one arm measured over all cells of one kind of frozen bit; means over cells.

    `ratio` is the error over the influence; `overlap` (twice the overlap), `learned` and
    `not_fitted` are in shares of the influence, and ratio = 1 − overlap + learned + not_fitted;
    NaN what was not measured. `temperature` is the degree temperature.
    In shares of the influence too, by theory: the `predicted` error, and,
    with its interval, what the theory's function `left` unexplained, of as many cells as it is
    defined for, `explained`; `nearest` are those that leave the least of the cells that all
    explain, as text. With `absolute` the influence of all cells is 0, and what is a share
    elsewhere is an absolute number. `fitted`: the replicas of every cell fitted what they saw, in
    the mean. `verdict`: where the ratio lies against 1, as in `tables.summary_table`.
    """

    name: str
    cells: int
    ratio: Interval
    overlap: float
    learned: float
    not_fitted: float
    projection: float
    leak: float
    temperature: Interval
    predicted: dict[str, float]
    left: dict[str, Interval]
    explained: dict[str, int]
    nearest: str
    absolute: bool
    fitted: bool
    verdict: str


def kinds_by_arm(runs: Sequence[Run], cells: pd.DataFrame) -> list[tuple[str, Kind]]:
    """Return every arm of a study with each of its kinds of frozen bits.

    These are bits without influence, pointer bits and value bits of PVR, and bits of other tasks,
    as far as there are any. Cells all of whose replicas diverged are left out.
    """
    found = [
        (arm, name, own, rows)
        for arm, runs_of_arm, rows in by_arm(runs, cells)
        for name, own in _cells_by_kind(runs_of_arm, rows[rows["replicas"] > 0]).items()
    ]
    confidence = statistics.simultaneous(len(found))
    kinds = []
    for arm, name, own, rows in found:
        indexed = rows.set_index(["run", "frozen_bit"])
        chosen = indexed.loc[[(run.name, bit) for run, bit in own]]
        kinds.append((arm, _kind(name, own, chosen, confidence)))
    return kinds


def _cells_by_kind(runs: Sequence[Run], rows: pd.DataFrame) -> dict[str, list[Cell]]:
    cells: dict[str, list[Cell]] = {}
    for run, bit in cells_of(runs, rows):
        pointers = pointer_bits(run)
        side = "pointer" if pointers is not None and bit < pointers else "value"
        name = "bit" if pointers is None else f"{side} bit of PVR"
        if run.influences[bit] == 0:
            name = NO_INFLUENCE
        cells.setdefault(name, []).append((run, bit))
    order = (NO_INFLUENCE, "pointer bit of PVR", "value bit of PVR", "bit")
    return {name: cells[name] for name in order if name in cells}


def _kind(name: str, cells: list[Cell], rows: pd.DataFrame, confidence: float) -> Kind:
    absolute = name == NO_INFLUENCE
    units = rows["influence"].where(rows["influence"] > 0, 1.0)

    def mean_share(values: pd.Series) -> float:
        return float((values / units).mean())

    def share(measure: str) -> float:
        return mean_share(rows[measure]) if measure in rows else np.nan

    def mean_of(measure: str) -> float:
        return float(rows[measure].mean()) if measure in rows else np.nan

    ratios = shares(cells, lambda run: _last(run, "generalization_error"))
    left = residuals(cells)
    fitted = bool((rows["fit"] == "finished").all())
    seeds = statistics.seed_means(ratios)
    verdict = ""
    if fitted and statistics.can_be_judged(seeds):
        judged, scale, level = ratios, "positive", 1.0
        if absolute:
            seen = cell_values(cells, lambda run: _last(run, "in_distribution_error"))
            judged, scale, level = ratios - seen, "real", 0.0
        interval = statistics.interval_over_seeds(judged, scale, confidence)
        verdict = statistics.against(*interval, level)
    bits = sorted({bit for _, bit in cells})
    one_task = len({run.task_label for run, _ in cells}) == 1
    return Kind(
        name=f"{bits_in_words(bits)} (influence 0)" if absolute and one_task else name,
        cells=len(cells),
        ratio=_over_cells(ratios, "positive"),
        overlap=2 * share("influence_overlap"),
        learned=share("learned_influence"),
        not_fitted=mean_share(not_fitted(rows)),
        projection=mean_of("projection"),
        leak=mean_of("leak"),
        temperature=_over_cells(
            cell_values(cells, lambda run: _last(run, "degree_temperature")), "unit"
        ),
        predicted={name: share(f"{PREDICTION}{name}") for name in theories_of(rows)},
        left={name: _over_cells(values, "positive") for name, values in left.items()},
        explained={
            name: int(np.isfinite(values).any(axis=1).sum()) for name, values in left.items()
        },
        nearest=nearest(left),
        absolute=absolute,
        fitted=fitted,
        verdict=verdict,
    )


def _last(run: Run, measure: str) -> np.ndarray | None:
    return run.measures[measure][-1] if measure in run.measures else None


def _over_cells(values: np.ndarray, scale: statistics.Scale) -> Interval:
    """Return the mean over cells of `values` [C, S] with its interval over seeds."""
    low, high = statistics.interval_over_seeds(values, scale)
    by_seed = seeds_text(statistics.seed_means(values)) if values.size else ""
    return Interval(statistics.mean_over_cells(values), low, high, by_seed)


def cell_values(cells: Sequence[Cell], values_of: Callable[[Run], np.ndarray | None]) -> np.ndarray:
    """Return values [C, S] per cell and seed, NaN where a seed does not count or has no value.

    `values_of(run)` are float[R] of its replicas, or None where it has none.
    """
    found = []
    for run, bit in cells:
        values = values_of(run)
        values = np.full(len(run.replicas), np.nan) if values is None else values
        found.append({run.replicas[i].seed: values[i] for i in run.counted(bit)})
    seeds = sorted({seed for values in found for seed in values})
    return np.array(
        [[values.get(seed, np.nan) for seed in seeds] for values in found], float
    ).reshape(len(found), len(seeds))


def shares(cells: Sequence[Cell], values_of: Callable[[Run], np.ndarray | None]) -> np.ndarray:
    """Return `cell_values` in shares of the influence, absolute where that is 0."""
    units = np.array([run.influences[bit] or 1.0 for run, bit in cells])
    return cell_values(cells, values_of) / units[:, None]


def residuals(cells: Sequence[Cell]) -> dict[str, np.ndarray]:
    """Return what each theory leaves unexplained, [C, S] in `shares` of the influence."""
    names = ordered({name for run, _ in cells for name in run.unexplained}, PREDICTIONS | THEORIES)
    return {name: shares(cells, lambda run, name=name: run.unexplained.get(name)) for name in names}


def cells_of(runs: Sequence[Run], rows: pd.DataFrame) -> list[Cell]:
    """Return the runs and frozen bits of rows of their summary table, in the order of the runs."""
    chosen = set(zip(rows["run"], rows["frozen_bit"], strict=True))
    return [(run, bit) for run in runs for bit in run.bits if (run.name, bit) in chosen]


def by_arm(runs: Sequence[Run], cells: pd.DataFrame) -> list[tuple[str, list[Run], pd.DataFrame]]:
    """Return every arm of a study with its runs and its rows of the comparison's `cells`."""
    arms = arm_labels(runs)
    return [
        (arm, [run for run in runs if arms[run.name] == arm], cells[cells["arm"] == arm])
        for arm in sorted(set(arms.values()), key=natural)
    ]


def named_columns(arm: str, kind: Kind) -> dict[str, str]:
    """Return the first columns of a row about a kind of frozen bits: which, and its error."""
    return {
        "model": arm,
        "frozen": kind.name if kind.absolute else f"{kind.name.replace(' of PVR', '')}s",
        "cells": str(kind.cells),
        "error / influence [95 %]": f"{kind.ratio}{_mark(kind)}",
    }


def kinds_table(runs: Sequence[Run], cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row of text per arm and kind of frozen bit; `cells` are the comparison's."""
    table = pd.DataFrame(
        [
            named_columns(arm, kind)
            | {
                "2·overlap": format_number(kind.overlap, 3),
                heading("learned_influence"): format_number(kind.learned, 3),
                NOT_FITTED: format_number(kind.not_fitted, 3),
                heading("projection"): format_number(kind.projection, 3),
                heading("leak"): format_number(kind.leak, 3),
                f"{heading('degree_temperature')} [95 %]": str(kind.temperature),
            }
            for arm, kind in kinds_by_arm(runs, cells)
        ]
    )
    if len(table):
        table["model"] = first_of_each(table, "model")
    return table


def _mark(kind: Kind) -> str:
    return MARKS.get(kind.verdict, "  ") if kind.fitted else UNFITTED
