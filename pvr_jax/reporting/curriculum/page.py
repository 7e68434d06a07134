"""The page of the experiment: one HTML file, figures inside and no script."""

import base64
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from pvr_jax.reporting.curriculum.arms import Arm, Pair
from pvr_jax.reporting.curriculum.tables import TITLES
from pvr_jax.reporting.page import RUN_LINKS, SCREEN_SCALE, Illustration
from pvr_jax.reporting.page_style import STYLE

TITLE = "Degree curriculum and normal training: iterations and error"
_FACTS = ("parameters", "precision", "execution", "devices", "versions", "git_commit")
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
    "geometric mean over seeds, its interval by the logarithms.",
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
    sections = [
        _section("summary", "Summary", _summary(results)),
        _section("tables", "Tables", _tables(results, files)),
        _section("figures", "Figures", "\n".join(map(_figure, illustrations))),
        _section("definitions", "Definitions", _definitions()),
        _section("left-out", "Left out", _left_out(results)),
        _section("runs", "Runs", _runs(results.arms, directory)),
    ]
    links = [re.match(r'<section id="([^"]+)"><h2>([^<]+)</h2>', text) for text in sections]
    navigation = "".join(f'<a href="#{link[1]}">{link[2]}</a>' for link in links if link)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(TITLE)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(TITLE)}</h1><nav>{navigation}</nav></header>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _summary(results: Results) -> str:
    paragraphs = [f'<p class="lead">{escape(results.lead)}</p>']
    paragraphs += [
        f"<h3>{escape(title)}</h3><p>{escape(text)}</p>" for title, text in results.findings
    ]
    return "\n".join(paragraphs)


def _tables(results: Results, files: Sequence[str]) -> str:
    parts = [
        f"<h3>{escape(TITLES[name])}</h3>\n{_table(shown)}"
        for name, shown in results.shown.items()
        if len(shown)
    ]
    links = ", ".join(f'<a href="{quote(name)}">{escape(name)}</a>' for name in files)
    return "\n".join(
        [*parts, _list(results.notes, "notes"), f"<p>The same numbers as files: {links}.</p>"]
    )


def _table(shown: pd.DataFrame) -> str:
    # A heading may wrap, but not inside "[95 %]".
    head = "".join(
        f'<th scope="col">{escape(name).replace("95 %", "95&nbsp;%")}</th>' for name in shown
    )
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in shown.to_numpy().tolist()
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _figure(illustration: Illustration) -> str:
    alternative, caption = _CAPTIONS[illustration.name]
    image = illustration.paths["svg"].read_bytes()
    svg = base64.b64encode(image).decode("ascii")
    points = re.search(rb'<svg[^>]*? width="([0-9.]+)pt"', image)
    width = f' width="{float(points[1]) * SCREEN_SCALE:.0f}"' if points else ""
    links = " ".join(
        f'<a href="figures/{quote(path.name)}">{extension}</a>'
        for extension, path in illustration.paths.items()
    )
    return (
        f'<figure><img alt="{escape(alternative)}"{width} src="data:image/svg+xml;base64,{svg}">\n'
        f"<figcaption>{escape(caption)} {links}</figcaption></figure>"
    )


def _definitions() -> str:
    entries = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(meaning)}</dd>"
        for name, meaning in _DEFINITIONS.items()
    )
    return f"<dl>{entries}</dl>"


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
                else f"{r.name} diverged at epoch {r.diverged_at}; not in the errors"
            ),
            lambda r: (
                None
                if r.finished or r.diverged_at is not None
                else f"{r.name} did not end, {r.iterations} iterations; not in the means of "
                "iterations and ratios"
            ),
        )
    )
    none = "<p>None.</p>"
    parts = (
        ("Diverged replicas", diverged),
        ("Replicas that did not end", waiting),
        ("Unfinished runs", results.unfinished),
    )
    return "".join(
        f"<h3>{title}</h3>" + (_list(texts, "prose") if texts else none) for title, texts in parts
    )


def _runs(arms: Sequence[Arm], directory: Path) -> str:
    parts = []
    for arm in {arm.directory: arm for arm in arms}.values():
        own = [other for other in arms if other.directory == arm.directory]
        facts = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(own)
        )
        config = json.dumps(arm.config, indent=2, ensure_ascii=False)
        parts.append(
            f'<h3 class="run">{escape(arm.directory.name)}</h3>'
            f'<dl class="facts">{facts}<dt>files</dt><dd>{_run_links(arm, directory)}</dd></dl>'
            f"<details><summary>Configuration</summary><pre>{escape(config)}</pre></details>"
        )
    return "\n".join(parts)


def _facts(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Return what a run's record says of it, for people."""
    first = arms[0]
    facts = [
        ("task", f"{first.task}, n = {first.n}"),
        ("model", f"{first.model}, {first.optimizer}"),
        ("replicas", str(sum(len(arm.replicas) for arm in arms))),
        ("epochs at most", str(int(first.epochs[-1]))),
    ]
    for name in _FACTS:
        if first.record.get(name) is not None:
            facts.append((name.replace("_", " "), _plain(first.record[name])))
    stages = first.record.get("stages")
    if isinstance(stages, dict):
        facts += [(f"stage {k}", _plain(v).replace("_", " ")) for k, v in stages.items()]
    if first.record.get("command") is not None:
        facts.append(("command", str(first.record["command"])))
    return facts


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(content)}" for name, content in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def _run_links(arm: Arm, directory: Path) -> str:
    # Both ends resolved: a relative path across a symbolic link would lead elsewhere.
    base = Path(os.path.relpath(arm.directory.resolve(), directory.resolve())).as_posix()
    links = []
    for name in RUN_LINKS:
        path = arm.directory / name
        if path.exists():
            slash = "/" if path.is_dir() else ""
            links.append(f'<a href="{escape(quote(f"{base}/{name}"))}{slash}">{name}{slash}</a>')
    return ", ".join(links)


def _section(key: str, title: str, content: str) -> str:
    return f'<section id="{key}"><h2>{escape(title)}</h2>\n{content}\n</section>'


def _list(texts: Iterable[str], kind: str) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{items}</ul>'
