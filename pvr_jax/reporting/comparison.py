"""Every task and frozen bit of a study, the trained models side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pvr_jax.reporting.comparison_findings import arm_findings
from pvr_jax.reporting.definitions import THEORIES, heading, is_exact
from pvr_jax.reporting.kinds import READING, kinds_table
from pvr_jax.reporting.labels import (
    arm_labels,
    label_in_full,
    label_notes,
    natural,
    pointer_bits,
    rate_notes,
    short_labels,
)
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import (
    MARKS,
    MISSING,
    UNFITTED,
    exact_theories_of,
    excluded_notes,
    first_of_each,
    format_exact,
    format_interval,
    format_number,
    prediction_columns,
    render_findings,
    render_markdown,
    render_notes,
    summary_table,
    theories_of,
    where,
)
from pvr_jax.reporting.theories import (
    CELLS_TITLE,
    STUDY_READING,
    THEORY_TITLE,
    cell_theories,
    study_theories,
)
from pvr_jax.reporting.theories import READING as READING_OF_THEORIES
from pvr_jax.reporting.verdicts import NOT_FITTED, UNFITTED_SHARE, not_fitted
from pvr_jax.results import statistics

MOST_ARM_COLUMNS = 4  # with more arms each gets its own row
WHY = (
    "projection",
    "leak",
    "influence_overlap",
    "learned_influence",
    "residual_variance",
    "in_distribution_error",
)


@dataclass(frozen=True)
class Comparison:
    """A study's tables as text, the sentences about them, and the numbers behind them.

    `cells` is the summary table, a row per run and frozen bit, with the columns `arm` (what was
    trained), `task_short`, `pointer_bit` and `model_in_full` added, sorted by task, bit and arm.
    `theories` (by kind of bit) and `predictions` (cell by cell) are empty where no theory was
    compared with what was learned.
    """

    cells: pd.DataFrame
    kinds: pd.DataFrame
    theories: pd.DataFrame
    predictions: pd.DataFrame
    errors: pd.DataFrame
    why: pd.DataFrame
    notes: list[str]
    findings: list[tuple[str, str]]


def compare(runs: Sequence[Run], table: pd.DataFrame) -> Comparison:
    """Return the comparison of canonical runs; `table` is their summary table."""
    cells = comparison_cells(runs, table)
    return Comparison(
        cells=cells,
        kinds=kinds_table(runs, cells),
        theories=study_theories(runs, cells),
        predictions=cell_theories(cells, error_texts(cells)),
        errors=error_table(cells),
        why=why_table(cells),
        notes=[*_notes(cells), *rate_notes(runs)],
        findings=arm_findings(runs, cells),
    )


def comparison_table(runs: Sequence[Run]) -> str:
    """Return the comparison of canonical runs as Markdown that reads well in a terminal."""
    return render_comparison(compare(runs, summary_table(runs)))


def render_comparison(comparison: Comparison) -> str:
    """Return the tables, their notes and the findings as aligned Markdown."""
    theories = [
        f"### {THEORY_TITLE}\n",
        render_markdown(comparison.theories),
        f"{STUDY_READING}\n",
        f"### {CELLS_TITLE}\n",
        render_markdown(comparison.predictions),
        f"{READING_OF_THEORIES}\n",
    ]
    return "\n".join(
        [
            "### By model\n",
            render_markdown(comparison.kinds),
            f"{READING}\n",
            *(theories if len(comparison.theories) else []),
            "### Generalization error and influence\n",
            render_markdown(comparison.errors),
            render_notes(comparison.notes),
            "### Why: what was learned off the support\n",
            render_markdown(comparison.why),
            "### What the numbers say\n",
            render_findings(comparison.findings),
        ]
    )


def comparison_cells(runs: Sequence[Run], table: pd.DataFrame) -> pd.DataFrame:
    """Return the summary table with more columns, sorted by task, bit and arm.

    `arm`, `task_short`, `pointer_bit`, and `model_in_full`, the label that names all parameters.
    """
    pointers = {run.name: pointer_bits(run) or 0 for run in runs}
    cells = table.assign(
        pointer_bit=table["frozen_bit"] < table["run"].map(pointers),
        arm=table["run"].map(arm_labels(runs)),
        model_in_full=table["run"].map({run.name: label_in_full(run) for run in runs}),
        task_short=_task_names(table),
    )
    order = sorted(
        cells.index,
        key=lambda i: (
            natural(cells.at[i, "task_short"]),
            cells.at[i, "frozen_bit"],
            natural(cells.at[i, "arm"]),
        ),
    )
    return cells.loc[order].reset_index(drop=True)


def _task_names(table: pd.DataFrame) -> pd.Series:
    """Return the short label of every row's task.

    Of one label whose influences differ from run to run, a file or function that was changed, say,
    there are several tasks: the digits of the configuration are added.
    """
    names = table["task_label"].map(short_labels(table["task_label"]))
    influences = table.groupby(["task_label", "frozen_bit"])["influence"]
    several = influences.transform(lambda own: len(set(statistics.without_rounding(own))) > 1)
    several = several.astype(bool).groupby(table["task_label"]).transform("any")
    digits = table["run"].map(lambda run: run.split(", ")[0].rsplit("-", 1)[-1])
    return names.where(~several, names + ", " + digits)


def arms_of(cells: pd.DataFrame) -> list[str]:
    """Return the arms of a study in the order in which they are shown."""
    return sorted(cells["arm"].unique(), key=natural)


def error_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Return measured errors beside the influence, as text.

    A row per task and frozen bit with a column per arm, or, with more than four arms or several
    with exact predictions of their own, a row per task, bit and arm. Other predictions of several
    arms have no place in the former; they are in the table of theories.
    """
    arms = arms_of(cells)
    exact = len(exact_theories_of(cells)) > 0
    wide = len(arms) == 1 or (len(arms) <= MOST_ARM_COLUMNS and not exact)
    return _wide(cells, arms) if wide else _long(cells)


def _wide(cells: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    rows = cells.drop_duplicates(["task_short", "frozen_bit"])
    columns = {
        "task": first_of_each(rows, "task_short"),
        "frozen bit": [str(bit) for bit in rows["frozen_bit"]],
        heading("influence"): [format_exact(value) for value in rows["influence"]],
        **(prediction_columns(rows) if len(arms) == 1 else {}),
    }
    for arm in arms:
        own = cells[cells["arm"] == arm].set_index(["task_short", "frozen_bit"])
        texts = pd.Series(error_texts(own), own.index, dtype=object)
        keys = zip(rows["task_short"], rows["frozen_bit"], strict=True)
        columns[f"{arm} [95 %]"] = [texts.get(key, f"{MISSING}  ") for key in keys]
    return pd.DataFrame(columns)


def _long(cells: pd.DataFrame) -> pd.DataFrame:
    first = ~cells.duplicated(["task_short", "frozen_bit"])
    return pd.DataFrame(
        {
            "task": first_of_each(cells, "task_short"),
            "frozen bit": where(first, cells["frozen_bit"].map(str)),
            heading("influence"): where(first, cells["influence"].map(format_exact)),
            "model": list(cells["arm"]),
            **prediction_columns(cells),
            "generalization error [95 %]": error_texts(cells),
        }
    )


def error_texts(cells: pd.DataFrame) -> list[str]:
    """Return the cells' errors with their intervals, marked where these leave the influence out.

    Another mark is for cells whose replicas did not fit what they saw.
    """
    return [
        "diverged  "
        if row.replicas == 0
        else format_interval(
            row.generalization_error, row.generalization_error_low, row.generalization_error_high
        )
        + row.generalization_error_by_seed
        + (MARKS.get(row.verdict, "  ") if row.fit == "finished" else UNFITTED)
        for row in cells.itertuples()
    ]


def why_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row of text per task, frozen bit and arm with what explains the error."""
    first = ~cells.duplicated(["task_short", "frozen_bit"])
    ratio = cells["generalization_error"] / cells["influence"].where(cells["influence"] > 0)
    columns = {
        "task": first_of_each(cells, "task_short"),
        "frozen bit": where(first, cells["frozen_bit"].map(str)),
        "model": list(cells["arm"]),
        "error / influence": [format_number(value, 3) for value in ratio],
    }
    for name in WHY:
        if name in cells:
            columns[heading(name)] = [format_number(value, 3) for value in cells[name]]
    columns[NOT_FITTED] = [format_number(value, 3) for value in not_fitted(cells)]
    columns["replicas"] = [str(value) for value in cells["replicas"]]
    columns["excluded"] = [str(value) for value in cells["excluded"]]
    return pd.DataFrame(columns)


def _notes(cells: pd.DataFrame) -> list[str]:
    losses = " / ".join(dict.fromkeys(cells["loss"]))
    notes = [
        f"Generalization error ({losses} over the whole cube) at the last evaluation: mean over "
        f"replicas and {statistics.INTERVAL_WORDS}.",
        statistics.SEEDS_WORDS,
        f"↓ and ↑: an interval that holds for all {len(cells)} cells at once with 95 % lies below "
        "or above the influence, so error = influence does not hold there. Where the influence is "
        "0, ↑ says that the unseen inputs add to the error of the seen ones.",
        *(
            [
                "†: the mean in-distribution error is above "
                f"{100 * UNFITTED_SHARE:.0f} % of the influence (of ½ E f² where that is 0), or "
                "not measured: the fit is not finished, and there is no verdict."
            ]
            if (cells["fit"] != "finished").any()
            else []
        ),
        "Exactly, error = influence − 2·overlap + learned influence + not fitted, which is what "
        "differences on the seen inputs add; the low-degree prediction is that all three are 0.",
    ]
    for name in theories_of(cells):
        meaning = f" {THEORIES[name].meaning}" if name in THEORIES else ""
        deviation = (
            f" Deviation: the largest |error / {heading(name)} − 1| of a replica."
            if is_exact(name)
            else ""
        )
        notes.append(f"{heading(name)}: predicted by theory.{meaning}{deviation}")
    notes += label_notes(short_labels(cells["task_label"].unique()))
    notes += label_notes(short_labels(cells["model_label"].unique()))
    return notes + excluded_notes(cells)
