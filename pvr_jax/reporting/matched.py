"""The matched setting: nothing frozen, the error beside the noise stability of the target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pvr_jax.reporting.definitions import heading
from pvr_jax.reporting.findings import count
from pvr_jax.reporting.labels import arm_labels, label_notes, natural, rate_notes, short_labels
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import (
    BY_SEED,
    excluded_notes,
    format_number,
    interval_column,
    render_findings,
    render_markdown,
    render_notes,
    replica_counts,
    seeds_text,
    settings_columns,
)
from pvr_jax.results import statistics

STABILITY = "target_noise_stability"
BOUND = "target_orbit_cross_predictability_bound"
PREDICTABILITY = "target_orbit_cross_predictability"
ROUNDING = 1e-12  # relative; the three numbers are sums of 2^n products in float64


@dataclass(frozen=True)
class Matched:
    """The matched runs' table as numbers and as text, its notes, and the sentences about it."""

    cells: pd.DataFrame
    shown: pd.DataFrame
    notes: list[str]
    findings: list[tuple[str, str]]


def match(runs: Sequence[Run]) -> Matched:
    """Return table, notes and findings of matched runs."""
    cells = matched_cells(runs)
    notes = [*_notes(cells), *rate_notes(runs)]
    return Matched(cells, _shown(cells), notes, matched_findings(cells))


def render_matched(matched: Matched) -> str:
    """Return the table, its notes and the findings as aligned Markdown."""
    return "\n".join(
        [
            "### Matched setting: error and noise stability of the target\n",
            render_markdown(matched.shown),
            render_notes(matched.notes),
            render_findings(matched.findings),
        ]
    )


def matched_cells(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a row per matched run, the most noise-stable target first.

    `generalization_error` is the mean over counted replicas of ½ E(f̃ − f)² over the whole cube,
    `_low` and `_high` its 95 % interval; `relative_error` divides all three by
    ½ Var f, the error of the best constant; `target_<name>` are exact measures of the target.
    """
    arms = arm_labels(runs)
    tasks = short_labels(run.task_label for run in runs)
    cells = pd.DataFrame([_row(run) for run in runs])
    cells.insert(0, "arm", cells["run"].map(arms))
    cells.insert(0, "task_short", cells["task_label"].map(tasks))
    order = sorted(
        cells.index,
        key=lambda i: (
            -np.nan_to_num(cells.at[i, STABILITY], nan=-math.inf),
            natural(cells.at[i, "task_short"]),
            natural(cells.at[i, "arm"]),
        ),
    )
    return cells.loc[order].reset_index(drop=True)


def _row(run: Run) -> dict[str, object]:
    target = {"mean": math.nan, "variance": math.nan} | (run.target or {})
    for name in (STABILITY, BOUND, PREDICTABILITY):
        target.setdefault(name.removeprefix("target_"), math.nan)
    errors = run.final("generalization_error", None)
    low, high = statistics.mean_interval(errors, "positive")
    row = settings_columns(run) | replica_counts(run, None)
    values = {"": statistics.mean(errors), "_low": low, "_high": high}
    constant = target["variance"] / 2 if target["variance"] > 0 else math.nan
    row |= {f"generalization_error{side}": float(value) for side, value in values.items()}
    row |= {f"relative_error{side}": float(value) / constant for side, value in values.items()}
    row[f"generalization_error{BY_SEED}"] = seeds_text(errors)
    row[f"relative_error{BY_SEED}"] = seeds_text(errors / constant)
    row["mean_square"] = target["variance"] + target["mean"] ** 2
    return row | {f"target_{name}": value for name, value in target.items()}


def _shown(cells: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "task": list(cells["task_short"]),
        "model": list(cells["arm"]),
        "replicas": [str(value) for value in cells["replicas"]],
        "excluded": [str(value) for value in cells["excluded"]],
        **interval_column(cells, "generalization_error", "error"),
        **interval_column(cells, "relative_error", "error / ½ Var f"),
        "E f²": [format_number(value) for value in cells["mean_square"]],
    }
    for name in (STABILITY, BOUND, PREDICTABILITY):
        columns[heading(name)] = [format_number(value) for value in cells[name]]
    return pd.DataFrame(columns)


def _notes(cells: pd.DataFrame) -> list[str]:
    losses = " / ".join(dict.fromkeys(cells["loss"]))
    notes = [
        f"Error: {losses} over the whole cube at the last evaluation, mean over replicas with "
        f"{statistics.INTERVAL_WORDS}. {statistics.SEEDS_WORDS} Training drew from the whole cube: "
        "there is no other distribution. Half the variance, ½ Var f, is the error of the best "
        "constant.",
        "Stab_½, bound and CP are exact properties of the target; CP is of its orbit among "
        "functions of twice as many bits.",
    ]
    notes += label_notes(short_labels(cells["task_label"].unique()))
    notes += label_notes(short_labels(cells["model_label"].unique()))
    return notes + excluded_notes(cells)


def matched_findings(cells: pd.DataFrame) -> list[tuple[str, str]]:
    """Return a paragraph per arm on error and noise stability, and one on the bound itself."""
    findings = [
        (arm, _correlation(cells[cells["arm"] == arm]))
        for arm in sorted(cells["arm"].unique(), key=natural)
    ]
    return [*findings, ("The bound", _order_of_bounds(cells))]


def _correlation(rows: pd.DataFrame) -> str:
    usable = rows[rows["generalization_error"].notna() & rows[STABILITY].notna()]
    sentences = []
    for name, words in (
        ("generalization_error", "error"),
        ("relative_error", "error as a share of ½ Var f"),
    ):
        variances = statistics.without_rounding(usable["target_variance"].dropna())
        if name == "relative_error" and len(set(variances)) < 2:
            continue  # the same ranks again
        pairs = usable[STABILITY].to_numpy(), usable[name].to_numpy()
        correlation = statistics.rank_correlation(*pairs)
        if math.isnan(correlation):
            continue
        low, high = statistics.rank_correlation_interval(*pairs)
        text = (
            f"Over {count(len(usable), 'task')}, Spearman's rank correlation of {words} with "
            f"Stab_½ is {correlation:.2f}"
        )
        if math.isnan(low):
            text += " (too few tasks for an interval)."
        else:
            text += f" [{low:.2f}, {high:.2f}] (95 %)"
            text += (
                ": the less noise-stable the target, the larger the error."
                if high < 0
                else ": the opposite of what the bound suggests."
                if low > 0
                else ": no clear relation."
            )
        sentences.append(text)
    if not sentences:
        sentences.append(
            f"{count(len(usable), 'task')} with an error and a known Stab_½: too few for a rank "
            "correlation."
        )
    excluded = int(rows["excluded"].sum())
    if excluded:
        sentences.append(f"{count(excluded, 'replica')} diverged and not counted.")
    return " ".join(sentences)


def _order_of_bounds(cells: pd.DataFrame) -> str:
    targets = cells.drop_duplicates("task_label")
    known = targets[targets[[STABILITY, BOUND, PREDICTABILITY]].notna().all(axis=1)]
    caution = (
        "The lower bound on the error of symmetric networks has a prefactor that is not verified "
        "here, so no value of it is claimed."
    )
    if len(known) == 0:
        return f"CP and Stab_½ of the targets are not known. {caution}"
    above = 1 + ROUNDING
    holds = (known[PREDICTABILITY] <= known[BOUND] * above) & (
        known[BOUND] <= known[STABILITY] * above
    )
    if holds.all():
        text = f"CP ≤ bound ≤ Stab_½ holds for all {count(len(known), 'target')}, as computed."
        if len(known) == 1:
            text = "CP ≤ bound ≤ Stab_½ holds for the target, as computed."
    else:
        failing = ", ".join(known.loc[~holds, "task_short"])
        text = (
            f"CP ≤ bound ≤ Stab_½ fails for {failing}, as computed: these numbers must be wrong, "
            "as it is a theorem."
        )
    return f"{text} {caution}"
