"""The parts of the page that look at a whole study: its comparison and its matched runs."""

import re
from collections.abc import Sequence
from html import escape

import pandas as pd

from pvr_jax.reporting.comparison import Comparison
from pvr_jax.reporting.matched import Matched

COMPARISON_READING = (
    "One panel per model, one point per task and frozen bit, with its 95 % interval; hollow: a "
    "pointer bit is frozen. On the line the error is the influence, as the low-degree hypothesis "
    "predicts."
)
MATCHED_READING = (
    "One point per target, with its 95 % interval: the error on one training budget, as a share of "
    "the best constant's, against the noise stability of the target."
)


def comparison_content(comparison: Comparison, figure: str) -> str:
    """Return the content of the page's comparison: findings, figure, both tables and notes."""
    return "\n".join(
        [
            _findings(comparison.findings),
            figure,
            "<h3>Generalization error and influence</h3>",
            _table(comparison.errors),
            "<h3>Why: what was learned off the support</h3>",
            _table(comparison.why),
            _notes(comparison.notes),
            '<p>The same as a file: <a href="comparison.md">comparison.md</a>.</p>',
        ]
    )


def matched_content(matched: Matched, figure: str) -> str:
    """Return the content of the page's matched setting: findings, figure, table and notes."""
    return "\n".join(
        [
            _findings(matched.findings),
            figure,
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
    head = "".join(
        f'<th scope="col">{escape(name).replace("95 %", "95&nbsp;%")}</th>' for name in shown
    )
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>"
        for row in shown.to_numpy().tolist()
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    return escape(re.sub(r"-(?=[0-9])", "−", text.strip()))
