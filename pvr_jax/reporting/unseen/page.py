"""The page of an experiment on unseen domains: one HTML file, figures inside and no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from pvr_jax.reporting import html
from pvr_jax.reporting.drawing import Illustration
from pvr_jax.reporting.tables import MISSING
from pvr_jax.reporting.unseen.definitions import DEFINITIONS
from pvr_jax.reporting.unseen.figures import MOST_PANELS
from pvr_jax.reporting.unseen.runs import Cell
from pvr_jax.reporting.unseen.tables import TITLES

TITLE = "Unseen domain: learned functions and the min-degree interpolator"
_CAPTIONS = {
    "coefficients": (
        "Coefficients over training",
        "A panel per task, model and learning rate: the learned coefficients of the monomials in "
        "target or MDI, at most six, those first in which the two differ most. Mean over the "
        "replicas that did not diverge, with a band from the smallest to the largest. Dotted: the "
        "MDI's coefficients, not drawn where they would dwarf the learned ones. The step axis is "
        "logarithmic, with step 0 at its left end.",
    ),
    "distance": (
        "Unseen error and distance to the MDI over training",
        "A panel per task, a colour per model. Solid: the error on the unseen inputs, the distance "
        "to the target. Dashed: the distance to the MDI. Dotted: the MDI's own unseen error, how "
        "far target and MDI are apart. A network that becomes the MDI ends with its solid line "
        "on the dotted one and its dashed line at 0.",
    ),
    "coefficient_distance": (
        "Distance in coefficients over training",
        "A panel per task, a colour per model. Half the squared distance of all Fourier "
        "coefficients of the learned function to those of the MDI, which is ½E(g − m)² over the "
        "whole domain. Dotted: that of the target, where a network stands that has learned it. A "
        "network that becomes the MDI ends at 0.",
    ),
    "leak_by_rate": (
        "Leak against learning rate",
        "The share of the dropped monomials that is learned, for every learning rate: mean with "
        "its 95 % interval; dots, slightly to the right: single replicas.",
    ),
    "degree_profile": (
        "Mass of every degree over training",
        "A panel per task, model and learning rate: the learned Fourier mass of each degree. "
        "Dashed: degrees above r, the degree of the MDI, which has no mass there. Degrees that "
        "never reach 1 % of the target's mass are left out, except the highest of the target.",
    ),
}
_BY_CELL = ("coefficients", "degree_profile")
_INTRODUCTION = (
    "f is the target, g the learned function, m the MDI, E the mean over uniform inputs of the "
    "domain that is named, ĝ(S) the Fourier coefficient of the monomial of the coordinates in S. "
    "All errors are half squared errors; the published code prints full ones, twice these."
)


@dataclass(frozen=True)
class Results:
    """All that a report shows: the cells, their tables as text, notes and findings."""

    cells: list[Cell]
    unfinished: list[str]
    shown: dict[str, pd.DataFrame]  # by the names in `tables.TITLES`
    notes: list[str]
    lead: str
    findings: list[tuple[str, str]]
    correlations: list[tuple[str, str]]  # title and text of every scan of learning rates


def render_page(
    results: Results, illustrations: Sequence[Illustration], directory: Path, files: Sequence[str]
) -> str:
    """Return the page that will stand in `directory`; links, also to `files`, are relative to it.

    `files` are the names of the table files beside the page.
    """
    sections = [
        ("summary", "Summary", html.summary(results.lead, results.findings)),
        ("tables", "Tables", _tables(results, files)),
        ("figures", "Figures", _figures(results, illustrations)),
        ("definitions", "Definitions", _definitions()),
        ("left-out", "Left out", _left_out(results)),
        ("runs", "Runs", _runs(results.cells, directory)),
    ]
    return html.document(TITLE, sections)


def _tables(results: Results, files: Sequence[str]) -> str:
    titled = []
    for name, shown in results.shown.items():
        if len(shown) == 0:
            continue
        content = html.table(shown)
        if name == "coefficients":
            content = f"<details><summary>{len(shown)} rows</summary>{content}</details>"
        titled.append((TITLES[name], content))
    return html.titled_tables(titled, results.notes, files)


def _figures(results: Results, illustrations: Sequence[Illustration]) -> str:
    parts = []
    for illustration in illustrations:
        alternative, caption = _CAPTIONS[illustration.name]
        if illustration.name in _BY_CELL and len(results.cells) > MOST_PANELS:
            caption += (
                f" At most {MOST_PANELS} panels are drawn, one of every task and model before any "
                "second."
            )
        if illustration.name == "leak_by_rate":
            texts = "; ".join(f"{title}: {text}" for title, text in results.correlations)
            caption += (
                " Spearman's rank correlation over replicas, 95 % interval: "
                f"{texts}. It is that of the rates whose fit is finished"
                f"{', and all intervals hold at once' if len(results.correlations) > 1 else ''}."
            )
        parts.append(html.figure(illustration, alternative, caption))
    return "\n".join(parts)


def _definitions() -> str:
    entries = [(definition.heading, definition.meaning) for definition in DEFINITIONS.values()]
    return f"<p>{escape(_INTRODUCTION)}</p>{html.definitions(entries)}"


def _left_out(results: Results) -> str:
    excluded = [
        f"{cell.name}, excluded: {replica.name}, diverged at step {replica.diverged_at}"
        for cell in results.cells
        for replica in cell.excluded
    ]
    return html.left_out([("Diverged replicas", excluded), ("Unfinished runs", results.unfinished)])


def _runs(cells: Sequence[Cell], directory: Path) -> str:
    parts = []
    for own in {cell.directory: cell for cell in cells}.values():
        count = sum(len(cell.replicas) for cell in cells if cell.directory == own.directory)
        links = html.run_links(own.directory, directory)
        parts.append(html.run_details(own.directory.name, _facts(own, count), links, own.config))
    return "\n".join(parts)


def _facts(cell: Cell, replicas: int) -> list[tuple[str, str]]:
    points = html.plain_value(cell.points)
    return [
        ("task", f"{cell.task_label} ({cell.task}), n = {cell.n}"),
        ("seen", f"{cell.seen or MISSING} ({100 * cell.seen_fraction:.4g} % of the inputs)"),
        ("training samples", html.plain_value(cell.training_samples)),
        ("evaluated", f"{points} {'(every input)' if cell.exact else 'at random'}"),
        ("model", cell.model_label),
        ("replicas", str(replicas)),
        ("last step", html.plain_value(int(cell.steps[-1]))),
        *html.record_facts(cell.record),
    ]
