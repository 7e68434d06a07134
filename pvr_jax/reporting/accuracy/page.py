"""The page of the experiment: one HTML file, figures inside and no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from pvr_jax.reporting import html
from pvr_jax.reporting.accuracy import examples
from pvr_jax.reporting.accuracy.cells import Arm, Cell
from pvr_jax.reporting.accuracy.illustrations import figures_by_kind
from pvr_jax.reporting.accuracy.labels import arm_labels
from pvr_jax.reporting.accuracy.reading import Examples
from pvr_jax.reporting.accuracy.shown import TITLES, grouped
from pvr_jax.reporting.accuracy.thresholds import LEVEL
from pvr_jax.reporting.drawing import Illustration
from pvr_jax.reporting.page_style import EXAMPLES_STYLE

TITLE = "Pointer value retrieval: accuracy on seen and withheld inputs"
LONG = 24  # rows from which a table is folded away
_DEFINITIONS = {
    "cell": "The replicas of one run, task, size of the training set, learning rate and init "
    "scale, which differ in the seed alone. The seed decides the training set, the initial "
    "parameters and the order of batches.",
    "task": "An input is a pointer and ten values. Pointer p selects the window of complexity + 1 "
    "values that begins with value p; the label is an aggregation of them: sum modulo 10, "
    "smallest, largest, lower median, or most frequent (of several the smallest). With complexity "
    "0 all of them are plain retrieval. In pictures the pointer of the block task, top left, "
    "selects one of the other three digits: 0 to 3 top right, 4 to 6 bottom left, 7 to 9 bottom "
    "right. In conditional PVR the pointer goes from place to place while the number there is "
    "larger than the place; the label is how often.",
    "top-1 accuracy": "The share of inputs whose most probable class is the label.",
    "loss": "Mean cross-entropy in nats: minus the natural logarithm of the label's probability.",
    "training loss": "That of the training set, or its beginning, at the evaluation.",
    "batch loss": "That of the batches since the evaluation before, each before its own step: of a "
    "stream, whose samples are shown once, the only loss of training.",
    "i.i.d.": "New inputs from the distribution of the training inputs.",
    "withheld": "Inputs that training never shows, and only those: the adversarial test set.",
    "holdout-i": "The first i permutations of 0, …, complexity in lexicographic order are "
    "withheld. Where the window of a training input is one of them, 1 is added modulo 10 to all "
    "ten values, the pointer stays. Withheld inputs are drawn as any, and then their window is "
    "overwritten with one of the withheld permutations, all alike. Every single digit is seen at "
    "every place.",
    "positional holdout": "In pictures training never shows 1, 2, 3 top right, 4, 5, 6 bottom left "
    "and 7, 8, 9, 0 bottom right; withheld inputs have only these there.",
    "gap": "i.i.d. minus withheld accuracy of one replica, in percentage points.",
    "chance": "The accuracy of the best constant guess: the largest probability of a label.",
    "label entropy": "The entropy of the label in bits, for uniform inputs.",
    "noise sensitivity": "The probability that the label changes when every token, the pointer "
    "among its allowed values included, is drawn anew with probability δ.",
    f"samples to {LEVEL}": "The fewest training samples with which i.i.d. accuracy reaches "
    f"{LEVEL}, per seed. Of a stream, in which every sample is shown once, those shown "
    "until then.",
}


@dataclass(frozen=True)
class Results:
    """All that a report shows: cells, their tables as text, notes, findings and examples."""

    cells: list[Cell]
    unfinished: list[str]
    shown: dict[str, pd.DataFrame]  # by the names in `tables.TITLES`
    notes: list[str]
    lead: str
    findings: list[tuple[str, str]]
    examples: list[Examples]


def render_page(
    results: Results, illustrations: Sequence[Illustration], directory: Path, files: Sequence[str]
) -> str:
    """Return the page that will stand in `directory`; links, also to `files`, are relative to it.

    `files` are the names of the table files beside the page.
    """
    tables = [(TITLES[name], _table(shown)) for name, shown in results.shown.items()]
    figures = []
    for title, drawn in figures_by_kind(illustrations, results.cells):
        figures += [f"<h3>{escape(title)}</h3>", *(html.figure(*parts) for parts in drawn)]
    sections = [
        ("summary", "Summary", html.summary(results.lead, results.findings)),
        ("tables", "Tables", html.titled_tables(tables, results.notes, files)),
        ("figures", "Figures", "\n".join(figures)),
        ("examples", "Examples", examples.section(results.examples, results.cells)),
        ("definitions", "Definitions", html.definitions(_DEFINITIONS.items())),
        ("left-out", "Left out", _left_out(results)),
        ("runs", "Runs", _runs(results.cells, directory)),
    ]
    return html.document(TITLE, sections, EXAMPLES_STYLE)


def _table(shown: pd.DataFrame) -> str:
    """Return a table, folded away where it is long, its repeated names as titles of groups."""
    names = [name for name in ("task", "model") if name in shown]
    if not names:
        content = html.table(shown)
    else:
        groups = [(", ".join(key), rows.index) for key, rows in shown.groupby(names, sort=False)]
        content = html.table(shown.drop(columns=names), groups)
    if len(shown) <= LONG:
        return content
    return f"<details><summary>{len(shown)} rows</summary>{content}</details>"


def _left_out(results: Results) -> str:
    diverged = [
        f"{cell.name}: {replica.name} diverged at step {replica.diverged_at}"
        for cell in results.cells
        for replica in cell.replicas
        if replica.diverged_at is not None
    ]
    parts = [("Diverged replicas", diverged), ("Unfinished runs", results.unfinished)]
    return html.left_out(parts)


def _runs(cells: Sequence[Cell], directory: Path) -> str:
    labels = arm_labels(cells)
    parts = []
    for run in dict.fromkeys(cell.arm.directory for cell in cells):
        own = [cell for cell in cells if cell.arm.directory == run]
        links = html.run_links(run, directory)
        parts.append(html.run_details(run.name, _facts(own, labels), links, own[0].config))
    return "\n".join(parts)


def _facts(cells: Sequence[Cell], labels: dict[Arm, str]) -> list[tuple[str, str]]:
    """Return what a run's record says of it, for people."""
    first = cells[0]
    samples = "fresh, every row shown once" if first.is_fresh else "fixed training sets"
    return [
        ("task", first.task_label),
        ("model", f"{first.model_label}, {first.optimizer}, batches of {first.batch_size}"),
        ("called here", "; ".join(dict.fromkeys(labels[cell.arm] for cell in cells))),
        ("training samples", samples),
        ("cells, replicas", f"{len(cells)}, {sum(len(cell.replicas) for cell in cells)}"),
        ("steps", grouped(int(first.steps[-1]))),
        ("test samples", f"{grouped(first.test_samples)} of each kind"),
        *html.record_facts(first.record),
    ]
