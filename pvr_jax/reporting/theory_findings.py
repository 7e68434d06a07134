"""Sentences that set measured errors between two theories: low-degree bias and lazy training."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from pvr_jax.reporting.definitions import heading
from pvr_jax.reporting.labels import joined
from pvr_jax.reporting.tables import (
    PREDICTION,
    UNCERTAINTY,
    theories_of,
)
from pvr_jax.reporting.verdicts import in_common, nearest_theories
from pvr_jax.results import statistics

# Those whose error is that of lazy training; the first that is defined is asked.
KERNELS = ("wide_ntk", "empirical_ntk")
# What the place of an error's interval means, in the order of the sentence.
_CLAUSES = {
    "influence": "holds the influence alone {where}, as the low-degree bias of the hypothesis has "
    "it",
    "between": "lies between the two {where}: feature learning has moved the network from its "
    "kernel towards the low-degree interpolator",
    "kernel": "holds the error of the {kernel} alone {where}, as lazy training has it",
    "above": "lies above both {where}, which neither theory says",
    "below": "lies below both {where}, which neither theory says",
    "both": "holds both {where} and does not tell them apart",
}

# From rows of a summary table to where they are: "for bits 0 and 3", "in 4 cells".
Where = Callable[[pd.DataFrame], str]


def theory_sentences(rows: pd.DataFrame, left: Mapping[str, np.ndarray], where: Where) -> list[str]:
    """Return where the errors lie between the theories, and which of them leaves the least.

    `rows` are a summary table's and `left` what each theory leaves unexplained of them, in shares
    of the influence, [C, S] per cell and seed; no sentence where nothing was predicted.
    """
    return [*_places(rows, where), *_nearest(left)]


def place(low: float, high: float, influence: float, kernel: float) -> str:
    """Return where an interval lies: a key of the sentence's clauses.

    "both", "influence" or "kernel" where it holds these, else "between" them or "above" or
    "below" both.
    """
    holds = [
        name
        for name, value in (("influence", influence), ("kernel", kernel))
        if low <= value <= high
    ]
    if holds:
        return holds[0] if len(holds) == 1 else "both"
    if low > max(influence, kernel):
        return "above"
    return "below" if high < min(influence, kernel) else "between"


def _places(rows: pd.DataFrame, where: Where) -> list[str]:
    defined = theories_of(rows)
    kernel = next((name for name in KERNELS if name in defined), None)
    if kernel is None:
        return []
    numbers = ["judged_low", "judged_high", f"{PREDICTION}{kernel}"]
    judged = rows[(rows["verdict"] != "") & rows[numbers].notna().all(axis=1)]
    loose = _loose(judged, kernel)
    left_out = []
    if loose.any():
        left_out = [
            f"Left out of this {where(judged[loose])}: there two standard errors of the "
            f"{heading(kernel)} over its starts reach the influence."
        ]
    judged = judged[~loose]
    if len(judged) == 0:
        return left_out
    columns = ("judged_low", "judged_high", "influence")
    numbers = judged[[*columns, f"{PREDICTION}{kernel}"]].to_numpy(float)
    places = pd.Series([place(*row) for row in numbers], judged.index)
    clauses = [
        text.format(where=where(judged[places == name]), kernel=heading(kernel))
        for name, text in _CLAUSES.items()
        if (places == name).any()
    ]
    return [
        "Set against two predictions without free parameters, the influence (low-degree bias) and "
        f"the {heading(kernel)} (lazy training), the mean error lies "
        f"{_means(judged, kernel, where)}; its interval {'; it '.join(clauses)}.",
        *left_out,
    ]


def _loose(rows: pd.DataFrame, kernel: str) -> pd.Series:
    """Whether so few starts leave open on which side of the influence the kernel's error lies."""
    if (column := f"{UNCERTAINTY}{kernel}") not in rows:
        return pd.Series(False, rows.index)
    apart = (rows[f"{PREDICTION}{kernel}"] - rows["influence"]).abs()
    return 2 * rows[column] >= apart


def _means(rows: pd.DataFrame, kernel: str, where: Where) -> str:
    """Say for which rows the mean error lies between the two predictions, and for which beside."""
    both = rows[["influence", f"{PREDICTION}{kernel}"]]
    error = rows["generalization_error"]
    between = (error >= both.min(axis=1)) & (error <= both.max(axis=1))
    sides = (("between the two", between), ("outside both", ~between))
    return " and ".join(f"{side} {where(rows[chosen])}" for side, chosen in sides if chosen.any())


def _nearest(left: Mapping[str, np.ndarray]) -> list[str]:
    """Say what the theories leave, in shares of the influence, and which leaves the least."""
    left = in_common(left)
    first = nearest_theories(left)
    if not first:
        return []
    mean = {name: statistics.mean_over_cells(values) for name, values in left.items()}
    others = sorted((name for name in left if name not in first), key=mean.__getitem__)
    least = joined([_leaves(name, mean[name]) for name in first])
    if not others:
        return [
            "Which theory leaves the least of what was learned unexplained is not told apart: "
            f"{least} of the influence on average."
        ]
    return [
        f"Least of what was learned is left unexplained by {least} of the influence on average"
        + (", which are not told apart" if len(first) > 1 else "")
        + f", against {joined([_leaves(name, mean[name]) for name in others])}."
    ]


def _leaves(theory: str, share: float) -> str:
    name = "the low-degree bias" if theory == "influence" else f"the {heading(theory)}"
    return f"{name} ({100 * share:.3g} %)"
