"""Comparing the means of two tables that have a row per cell: fresh results and kept ones."""

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from pvr_jax.results import statistics

# Rounding differs between machines, JAX versions and ways to share a device, and training
# amplifies it: a single replica may end elsewhere (see docs), a table's means may not. Two means
# agree where the 95 % interval of their difference, from the spread of both, holds 0, or where
# they differ by no more than this share of the kept one, as few seeds may happen to lie close
# together. Where nothing is frozen a fitted error is a few thousandths of the scale on which it is
# read, ½ Var f, and one late spike of Adam multiplies it: there the share is of that scale. Of
# classification it always is, the scale being the error of the best constant guess: an accuracy
# near 100 % leaves errors of a few test samples, or none. Of all other measures it is of the kept
# mean.
TOLERANCE = 0.02
# Values that are rounding beside the largest of their column are no share of anything.
ROUNDING = 1e-9
# An interval wider than this share, on either side, agrees with almost anything.
LOOSE = 0.25

# Rows are named by these columns. Means come with the bounds of an interval, <measure>_low and
# <measure>_high, or are exact; two tables call theirs otherwise.
_CELL = (
    *("run", "task_short", "arm", "task", "model", "frozen_bit", "aggregation", "complexity"),
    *("withheld", "samples"),
    *("learning_rate", "init_scale", "leap", "radius", "part", "class", "monomial", "T", "twin"),
)
_RENAMED = {
    "recall.csv": {"low": "recall_low", "high": "recall_high"},
    "twins.csv": {"low": "T", "high": "twin"}
    | {
        f"{side}_{part}": f"coefficient_of_{name}{ending}"
        for side, name in (("low", "T"), ("high", "twin"))
        for part, ending in (("mean", ""), ("low", "_low"), ("high", "_high"))
    },
}
# Numbers that say how many there were, or judge the others.
_COUNTS = {"n", "far", "fit", "points", "seen_fraction", "step", "test_samples", "training_samples"}
_JUDGING = ("deviation_", "judged_", "p_", "standard_error_")
_IN_WORDS = {
    "frozen_bit": "bit{}",
    "complexity": "m{}",
    "withheld": "withheld{}",
    "samples": "samples{}",
    "learning_rate": "rate {}",
    "init_scale": "scale {}",
    "leap": "leap {}",
    "radius": "radius {}",
    "class": "class {}",
}


class Found(NamedTuple):
    """What a comparison of two tables found."""

    means: list[dict[str, object]]
    lacking: list[str]
    left_out: int


def of_table(
    file: str,
    fresh: pd.DataFrame,
    kept: pd.DataFrame,
    known: Collection[str],
    apart: Collection[str],
) -> Found:
    """Compare the means of a table with a row per cell, but the `known` measures.

    Rows of the runs that are `apart`, as their replicas are not the same, are left out; where a
    table does not name runs, all are, if there are any.
    """
    fresh, kept = (table.rename(columns=_RENAMED.get(file, {})) for table in (fresh, kept))
    keys = [name for name in _CELL if name in kept and name in fresh]
    measures = [
        name
        for name in measures_of(kept, {*known, *_CELL, *_COUNTS})
        if not name.startswith(_JUDGING)
        and pd.api.types.is_float_dtype(kept[name])
        and not (name.endswith(("_low", "_high")) and name.rsplit("_", 1)[0] in kept)
    ]
    lacking = [name for name in measures if name not in fresh and kept[name].notna().any()]
    measures = [name for name in measures if name in fresh]
    shown = [
        name for name in keys if name in varied(kept) or not name.endswith(("_rate", "_scale"))
    ]
    if not measures or not keys:
        return Found([], lacking, 0)
    if apart and "run" not in keys:
        return Found([], lacking, len(kept))
    rows = (kept[~kept["run"].isin(apart)] if apart else kept).copy()
    both = rows.merge(fresh, on=keys, how="left", suffixes=("", "_fresh"), indicator="side")
    there = both[both["side"] == "both"]
    means = [
        {"place": place({name: row[name] for name in shown}), **found}
        for _, row in there.iterrows()
        for name in measures
        if (found := _of_row(row, name, ROUNDING * kept[name].abs().max()))
    ]
    return Found(means, lacking, len(kept) - len(there))


def _of_row(row: pd.Series, measure: str, rounding: float) -> dict[str, object] | None:
    """Compare a mean of a table; None where both sides have none.

    The squared half width of the interval of the difference is the sum of those of the two means.
    """
    before, after = float(row[measure]), float(row[f"{measure}_fresh"])
    if math.isnan(before) and math.isnan(after):
        return None
    widths = [
        (row.get(f"{measure}_high{side}", math.nan) - row.get(f"{measure}_low{side}", math.nan)) / 2
        for side in ("", "_fresh")
    ]
    interval = (math.nan, math.nan)
    if np.isfinite(widths).any():  # without an interval on one side: all its seeds are equal
        half_width = math.hypot(*np.nan_to_num(widths))
        interval = (after - before - half_width, after - before + half_width)
    allowed = TOLERANCE * abs(before) + rounding
    verdict = judged(before == after, abs(after - before), allowed, interval, before)
    return {"measure": measure, "before": before, "after": after, "unit": before, **verdict}


def judged(
    same: object, difference: float, allowed: float, interval: tuple[float, float], unit: float
) -> dict[str, bool]:
    """Judge the difference of two means by its interval, and that by the kept mean, the `unit`.

    `agree`: they are the same, their difference is `allowed`, or its interval holds 0; `loose`: the
    interval is so wide that it hardly could not; `alone`: there is none.
    """
    low, high = interval
    return {
        "agree": bool(
            same or difference <= allowed or statistics.against(low, high, 0.0) == "inside"
        ),
        "loose": bool((high - low) / 2 > LOOSE * abs(unit)),
        "alone": not math.isfinite(low),
    }


def measures_of(table: pd.DataFrame, without: Collection[str]) -> list[str]:
    """Return the columns of numbers and truth values but those of some names."""
    numbers = table.select_dtypes(["number", "bool"]).columns
    return [name for name in numbers if name not in without]


def varied(table: pd.DataFrame) -> list[str]:
    """Return which of learning rate and init scale differ within a run."""
    names = [name for name in ("learning_rate", "init_scale") if {name, "run"} <= set(table)]
    return [name for name in names if (table.groupby("run")[name].nunique() > 1).any()]


def place(cell: Mapping[str, object]) -> str:
    """Return the name of a cell: its run, its frozen bit or its task, and what else it is of."""
    known = {name: value for name, value in cell.items() if not pd.isna(value)}
    if "run" in known:  # which names both
        named = ("task_short", "arm", "task", "model")
        known = {name: value for name, value in known.items() if name not in named}
    return " ".join(
        _IN_WORDS.get(name, "{}").format(_whole(known[name])) for name in _CELL if name in known
    )


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
