"""Plain sentences that say what the numbers show, agreement and disagreement alike."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting.kinds import cells_of, residuals
from pvr_jax.reporting.labels import bits_in_words, joined
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import (
    format_number,
    format_percent,
    group_titles,
)
from pvr_jax.reporting.theory_findings import theory_sentences
from pvr_jax.reporting.verdicts import UNFITTED_SHARE
from pvr_jax.results import statistics

NOTABLE_LEAK = 0.05
SIMULTANEOUS = "95 % for all cells at once"
NOTABLE_SHRINKING = 0.05  # 1 − c below this is not called shrinking


def overview(table: pd.DataFrame) -> str:
    """Return one paragraph over all runs of a summary table."""
    judged = table[table["verdict"] != ""]
    runs = table["run"].nunique()
    replicas = int(table["replicas"].sum())
    excluded = int(table["excluded"].sum())
    sentences = [
        f"{count(runs, 'run')} with {count(len(table), 'frozen bit')} and "
        f"{count(replicas, 'counted replica')} in all; {excluded or 'no'} "
        f"{'replica' if excluded == 1 else 'replicas'} diverged"
        f"{' and is' if excluded == 1 else ' and are' if excluded else ', so none is'} excluded."
    ]
    if len(judged) == 0:
        sentences.append(f"No frozen bit can be judged: {'; '.join(unjudged(table))}.")
        return " ".join(sentences)
    counts = judged["verdict"].value_counts()
    inside, below, above = (int(counts.get(v, 0)) for v in ("inside", "below", "above"))
    sentences.append(
        f"Of {count(len(judged), 'bit')} that can be judged, the influence lies inside the "
        f"interval of the generalization error for {inside}; the error lies below it for {below} "
        f"and above it for {above} ({SIMULTANEOUS})."
    )
    if inside == len(judged):
        sentences.append("These runs show no disagreement with error = influence.")
    else:
        sentences.append(
            "Error = influence therefore does not hold exactly in "
            f"{below + above} of {len(judged)} cases; the runs below say where, by how much, and "
            "what the projection c and the leak say about it."
        )
    return " ".join(sentences)


def run_findings(runs: Sequence[Run], table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return, per run, its title and the paragraph that says what its numbers show."""
    titles = dict(zip(table["run"].drop_duplicates(), group_titles(table), strict=True))
    return [
        (titles[run.name][0], " ".join(_sentences([run], table.loc[titles[run.name][1]])))
        for run in runs
    ]


def _sentences(runs: Sequence[Run], rows: pd.DataFrame) -> list[str]:
    measured = rows[rows["replicas"] > 0]
    if len(measured) == 0:
        return ["All replicas diverged: nothing was measured."]
    judged = measured[measured["verdict"] != ""]
    sentences = [*_unfinished_fit(measured), _distance(measured)]
    groups = {v: judged[judged["verdict"] == v] for v in ("inside", "below", "above")}
    if len(groups["inside"]):
        sentences.append(
            f"The influence lies inside the interval ({SIMULTANEOUS}) for "
            f"{_bits(groups['inside'])}."
        )
    for side in ("below", "above"):
        if len(groups[side]):
            sentences.append(_departure(groups[side], side))
    fitted = measured[(measured["verdict"] == "") & (measured["fit"] == "finished")]
    if len(fitted):
        sentences.append(f"No verdict for {_bits(fitted)}: {'; '.join(unjudged(fitted))}.")
    if len(lost := rows[rows["replicas"] == 0]):
        sentences.append(f"For {_bits(lost)} all replicas diverged.")
    disagreeing = judged[judged["verdict"] != "inside"]
    if len(disagreeing):
        sentences += _explanation(disagreeing)
    left = residuals(cells_of(runs, measured[measured["influence"] > 0]))
    sentences += theory_sentences(measured, left, lambda chosen: f"for {_bits(chosen)}")
    correlation = statistics.rank_correlation(
        measured["influence"].to_numpy(), measured["generalization_error"].to_numpy()
    )
    if np.isfinite(correlation):
        sentences.append(
            f"Over the {len(measured)} frozen bits, "
            f"Spearman's rank correlation of error with influence is {correlation:.2f}."
        )
    return sentences


def _distance(rows: pd.DataFrame) -> str:
    distance = rows["difference"].abs().mean()
    influence = rows["influence"].mean()
    share = (
        f" ({format_percent(distance / influence)} of the mean influence)" if influence > 0 else ""
    )
    return (
        "The mean absolute difference between generalization error and influence is "
        f"{format_number(distance, 3)}{share} over {_bits(rows)}."
    )


def _departure(rows: pd.DataFrame, side: str) -> str:
    parts = [
        f"bit {row.frozen_bit} ({format_number(row.generalization_error, 3)} against "
        f"{row.influence:.6g}"
        + (
            f", {format_percent(row.difference / row.influence, '+')})"
            if row.influence > 0
            else ")"
        )
        for row in rows.itertuples()
    ]
    text = f"The measured error lies {side} the influence, which its interval leaves out, for "
    text += joined(parts) + ": there error = influence does not hold."
    return text.replace(" -", " −").replace("(-", "(−")


def _explanation(rows: pd.DataFrame) -> list[str]:
    sentences = []
    if "projection" in rows:
        known = rows[rows["projection_high"].notna()]
        shrinks = (known["projection_high"] < 1) & (known["projection"] < 1 - NOTABLE_SHRINKING)
        shrunk, others = known[shrinks], known[~shrinks]
        if len(shrunk):
            sentences.append(
                f"For {_bits(shrunk)} the projection c is {_range(shrunk['projection'])}, "
                "below 1: the network shrinks towards zero off the support instead of continuing "
                "as the frozen function, which the loss alone does not show."
            )
        if len(others):
            sentences.append(
                f"For {_bits(others)} the projection c is {_range(others['projection'])}, "
                "so shrinking off the support is not the cause there."
            )
    if "leak" in rows and rows["leak"].notna().all():
        leaking = rows[rows["leak"] > NOTABLE_LEAK]
        if len(leaking):
            sentences.append(
                f"For {_bits(leaking)} the leak is {_range(leaking['leak'])} (¼: halved between "
                "the twins, 1: all on the higher-degree ones), so the low-degree twins do not win "
                "everywhere."
            )
        else:
            sentences.append(
                f"The leak is at most {format_number(rows['leak'].max(), 2)} for these: "
                "the low-degree twins carry almost all of the mass."
            )
    return sentences


def _unfinished_fit(rows: pd.DataFrame) -> list[str]:
    sentences = []
    if len(unfinished := rows[rows["fit"] == "unfinished"]):
        sentences.append(
            f"For {_bits(unfinished)} the in-distribution error is still "
            f"{_range(unfinished['in_distribution_error'])}, more than "
            f"{100 * UNFITTED_SHARE:.0f} % of the influence (of ½ E f² where that is 0): the fit "
            "is not finished, and there is no verdict."
        )
    if len(unknown := rows[rows["fit"] == "not measured"]):
        sentences.append(
            f"For {_bits(unknown)} the in-distribution error was not measured: whether the seen "
            "inputs are fitted is not known, and there is no verdict."
        )
    return sentences


def unjudged(rows: pd.DataFrame) -> list[str]:
    """Return why rows of a summary table have no verdict, and how many have none."""
    rows = rows[rows["verdict"] == ""]
    few = rows["replicas"] < 2
    unfinished = ~few & (rows["fit"] != "finished")
    equal = ~few & ~unfinished & rows["generalization_error_low"].isna()
    reasons = {
        "fewer than two replicas": few,
        "the fit is not finished or not measured": unfinished,
        "all replicas have one error": equal,
        "the seeds form two groups": ~(few | unfinished | equal),
    }
    return [f"{reason} ({chosen.sum()})" for reason, chosen in reasons.items() if chosen.any()]


def _bits(rows: pd.DataFrame) -> str:
    return bits_in_words(rows["frozen_bit"])


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    if values.dtype.kind == "i":
        return str(low) if low == high else f"{low} to {high}"
    first, last = format_number(low, 2), format_number(high, 2)
    return first if first == last else f"{first} to {last}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
