"""The page of the experiment: one HTML file, figures inside and no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pvr_jax.reporting import html
from pvr_jax.reporting.curriculum.arms import Arm, Pair
from pvr_jax.reporting.curriculum.tables import TITLES
from pvr_jax.reporting.drawing import Illustration

TITLE = "Degree curriculum and normal training: iterations and error"
_CAPTIONS = {
    "error_over_iterations": (
        "Error on the whole cube over iterations",
        "A panel per number of samples. Lines are means over the replicas that did not diverge, "
        "with a band from the smallest to the largest; a replica that has ended keeps its error. "
        "Dotted: where the curriculum admits the next samples; dot: where training ends, both in "
        "the mean over replicas. Grey: the error of the best constant. While only samples with few "
        "entries −1 are shown, the error on the others can be far above it.",
    ),
    "target_coefficient": (
        "What is learned of the target over iterations",
        "As above, but the learned share of the target, E[g f] / E[f²]: for a parity of all "
        "coordinates it is the learned coefficient of the monomial of the highest degree, and its "
        "square the learned mass of that degree. 1 is the target.",
    ),
}
_DEFINITIONS = {
    "degree curriculum": "Training shows only the samples with at most r entries −1, first r = "
    "leap (or the first multiple of it with a sample). After an epoch whose mean batch loss is "
    "below the threshold, r grows by the leap, parameters and optimiser state kept; where r is "
    "already the number of coordinates or more, training ends.",
    "normal training": "The same with a leap of all coordinates: one stage that shows all samples.",
    "iterations": "Optimiser steps, each on one batch, from the beginning until the end of "
    "training. Epochs of early stages have fewer of them.",
    "error": "Half the mean squared error, over the whole cube unless another domain is named.",
    "ratio": "Iterations of normal training over those of the curriculum of the same seed; "
    "geometric mean over seeds, with the interval of the mean logarithm.",
    "learned share of the target": "E[g f] / E[f²], g being the learned function and f the target, "
    "E the mean over the whole cube.",
}


@dataclass(frozen=True)
class Results:
    """All that a report shows: arms and pairs, their tables as text, notes and findings."""

    arms: list[Arm]
    pairs: list[Pair]
    unfinished: list[str]
    shown: dict[str, pd.DataFrame]  # by the names in `tables.TITLES`
    notes: list[str]
    lead: str
    findings: list[tuple[str, str]]


def render_page(
    results: Results, illustrations: Sequence[Illustration], directory: Path, files: Sequence[str]
) -> str:
    """Return the page that will stand in `directory`; links, also to `files`, are relative to it.

    `files` are the names of the table files beside the page.
    """
    tables = [
        (TITLES[name], html.table(shown)) for name, shown in results.shown.items() if len(shown)
    ]
    figures = [html.figure(drawn, *_CAPTIONS[drawn.name]) for drawn in illustrations]
    sections = [
        ("summary", "Summary", html.summary(results.lead, results.findings)),
        ("tables", "Tables", html.titled_tables(tables, results.notes, files)),
        ("figures", "Figures", "\n".join(figures)),
        ("definitions", "Definitions", html.definitions(_DEFINITIONS.items())),
        ("left-out", "Left out", _left_out(results)),
        ("runs", "Runs", _runs(results.arms, directory)),
    ]
    return html.document(TITLE, sections)


def _left_out(results: Results) -> str:
    diverged, waiting = (
        [
            f"{arm.name}: {text}"
            for arm in results.arms
            for replica in arm.replicas
            if (text := describe(replica)) is not None
        ]
        for describe in (
            lambda r: (
                None
                if r.diverged_at is None
                else f"{r.name} diverged at epoch {r.diverged_at}; not in the means"
            ),
            lambda r: (
                None
                if r.finished or r.diverged_at is not None
                else f"{r.name} did not end, {r.iterations} iterations; not in the means of "
                "iterations and ratios"
            ),
        )
    )
    return html.left_out(
        [
            ("Diverged replicas", diverged),
            ("Replicas that did not end", waiting),
            ("Unfinished runs", results.unfinished),
        ]
    )


def _runs(arms: Sequence[Arm], directory: Path) -> str:
    parts = []
    for first in {arm.directory: arm for arm in arms}.values():
        own = [arm for arm in arms if arm.directory == first.directory]
        links = html.run_links(first.directory, directory)
        parts.append(html.run_details(first.directory.name, _facts(own), links, first.config))
    return "\n".join(parts)


def _facts(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Return what a run's record says of it, for people."""
    first = arms[0]
    return [
        ("task", f"{first.task}, n = {first.n}"),
        ("model", f"{first.model}, {first.optimizer}"),
        ("replicas", str(sum(len(arm.replicas) for arm in arms))),
        ("epochs at most", str(int(first.epochs[-1]))),
        *html.record_facts(first.record),
    ]
