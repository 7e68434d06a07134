"""Plain sentences that say what the numbers show, agreement and disagreement alike."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting import statistics
from pvr_jax.reporting.labels import bits_in_words, joined
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import UNFITTED_SHARE, format_number, group_titles
from pvr_jax.reporting.theory_findings import theory_sentences

NOTABLE_LEAK = 0.05
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
        sentences.append(
            "No frozen bit has two replicas, so there are no intervals and nothing can be judged."
        )
        return " ".join(sentences)
    counts = judged["verdict"].value_counts()
    inside, below, above = (int(counts.get(v, 0)) for v in ("inside", "below", "above"))
    sentences.append(
        f"Of the {count(len(judged), 'bit')} with an interval, the influence lies inside the 95 % "
        f"interval of the generalization error for {inside}; the error lies below it for {below} "
        f"and above it for {above}."
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
        (titles[run.name][0], " ".join(_sentences(table.loc[titles[run.name][1]]))) for run in runs
    ]


def _sentences(rows: pd.DataFrame) -> list[str]:
    measured = rows[rows["replicas"] > 0]
    if len(measured) == 0:
        return ["All replicas diverged: nothing was measured."]
    sentences = [_distance(measured)]
    judged = measured[measured["verdict"] != ""]
    groups = {v: judged[judged["verdict"] == v] for v in ("inside", "below", "above")}
    if len(groups["inside"]):
        sentences.append(
            f"The influence lies inside the 95 % interval for {_bits(groups['inside'])}."
        )
    for side in ("below", "above"):
        if len(groups[side]):
            sentences.append(_departure(groups[side], side))
    if len(unjudged := measured[measured["verdict"] == ""]):
        sentences.append(
            f"For {_bits(unjudged)} there are fewer than two replicas, so there is no interval."
        )
    if len(lost := rows[rows["replicas"] == 0]):
        sentences.append(f"For {_bits(lost)} all replicas diverged.")
    disagreeing = judged[judged["verdict"] != "inside"]
    if len(disagreeing):
        sentences += _explanation(disagreeing)
    sentences += theory_sentences(measured, lambda chosen: f"for {_bits(chosen)}")
    sentences += _unfinished_fit(measured)
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
    share = f" ({100 * distance / influence:.2g} % of the mean influence)" if influence > 0 else ""
    return (
        "The mean absolute difference between generalization error and influence is "
        f"{format_number(distance, 3)}{share} over {_bits(rows)}."
    )


def _departure(rows: pd.DataFrame, side: str) -> str:
    parts = [
        f"bit {row.frozen_bit} ({format_number(row.generalization_error, 3)} against "
        f"{row.influence:.6g}"
        + (f", {100 * row.difference / row.influence:+.2g} %)" if row.influence > 0 else ")")
        for row in rows.itertuples()
    ]
    text = f"The measured error lies {side} the influence, outside the interval, for "
    text += joined(parts) + ": there error = influence does not hold."
    return text.replace(" -", " −").replace("(-", "(−")


def _explanation(rows: pd.DataFrame) -> list[str]:
    sentences = []
    if "projection" in rows and rows["projection"].notna().any():
        shrunk = rows[(rows["projection_high"] < 1) & (rows["projection"] < 1 - NOTABLE_SHRINKING)]
        others = rows.drop(shrunk.index)
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
    if "leak" in rows and rows["leak"].notna().any():
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
    unfinished = rows[rows["fit"] == "unfinished"]
    if len(unfinished) == 0:
        return []
    return [
        f"For {_bits(unfinished)} the in-distribution error is still "
        f"{_range(unfinished['in_distribution_error'])}, more than {100 * UNFITTED_SHARE:.0f} % of "
        "the influence: the fit is not finished, and agreement or disagreement there says little."
    ]


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
