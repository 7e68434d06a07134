"""The page: one HTML file that opens from disk, with its figures inside and no script."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from pvr_jax.reporting import html
from pvr_jax.reporting.definitions import DEFINITIONS, heading
from pvr_jax.reporting.drawing import Illustration
from pvr_jax.reporting.findings import overview, run_findings
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.study import Study
from pvr_jax.reporting.study_page import STUDY_FIGURES, study_sections
from pvr_jax.reporting.tables import (
    MISSING,
    display_table,
    explaining_theories_of,
    group_titles,
    run_title,
    table_notes,
    theories_of,
)
from pvr_jax.reporting.theories import READING as THEORY_READING
from pvr_jax.reporting.theories import (
    REASONS_READING,
    REASONS_TITLE,
    THEORY_TITLE,
    reasons_table,
    theory_table,
)

MOST_RUNS_TOLD = 3

_VERDICTS = {"inside": "yes", "above": "error above", "below": "error below", "": MISSING}
_READING = {
    "error": "Bars: the exact Boolean influence of each frozen bit. Points: mean generalization "
    "error over the replicas that did not diverge, with its 95 % interval; dots: single replicas. "
    "Where the point sits at the top of its bar, error = influence holds. The strip below shows "
    "their difference, enlarged; the line at zero is the low-degree prediction.",
    "profile": "One panel per frozen bit, one line per degree d: the learned function's Fourier "
    "weight of degree d, mean over replicas, with a band from the smallest to the largest replica. "
    "Dashed: the same weight of the frozen target, where the low-degree prediction says each line "
    "should end. The step axis is logarithmic, with step 0 at its left end. Degrees with less "
    "than 1 % of the mass are left out.",
    "tracked": "One panel per pair that training cannot tell apart, the largest first: a "
    "low-degree monomial (solid) and its twin with the frozen bit (dashed). Dotted: the low-degree "
    "prediction, for the solid line its target coefficient plus the frozen value times that of its "
    "twin, for the dashed line zero. Bands reach from the smallest to the largest replica.",
}


def render_page(
    runs: Sequence[Run],
    unfinished: Sequence[str],
    study: Study,
    illustrations: Sequence[Illustration],
    directory: Path,
) -> str:
    """Return the page that will stand in `directory`; links to files are relative to it."""
    experiment = runs[0].experiment.replace("_", " ")
    title = (
        f"{experiment[:1].upper()}{experiment[1:]}: generalization error and Boolean influence"
        if study.canonical
        else "Nothing frozen: error and noise stability"
    )
    canonical, table = study.canonical, study.table
    drawn = {illustration.name: illustration for illustration in illustrations}
    sections = [("summary", "Summary", _summary(canonical, table))] if canonical else []
    images = {
        name: html.figure(drawn[name], *words)
        for name, words in STUDY_FIGURES.items()
        if name in drawn
    }
    sections += study_sections(study, images)
    if canonical:
        sections.append(("table", "Table", _table(table)))
        sections.append(("definitions", "Definitions", _definitions(table)))
    if own := [i for i in illustrations if i.name not in STUDY_FIGURES]:
        sections.append(("figures", "Figures", _figures(runs, own)))
    sections.append(("left-out", "Left out", _left_out(runs, unfinished)))
    sections.append(("runs", "Runs", _details(runs, directory)))
    return html.document(title, sections)


def _summary(runs: Sequence[Run], table: pd.DataFrame) -> str:
    question = (
        "Each network was trained with one input bit frozen and is measured on all inputs. The "
        "low-degree hypothesis predicts that its generalization error equals the Boolean "
        "influence of the frozen bit."
    )
    # Of many runs, the comparison says what each model shows.
    findings = run_findings(runs, table) if len(runs) <= MOST_RUNS_TOLD else ()
    return html.summary(f"{question} {overview(table)}", findings)


def _table(table: pd.DataFrame) -> str:
    groups = group_titles(table)
    shown = display_table(table)
    shown["influence in interval"] = [_VERDICTS[verdict] for verdict in table["verdict"]]
    outside = (_VERDICTS["above"], _VERDICTS["below"])
    parts = [html.table(shown, groups, outside), html.bullets(table_notes(table), "notes")]
    names = ["table.csv", "table.md", "table.tex", "replicas.csv"]
    theories = theory_table(table)
    if len(theories):
        parts += [f"<h3>{escape(THEORY_TITLE)}</h3>", html.table(theories, groups)]
        parts.append(f"<p>{escape(THEORY_READING)}</p>")
    if table["run"].nunique() == 1:  # of several runs the comparison has this table
        names += ["theory.md"] if len(theories) else []
        names.append("why.md")
        reasons = html.table(reasons_table(table), groups)
        parts += [f"<h3>{escape(REASONS_TITLE)}</h3>", reasons]
        parts.append(f"<p>{escape(REASONS_READING)}</p>")
    parts.append(f"<p>The same numbers as files: {html.file_links(names)}.</p>")
    return "\n".join(parts)


def _figures(runs: Sequence[Run], illustrations: Sequence[Illustration]) -> str:
    parts = []
    for illustration in illustrations:
        if illustration.run is None:
            alternative = "Generalization error beside influence for every frozen bit"
            parts.append(html.figure(illustration, alternative, _READING["error"]))
    for run in runs:
        own = [i for i in illustrations if i.run == run.name]
        if not own:
            continue
        parts.append(f"<h3>{escape(run_title(run))}</h3>")
        first_tracked = True
        for illustration in own:
            if illustration.bit is None:
                text = _READING["profile"]
                parts.append(html.figure(illustration, "Degree profile over training", text))
                continue
            label = f"Coefficients of paired monomials over training, bit {illustration.bit} frozen"
            text = f"{label}. {_READING['tracked']}" if first_tracked else f"{label}, as above."
            first_tracked = False
            parts.append(html.figure(illustration, label, text))
    return "\n".join(parts)


def _definitions(table: pd.DataFrame) -> str:
    shown = {*table.columns, *theories_of(table)}
    shown |= {"unexplained"} if explaining_theories_of(table) else set()
    setting = (
        "f is the target, f̃ the learned function, k the frozen bit (0-indexed), f₋ₖ the target "
        "with bit k frozen at its training value, E the mean over uniform inputs."
    )
    entries = [(d.heading, d.meaning) for name, d in DEFINITIONS.items() if name in shown]
    return f"<p>{escape(setting)}</p>{html.definitions(entries)}"


def _left_out(runs: Sequence[Run], unfinished: Sequence[str]) -> str:
    excluded = [
        f"{run.name}, excluded: {replica.name}, diverged at step {replica.diverged_at}"
        for run in runs
        for bit in run.bits
        for replica in run.excluded(bit)
    ]
    return html.left_out([("Diverged replicas", excluded), ("Unfinished runs", unfinished)])


def _details(runs: Sequence[Run], directory: Path) -> str:
    return "\n".join(
        html.run_details(
            run.name, _facts(run), html.run_links(run.directory, directory), run.config
        )
        for run in runs
    )


def _facts(run: Run) -> list[tuple[str, str]]:
    return [
        ("task", f"{run.task_label} ({run.task}), n = {run.n}"),
        ("replicas", str(len(run.replicas))),
        ("frozen bits", "none" if run.matched else ", ".join(map(str, run.bits))),
        ("frozen value", MISSING if run.matched else f"{run.frozen_value:+d}"),
        ("last step", str(run.steps[-1])),
        *((f"{heading(name)} not defined", text) for name, text in run.not_defined.items()),
        *html.record_facts(run.record),
    ]
