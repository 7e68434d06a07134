"""Verdicts: is the error of a cell its influence? As signs, words and a sentence.

A cell is a network, a task and a frozen bit.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from experiments.canonical_holdout import frames
from experiments.canonical_holdout.frames import ERROR
from pvr_jax.reporting import columns
from pvr_jax.reporting.columns import Cell, Column, Context, Group, correlation, values_by_cell
from pvr_jax.reporting.exhibits import groups, settings
from pvr_jax.results import Study, statistics
from pvr_jax.results.verdicts import DECIDED, Decision

NOTES = (
    statistics.INTERVAL_NOTE,
    "Verdict, by one interval of the mean that holds for all rows (and all looks, if seeds were "
    "added until decided) at once with 95 %, or 90 % where seeds are clearly skewed. Equal (=): it "
    "lies within the margin around the influence, a tenth of it unless the configuration says "
    "otherwise. Below (↓) and above (↑): it leaves the influence out; equal and below, say, if "
    "both. Undecided (?): neither, so more seeds are needed. Where the influence is 0, above says "
    f"that the unseen inputs add to the error. {statistics.UNFINISHED_DESCRIPTION}.",
)
IN_FIGURES = (
    "Above, the verdict: = the influence within the margin, ▼ below it, ▲ above it, ? undecided, "
    "† fit not finished."
)
SIGNS = {"below": "↓", "above": "↑", "undecided": "?", "unfinished": "†"}
# Why there is no verdict.
REASONS = {"one": "one seed", "groups": "two groups", "constant": "equal seeds"}
UNFINISHED = {"unfinished": "no verdict, as the fit is not finished in some cell"}
AGAINST_INFLUENCE = UNFINISHED | {
    "equal": "it equals the influence within the margin",
    "below": "it is below the influence",
    "above": "it is above the influence",
    "undecided": "undecided",
}
WITHOUT_INFLUENCE = UNFINISHED | {
    "above": "error = influence does not hold, the unseen inputs add to the error",
    "undecided": "no error beyond that on the seen inputs is shown",
}


def verdict_of(group: Group, context: Context) -> Decision:
    """Compare the error with the influence, in shares of the influence.

    An influence of 0 is exceeded if the unseen inputs add to the error of the seen ones.
    """
    if (group["influence"] == 0).all():
        return columns.judged(group, values_by_cell(group, "added", context))
    values, margin = values_by_cell(group, ERROR, context, per="unit"), group["margin"].min()
    return columns.judged(group, values, 1.0, "positive", margin)


def sign(decision: Decision) -> str:
    """Return the sign of a verdict: = ↓ ↑ ? or, if the fit is not finished, †."""
    if decision.verdict == "equal":
        return "=" + SIGNS.get(decision.differs, "")
    return SIGNS.get(decision.verdict, "")


def in_short(decision: Decision) -> str:
    """Return a verdict in words; of an equal mean, also the side on which it lies."""
    found = REASONS.get(decision.verdict, decision.verdict)
    return f"{found}, {decision.differs}" if found == "equal" and decision.differs else found


def mark(group: Group, context: Context, cell: Cell) -> str:
    """Mark an error by the sign of its verdict."""
    found = sign(verdict_of(group, context)) if np.isfinite(cell.sort) else ""
    return f" {found}" if found else ""


def _verdict(group: Group, context: Context) -> Cell:
    found = verdict_of(group, context)
    looked = f" ({found.seeds} seeds)" if columns.looks_of(group) and found.seeds else ""
    values = {"_seeds": found.seeds, "_low": found.low, "_high": found.high}
    return Cell(in_short(found) + looked, {"": found.verdict, **values})


verdict = Column(
    "verdict",
    _verdict,
    about="Error against influence, by one interval that holds for all rows at once with 95 %.",
)
_IN_A_FIGURE = str.maketrans("↓↑", "▼▲")  # arrows are too thin there


def _signed(group: Group, context: Context) -> Cell:
    found = verdict_of(group, context)
    words = f"{in_short(found)}, {found.seeds} seeds"
    return Cell(sign(found).translate(_IN_A_FIGURE), {"": words})


# What stands above a mean in a figure, and its words in the tooltip.
signed = Column("verdict", _signed)


def in_words(sentences: Mapping[str, str]) -> Column:
    """The verdict as a sentence, by verdict; of an equal mean, also the side on which it lies."""

    def cell(group: Group, context: Context) -> Cell:
        found = verdict_of(group, context)
        text = sentences.get(found.verdict, "no verdict")
        is_both = found.verdict == "equal" and found.differs
        return Cell(f"{text}, and is {found.differs} it" if is_both else text)

    return Column("verdict", cell)


def decisions(study: Study, context: Context) -> list[tuple[str, Decision]]:
    """Return the frozen bit and the verdict of every cell: a network, a task and a frozen bit."""
    if not frames.has_frozen(study):
        return []
    frame = frames.replicas(study)
    rows = groups(frame, settings(frame, context, ["frozen_bit"], []))
    return [(str(row["frozen_bit"].iloc[0]), verdict_of(row, context)) for row in rows]


def sentence(study: Study, context: Context) -> str:
    """Say in how many cells the error is the influence, or how it goes with stability."""
    if not frames.has_frozen(study):
        found = correlation("target_noise_stability", ERROR)
        text = found.cell(frames.targets(study), context).text
        return f"Rank correlation of the error with the target's noise stability: {text}."
    frame, found = frames.replicas(study), decisions(study, context)
    of = Counter(decision.verdict for _, decision in found)
    judged = sum(of[name] for name in (*DECIDED, "undecided"))
    unfinished = of["unfinished"]
    rest = {
        "the fit is not finished (†)": unfinished,
        "seeds are too few, all equal or two groups": len(found) - judged - unfinished,
    }
    rest = " and ".join(f"in {count} {why}" for why, count in rest.items() if count)
    if not judged:
        return f"No verdict on the error and the influence: of {len(found)} cells, {rest}."
    margins = frame["margin"].agg(["min", "max"]).unique()
    margin = " to ".join(f"{100 * share:g}" for share in margins)
    looks = columns.looks_of(frame)
    stop = f" Seeds were added until decided, at most {looks[-1]}." if looks else ""
    stop += f" No verdict: {rest}." if rest else ""
    return (
        f"Of {judged} cell{'s' if judged != 1 else ''} (a network, a task and a frozen bit), the "
        f"error equals the influence within {margin} % in {of['equal']}, is below it in "
        f"{of['below']} and above it in {of['above']}; in {of['undecided']} this is undecided. "
        f"All at once with 95 %.{stop}"
    )
