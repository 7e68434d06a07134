"""The parts of the page that look at a whole study: its comparison and its matched runs."""

import re
from collections.abc import Sequence
from html import escape

import pandas as pd

from pvr_jax.reporting.comparison import Comparison
from pvr_jax.reporting.initialisation import READING as INITIALISATION
from pvr_jax.reporting.kinds import READING as KINDS
from pvr_jax.reporting.matched import Matched
from pvr_jax.reporting.study import Study
from pvr_jax.reporting.tables import LEFT_ALIGNED
from pvr_jax.reporting.theories import STUDY_READING, THEORY_TITLE
from pvr_jax.reporting.twins import READING as TWINS
from pvr_jax.reporting.twins import shown_twins

# By file name: the alternative text and the caption.
STUDY_FIGURES = {
    "comparison": (
        "Error against influence for every task",
        "One panel per model, one point per task and frozen bit, with its 95 % interval; hollow: a "
        "pointer bit is frozen. On the line the error is the influence, as the low-degree "
        "hypothesis predicts.",
    ),
    "initialisation": (
        "Error against the init exponent",
        "Weights and biases start uniform in ±fan_in^−α: to the right the networks start smaller. "
        "Points: mean error with its 95 % interval. Dashed: the influence, which the low-degree "
        "hypothesis predicts. Dotted: the exact value of linear regression. Left out: networks "
        "that did not fit what they saw.",
    ),
    "twins": (
        "Coefficients of monomials that training cannot tell apart",
        "Solid: low-degree monomials T. Dashed: their twins with the frozen bit, which are in the "
        "target. Dotted: the low-degree prediction. Bands reach from the smallest to the largest "
        "replica.",
    ),
    "matched": (
        "Error against noise stability",
        "One point per target, with its 95 % interval: the error on one training budget, as a "
        "share of the best constant's, against the noise stability of the target.",
    ),
}


def study_sections(study: Study, images: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return the (id, title, content) of the page's sections; `images` are figures by name."""
    sections = []
    if len(study.initialisation):
        parts = (study.initialisation, INITIALISATION, ["initialisation.md"])
        content = _illustrated(images["initialisation"], *parts)
        sections.append(("initialisation", "From linear regression to the influence", content))
    if study.comparison:
        content = _comparison(study.comparison, images)
        sections.append(("comparison", "Comparison", content))
    if len(study.twins):
        parts = (shown_twins(study.twins), TWINS, ["twins.csv", "twins.md"])
        content = _illustrated(images.get("twins", ""), *parts)
        sections.append(("twins", "Monomials that training cannot tell apart", content))
    if study.matched:
        sections.append(("matched", "Matched setting", _matched(study.matched, images)))
    return sections


def _illustrated(image: str, table: pd.DataFrame, reading: str, files: Sequence[str]) -> str:
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in files)
    text = f"<p>{escape(reading)} The same as a file: {links}.</p>"
    return "\n".join([image, _table(table), text])


def _comparison(comparison: Comparison, images: dict[str, str]) -> str:
    theories = [
        f"<h3>{escape(THEORY_TITLE)}</h3>",
        _table(comparison.theories),
        f"<p>{escape(STUDY_READING)}</p>",
    ]
    return "\n".join(
        [
            _findings(comparison.findings),
            images["comparison"],
            "<h3>By model</h3>",
            _table(comparison.kinds),
            f"<p>{escape(KINDS)}</p>",
            *(theories if len(comparison.theories) else []),
            "<h3>Generalization error and influence</h3>",
            _table(comparison.errors),
            "<h3>Why: what was learned off the support</h3>",
            _table(comparison.why),
            _notes(comparison.notes),
            '<p>The same as a file: <a href="comparison.md">comparison.md</a>.</p>',
        ]
    )


def _matched(matched: Matched, images: dict[str, str]) -> str:
    return "\n".join(
        [
            _findings(matched.findings),
            images["matched"],
            _table(matched.shown),
            _notes(matched.notes),
            '<p>The same as files: <a href="matched.md">matched.md</a>, '
            '<a href="matched.csv">matched.csv</a>.</p>',
        ]
    )


def _findings(findings: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"<h3>{escape(title)}</h3><p>{escape(text)}</p>" for title, text in findings)


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>'


def _table(shown: pd.DataFrame) -> str:
    marks = [' class="text"' if name in LEFT_ALIGNED else "" for name in shown]
    head = "".join(
        f'<th scope="col"{mark}>{escape(name).replace("95 %", "95&nbsp;%")}</th>'
        for name, mark in zip(shown, marks, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(f"<td{mark}>{_cell(cell)}</td>" for cell, mark in zip(row, marks, strict=True))
        + "</tr>"
        for row in shown.to_numpy().tolist()
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    return escape(re.sub(r"-(?=[0-9])", "−", text.strip()))
