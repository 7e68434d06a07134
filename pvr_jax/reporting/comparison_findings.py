"""One paragraph per trained model over a whole study: where error = influence holds, and where not.

For pointer value retrieval this is asked of pointer and value bits separately.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting.definitions import heading
from pvr_jax.reporting.findings import NOTABLE_SHRINKING, SIMULTANEOUS, count, unjudged
from pvr_jax.reporting.kinds import Kind, by_arm, cells_of, kinds_by_arm, residuals
from pvr_jax.reporting.labels import bits_in_words
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import (
    DEVIATION,
    exact_theories_of,
    format_number,
    format_percent,
)
from pvr_jax.reporting.theory_findings import Where, theory_sentences
from pvr_jax.reporting.verdicts import UNFITTED_SHARE, replica_fits
from pvr_jax.results import statistics

# Below this share of the influence a mean difference plays no part, certain as it may be.
NEGLIGIBLE = 0.02
NOTABLE_LEAK = 0.05
SMALLEST_SHOWN = 0.0005  # of the influence; what is below does not change the sum


def arm_findings(runs: Sequence[Run], cells: pd.DataFrame) -> list[tuple[str, str]]:
    """Return, per arm of the study, its label and what the numbers say about it.

    `cells` are the comparison's, a row per (run, frozen bit) with its arm.
    """
    kinds = kinds_by_arm(runs, cells)
    return [
        (arm, " ".join(_sentences(own, rows, [kind for name, kind in kinds if name == arm])))
        for arm, own, rows in by_arm(runs, cells)
    ]


def _sentences(runs: Sequence[Run], rows: pd.DataFrame, kinds: Sequence[Kind]) -> list[str]:
    measured = rows[rows["replicas"] > 0]
    if len(measured) == 0:
        return ["All replicas diverged: nothing was measured."]
    sentences = [_fits(runs), _verdicts(measured), *map(_kind, kinds)]
    correlation = statistics.rank_correlation(
        measured["influence"].to_numpy(), measured["generalization_error"].to_numpy()
    )
    if np.isfinite(correlation):
        sentences.append(
            f"Over all {count(len(measured), 'cell')}, Spearman's rank correlation of error with "
            f"influence is {correlation:.2f}."
        )
    left = residuals(cells_of(runs, measured[measured["influence"] > 0]))
    sentences += theory_sentences(measured, left, _where(measured))
    sentences += [_deviation(name, measured) for name in exact_theories_of(measured)]
    excluded = int(rows["excluded"].sum())
    if excluded:
        sentences.append(
            f"{count(excluded, 'replica')} diverged and {'is' if excluded == 1 else 'are'} left "
            "out of all means."
        )
    return sentences


def _where(rows: pd.DataFrame) -> Where:
    """Name the bits of an arm with one task, count the cells of several."""
    if rows["task_label"].nunique() == 1:
        return lambda chosen: f"for {bits_in_words(chosen['frozen_bit'])}"
    return lambda chosen: f"in {count(len(chosen), 'cell')}"


def _verdicts(rows: pd.DataFrame) -> str:
    judged = rows[rows["verdict"] != ""]
    if len(judged) == 0:
        return (
            f"None of {count(len(rows), 'cell')} (a task with a frozen bit) can be judged: "
            f"{'; '.join(unjudged(rows))}."
        )
    counts = judged["verdict"].value_counts()
    inside, below, above = (int(counts.get(side, 0)) for side in ("inside", "below", "above"))
    text = (
        f"Of {count(len(judged), 'cell')} (a task with a frozen bit) that can be judged, the "
        f"influence lies inside the interval of the error in {inside}; the error lies below it in "
        f"{below} and above it in {above} ({SIMULTANEOUS})."
    )
    if len(judged) < len(rows):
        text += f" Not judged: {'; '.join(unjudged(rows))}."
    return text


def _kind(kind: Kind) -> str:
    if kind.absolute:
        text = (
            f"With {kind.name} frozen ({count(kind.cells, 'cell')}), which the target does not "
            f"depend on, the error is {kind.ratio}, where the low-degree prediction is 0"
        )
    else:
        text = (
            f"With a {kind.name} frozen ({count(kind.cells, 'cell')}) the error is "
            f"{kind.ratio} times the influence on average"
        )
    parts = [
        f"{symbol} {format_number(value, 3)}"
        for value, symbol in ((kind.projection, "projection c"), (kind.leak, "leak"))
        if np.isfinite(value)
    ]
    text += f" (mean {', mean '.join(parts)})" if parts else ""
    return " ".join([f"{text}{_verdict(kind)}.", *([] if kind.absolute else _reasons(kind))])


def _verdict(kind: Kind) -> str:
    """Say whether the interval of error / influence leaves out 1, or, without influence, 0."""
    if not kind.fitted:
        return "; no verdict, as the fit of some cell is not finished or not measured (†)"
    if kind.verdict == "":
        return "; no verdict"
    if kind.absolute:
        if kind.verdict == "above":
            return ": error = influence does not hold, the unseen inputs add to the error"
        return ": no error beyond that on the seen inputs is shown"
    if kind.verdict == "inside":
        return ": no difference from the influence is shown on average"
    low, high = kind.ratio.low, kind.ratio.high
    largest = max(abs(low - 1), abs(high - 1))
    if largest < NEGLIGIBLE:
        by = format_percent(largest)
        return f", {kind.verdict} it, significantly but by less than {by}"
    return f", {kind.verdict} it: error = influence does not hold on average"


def _not_fitted(kind: Kind) -> str:
    if not abs(kind.not_fitted) >= SMALLEST_SHOWN:
        return ""
    sign = "+" if kind.not_fitted > 0 else "−"
    return f" {sign} {format_number(abs(kind.not_fitted), 3)} (not fitted on the seen inputs)"


def _reasons(kind: Kind) -> list[str]:
    """Say what the error is made of, and what became of the frozen function off the support."""
    sentences = []
    if np.isfinite(kind.overlap) and np.isfinite(kind.learned):
        agrees = kind.overlap >= 0
        sentences.append(
            f"Why, in shares of the influence: 1 {'−' if agrees else '+'} "
            f"{format_number(abs(kind.overlap), 3)} (twice the overlap: its dependence on the "
            f"frozen bit {'agrees' if agrees else 'disagrees'} with the target's) + "
            f"{format_number(kind.learned, 3)} (the learned influence: that it depends on that bit "
            f"at all){_not_fitted(kind)}."
        )
    if kind.projection < 1 - NOTABLE_SHRINKING:
        sentences.append(
            "Off the support it shrinks towards zero (c < 1) instead of continuing as the frozen "
            "function."
        )
    if kind.leak > NOTABLE_LEAK:
        sentences.append("Part of what it learned sits on the high-degree twins (the leak).")
    return sentences


def _deviation(name: str, rows: pd.DataFrame) -> str:
    judged = rows[rows[f"{DEVIATION}{name}"].notna()]
    if len(judged) == 0:
        return (
            f"Theory ({heading(name)}) predicts an error of zero, which has no relative deviation."
        )
    return (
        f"Against what theory predicts ({heading(name)}), the largest relative deviation of any "
        f"replica is {judged[f'{DEVIATION}{name}'].max():.1e}, over "
        f"{count(int(judged['replicas'].sum()), 'replica')}."
    )


def _fits(runs: Sequence[Run]) -> str:
    """Say how many replicas did not fit what they saw."""
    fits = [replica_fits(run, bit) for run in runs for bit in run.bits]
    fits = [fit for found in fits for fit in found]
    unfinished, unknown = fits.count("unfinished"), fits.count("not measured")
    share = f"an in-distribution error above {100 * UNFITTED_SHARE:.0f} % of the influence"
    if any(run.influences[bit] == 0 for run in runs for bit in run.bits):
        share += ", or, where that is 0, of ½ E f²"
    if unknown == len(fits):
        return "Whether the replicas fitted what they saw was not measured."
    judged = len(fits) - unknown
    text = (
        f"{unfinished} of {count(judged, 'replica')} did not fit what they saw ({share}): "
        "agreement or disagreement there says little."
        if unfinished
        else f"All {count(judged, 'replica')} fitted what they saw: none has {share}."
    )
    return text + (f" Of {count(unknown, 'replica')} it was not measured." if unknown else "")
