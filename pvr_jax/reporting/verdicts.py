"""Whether a cell's replicas fitted, where their error lies, and which theory explains them."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from pvr_jax.reporting.definitions import heading
from pvr_jax.reporting.runs import Run
from pvr_jax.results import statistics

NOT_FITTED = "not fitted"  # the heading of `not_fitted`
UNFITTED_SHARE = 0.1  # in-distribution error above this share of the influence: fit unfinished


def replica_fits(run: Run, bit: int) -> list[str]:
    """Return whether each counted replica of a bit fitted what it saw, as `_fit` says it."""
    kept = run.counted(bit)
    errors = run.measures.get("in_distribution_error", np.full((1, len(run.replicas)), np.nan))
    return [_fit(run, bit, error) for error in errors[-1, kept]]


def _fit(run: Run, bit: int, error: float) -> str:
    """Return whether an in-distribution error is one of a finished fit.

    "finished" where it is at most a tenth of the influence, or, where that is 0, of ½ E f²; else
    "unfinished"; "not measured" where it is missing.
    """
    whole = run.influences[bit]
    if not whole > 0:
        whole = float(np.sum(run.frozen_degree_profiles.get(bit, np.nan))) / 2
    if not (math.isfinite(error) and math.isfinite(whole)):
        return "not measured"
    return "finished" if error <= UNFITTED_SHARE * whole else "unfinished"


def judged(run: Run, bit: int, confidence: float) -> dict[str, object]:
    """Return the `fit` of a bit and its `verdict`, with the interval of the error that it reads.

    `judged_low` and `judged_high` have this confidence. The verdict is as in
    `tables.summary_table`.
    """
    errors = run.final("generalization_error", bit)
    low, high = statistics.mean_interval(errors, "positive", confidence)
    fitted = run.measures.get("in_distribution_error", np.full((1, len(run.replicas)), np.nan))
    fit = _fit(run, bit, float(statistics.mean(fitted[-1, run.counted(bit)])))
    influence = run.influences[bit]
    verdict = statistics.against(low, high, influence)
    if influence == 0 and fit != "not measured":
        added = errors - run.final("in_distribution_error", bit)
        bounds = statistics.mean_interval(added, confidence=confidence)
        verdict = statistics.against(*bounds, 0.0)
    if fit != "finished" or not statistics.can_be_judged(errors):
        verdict = ""
    return {"judged_low": float(low), "judged_high": float(high), "fit": fit, "verdict": verdict}


def not_fitted(table: pd.DataFrame) -> pd.Series:
    """Return what differences on the seen inputs add to the error, per row of a summary table.

    error − (influence − 2·overlap + learned influence): 0 once the seen inputs are fitted, NaN
    where one of these was not measured.
    """
    if not {"influence_overlap", "learned_influence"} <= set(table):
        return pd.Series(np.nan, table.index)
    dependence = table["learned_influence"] - 2 * table["influence_overlap"]
    return table["generalization_error"] - table["influence"] - dependence


def in_common(left: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return, of `left[theory]` [C, S], the cells that all theories explain.

    A theory that explains no cell is left out; NaN is what is not known.
    """
    left = {name: values for name, values in left.items() if np.isfinite(values).any()}
    known = [np.isfinite(values).any(axis=-1) for values in left.values()]
    return {name: values[np.all(known, axis=0)] for name, values in left.items()}


def nearest_theories(left: Mapping[str, np.ndarray]) -> list[str]:
    """Return the theory that leaves the least unexplained, and all that are not told apart from it.

    `left[theory]` [C, S] is what it leaves of each cell and seed; only cells that all theories
    explain are compared. Two are told apart where the paired interval of their difference over
    seeds leaves out 0; the intervals of all the others hold at once with 95 %. None where there are
    not two to choose from.
    """
    left = in_common(left)
    if len(left) < 2 or not all(len(values) for values in left.values()):
        return []
    first, *others = sorted(left, key=lambda name: statistics.mean_over_cells(left[name]))
    confidence = statistics.simultaneous(len(others))
    found = [first]
    for name in others:
        difference = left[name] - left[first]
        interval = statistics.interval_over_seeds(difference, confidence=confidence)
        if statistics.against(*interval, 0.0) != "above":
            found.append(name)
    return found


def nearest(left: Mapping[str, np.ndarray]) -> str:
    """Return the headings of `nearest_theories`, or that none is told apart from the others.

    A dash with fewer than two to choose from.
    """
    found = nearest_theories(left)
    if len(found) == len(in_common(left)) > 1:
        return "not told apart"
    return " or ".join(heading(name) for name in found) or "–"
