"""The parts of the page that look at a whole study: its comparison and its matched runs."""

from collections.abc import Sequence
from html import escape

import pandas as pd

from pvr_jax.reporting.comparison import Comparison
from pvr_jax.reporting.html import bullets, file_links, paragraphs, table
from pvr_jax.reporting.initialisation import READING as INITIALISATION
from pvr_jax.reporting.kinds import READING as KINDS
from pvr_jax.reporting.matched import Matched
from pvr_jax.reporting.study import Study
from pvr_jax.reporting.theories import CELLS_TITLE, STUDY_READING, THEORY_TITLE
from pvr_jax.reporting.theories import READING as CELLS_READING
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


def _illustrated(image: str, shown: pd.DataFrame, reading: str, files: Sequence[str]) -> str:
    text = f"<p>{escape(reading)} The same as a file: {file_links(files)}.</p>"
    return "\n".join([image, table(shown), text])


def _comparison(comparison: Comparison, images: dict[str, str]) -> str:
    theories = [
        f"<h3>{escape(THEORY_TITLE)}</h3>",
        table(comparison.theories),
        f"<p>{escape(STUDY_READING)}</p>",
        f"<h3>{escape(CELLS_TITLE)}</h3>",
        table(comparison.predictions),
        f"<p>{escape(CELLS_READING)}</p>",
    ]
    return "\n".join(
        [
            paragraphs(comparison.findings),
            images["comparison"],
            "<h3>By model</h3>",
            table(comparison.kinds),
            f"<p>{escape(KINDS)}</p>",
            *(theories if len(comparison.theories) else []),
            "<h3>Generalization error and influence</h3>",
            table(comparison.errors),
            "<h3>Why: what was learned off the support</h3>",
            table(comparison.why),
            bullets(comparison.notes, "notes"),
            f"<p>The same as a file: {file_links(['comparison.md'])}.</p>",
        ]
    )


def _matched(matched: Matched, images: dict[str, str]) -> str:
    return "\n".join(
        [
            paragraphs(matched.findings),
            images["matched"],
            table(matched.shown),
            bullets(matched.notes, "notes"),
            f"<p>The same as files: {file_links(['matched.md', 'matched.csv'])}.</p>",
        ]
    )
