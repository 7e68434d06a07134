"""What may be said of differences between cells: of finished fits, from intervals over seeds."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from pvr_jax.reporting.accuracy.cells import Cell
from pvr_jax.results import statistics

# A network that gets so many of its training samples right has fitted them.
FITTED = 0.95
SIMULTANEOUS = "95 % for all at once"

Values = Callable[[Cell], np.ndarray]


def fit(cell: Cell) -> str:
    """Return whether the replicas fitted what they saw, in the mean.

    "finished" where training accuracy is above 95 %, else "unfinished"; "not measured" where it is
    missing. Of a stream, whose samples are shown once, i.i.d. accuracy is asked: 95 % of it are no
    less than 95 % of the samples shown.
    """
    part = "iid" if cell.is_fresh else "train"
    share = float(statistics.mean(cell.final(f"{part}_accuracy")))
    if not math.isfinite(share):
        return "not measured"
    return "finished" if share > FITTED else "unfinished"


def all_fitted(cells: Sequence[Cell]) -> bool:
    """Return whether the fit of every cell is finished."""
    return all(fit(cell) == "finished" for cell in cells)


def by_seed(cells: Sequence[Cell], seeds: Sequence[int], values_of: Values) -> np.ndarray:
    """Return values [C, S] by cell and seed; NaN where a seed is missing or does not count."""
    found = np.full((len(cells), len(seeds)), math.nan)
    places = {seed: place for place, seed in enumerate(seeds)}
    for row, cell in zip(found, cells, strict=True):
        for seed, value in zip(cell.seeds, values_of(cell), strict=True):
            if seed in places:
                row[places[seed]] = value
    return found


def change(first: Cell, second: Cell, values_of: Values, comparisons: int) -> str:
    """Return where second − first lies: "below" or "above" 0, "inside" an interval that holds 0.

    The interval is Student's t of the differences of the seeds that both have, of which only the
    sign is read, and holds for all `comparisons` at once with 95 %. "" where there is no verdict:
    before a fit is finished, without an interval, and where two groups of seeds have no mean.
    """
    if not all_fitted((first, second)):
        return ""
    before, after = by_seed((first, second), first.seeds, values_of)
    return judged(after - before, comparisons)


def judged(differences: np.ndarray, comparisons: int) -> str:
    """Return where the mean of `differences` [S] lies against 0, as in `change`."""
    if not statistics.can_be_judged(differences):
        return ""
    confidence = statistics.simultaneous(comparisons)
    low, high = statistics.mean_interval(differences, confidence=confidence)
    return statistics.against(float(low), float(high), 0.0)


def not_told_apart(values: Sequence[np.ndarray]) -> list[int]:
    """Return which of several means over cells of `values` [C, S] are not below the largest.

    One is where the paired interval over common seeds of its difference from the largest leaves
    out 0; the intervals of all hold at once with 95 %. The largest stands first.
    """
    means = [statistics.mean_over_cells(own) for own in values]
    first, *others = sorted(range(len(values)), key=lambda i: -means[i])
    confidence = statistics.simultaneous(len(others))
    found = [first]
    for other in others:
        differences = values[other] - values[first]
        seeds = statistics.seed_means(differences)
        interval = statistics.interval_over_seeds(differences, confidence=confidence)
        if not (statistics.can_be_judged(seeds) and statistics.against(*interval, 0.0) == "below"):
            found.append(other)
    return found
