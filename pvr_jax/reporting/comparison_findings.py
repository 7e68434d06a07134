"""One paragraph per trained model over a whole study: where error = influence holds, and where not.

For pointer value retrieval this is asked of pointer and value bits separately.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting import statistics
from pvr_jax.reporting.definitions import heading
from pvr_jax.reporting.findings import NOTABLE_SHRINKING, count
from pvr_jax.reporting.kinds import Kind, by_arm, kinds_of_bits
from pvr_jax.reporting.labels import bits_in_words
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import (
    DEVIATION,
    UNFITTED_SHARE,
    exact_theories_of,
    format_interval,
    format_number,
)
from pvr_jax.reporting.theory_findings import Where, theory_sentences

# Below this share of the influence a mean difference plays no part, certain as it may be.
NEGLIGIBLE = 0.02
NOTABLE_LEAK = 0.05


def arm_findings(runs: Sequence[Run], cells: pd.DataFrame) -> list[tuple[str, str]]:
    """Return, per arm of the study, its label and what the numbers say about it.

    `cells` are the comparison's, a row per (run, frozen bit) with its arm.
    """
    return [(arm, " ".join(_sentences(own, rows))) for arm, own, rows in by_arm(runs, cells)]


def _sentences(runs: Sequence[Run], rows: pd.DataFrame) -> list[str]:
    measured = rows[rows["replicas"] > 0]
    if len(measured) == 0:
        return ["All replicas diverged: nothing was measured."]
    sentences = [_verdicts(measured), *map(_kind, kinds_of_bits(runs, measured))]
    correlation = statistics.rank_correlation(
        measured["influence"].to_numpy(), measured["generalization_error"].to_numpy()
    )
    if np.isfinite(correlation):
        sentences.append(
            f"Over all {count(len(measured), 'cell')}, Spearman's rank correlation of error with "
            f"influence is {correlation:.2f}."
        )
    sentences += theory_sentences(measured, _where(measured))
    sentences += [_deviation(name, measured) for name in exact_theories_of(measured)]
    sentences.append(_fits(runs))
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
    unjudged = len(rows) - len(judged)
    if len(judged) == 0:
        return (
            f"None of the {count(len(rows), 'cell')} (a task with a frozen bit) has two replicas, "
            "so there are no intervals and nothing can be judged."
        )
    counts = judged["verdict"].value_counts()
    inside, below, above = (int(counts.get(side, 0)) for side in ("inside", "below", "above"))
    text = (
        f"Of {count(len(judged), 'cell')} (a task with a frozen bit), the influence lies inside "
        f"the 95 % interval of the error in {inside}; the error lies below it in {below} and "
        f"above it in {above}."
    )
    if unjudged:
        text += f" {count(unjudged, 'more cell')} cannot be judged: fewer than two replicas."
    return text


def _kind(kind: Kind) -> str:
    text = (
        f"With a {kind.name} frozen ({count(kind.cells, 'cell')}) the error is "
        f"{format_interval(*kind.ratio)} times the influence on average"
    )
    parts = [
        f"{symbol} {format_number(value, 3)}"
        for value, symbol in ((kind.projection, "projection c"), (kind.leak, "leak"))
        if np.isfinite(value)
    ]
    text += f" (mean {', mean '.join(parts)})" if parts else ""
    _, low, high = kind.ratio
    if np.isfinite(high):
        text += _verdict(low, high)
    return " ".join([text + ".", *_reasons(kind)])


def _verdict(low: float, high: float) -> str:
    """Say whether the interval of error / influence leaves out 1."""
    if low <= 1 <= high:
        return ": no difference from the influence on average"
    side = "below" if high < 1 else "above"
    largest = max(abs(low - 1), abs(high - 1))
    if largest < NEGLIGIBLE:
        return f", {side} it by less than {100 * largest:.1f} %: certain, and negligible"
    return f", {side} it: error = influence does not hold on average"


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
            "at all)."
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
    unfitted = judged = 0
    for run in runs:
        for bit in run.bits:
            if "in_distribution_error" not in run.measures or run.influences[bit] <= 0:
                continue
            errors = run.final("in_distribution_error", bit)
            errors = errors[np.isfinite(errors)]
            judged += len(errors)
            unfitted += int((errors > UNFITTED_SHARE * run.influences[bit]).sum())
    share = f"an in-distribution error above {100 * UNFITTED_SHARE:.0f} % of the influence"
    if judged == 0:
        return "Whether the replicas fitted what they saw is not known."
    if unfitted == 0:
        return f"All {count(judged, 'replica')} fitted what they saw: none has {share}."
    return (
        f"{unfitted} of {count(judged, 'replica')} did not fit what they saw ({share}): agreement "
        "or disagreement there says little."
    )
