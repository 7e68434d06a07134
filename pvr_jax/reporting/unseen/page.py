"""The page of an experiment on unseen domains: one HTML file, figures inside and no script."""

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

from pvr_jax.reporting.page import RUN_LINKS, SCREEN_SCALE, Illustration
from pvr_jax.reporting.page_style import STYLE
from pvr_jax.reporting.tables import LEFT_ALIGNED
from pvr_jax.reporting.unseen.definitions import DEFINITIONS
from pvr_jax.reporting.unseen.figures import MOST_PANELS
from pvr_jax.reporting.unseen.runs import Cell
from pvr_jax.reporting.unseen.tables import TITLES

TITLE = "Unseen domain: learned functions and the min-degree interpolator"
_FACTS = ("parameters", "precision", "execution", "devices", "versions", "git_commit")
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
        _section("summary", "Summary", _summary(results)),
        _section("tables", "Tables", _tables(results, files)),
        _section("figures", "Figures", _figures(results, illustrations)),
        _section("definitions", "Definitions", _definitions()),
        _section("left-out", "Left out", _left_out(results)),
        _section("runs", "Runs", _runs(results.cells, directory)),
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
    parts = []
    for name, shown in results.shown.items():
        if len(shown) == 0:
            continue
        content = _table(shown)
        if name == "coefficients":
            content = f"<details><summary>{len(shown)} rows</summary>{content}</details>"
        parts.append(f"<h3>{escape(TITLES[name])}</h3>\n{content}")
    links = ", ".join(f'<a href="{quote(name)}">{escape(name)}</a>' for name in files)
    return "\n".join(
        [*parts, _list(results.notes, "notes"), f"<p>The same numbers as files: {links}.</p>"]
    )


def _table(shown: pd.DataFrame) -> str:
    marks = [' class="text"' if name in LEFT_ALIGNED else "" for name in shown]
    # A heading may wrap, but not inside "[95 %]".
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
    # A line break inside a negative number's interval would be misread, hence the real minus.
    return escape(re.sub(r"-(?=[0-9])", "−", text))


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
            caption += f" Spearman's rank correlation over replicas, 95 % interval: {texts}."
        parts.append(_figure(illustration, alternative, caption))
    return "\n".join(parts)


def _figure(illustration: Illustration, alternative: str, caption: str) -> str:
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
        f"<dt>{escape(definition.heading)}</dt><dd>{escape(definition.meaning)}</dd>"
        for definition in DEFINITIONS.values()
    )
    return f"<p>{escape(_INTRODUCTION)}</p><dl>{entries}</dl>"


def _left_out(results: Results) -> str:
    excluded = [
        f"{cell.name}, excluded: {replica.name}, diverged at step {replica.diverged_at}"
        for cell in results.cells
        for replica in cell.excluded
    ]
    none = "<p>None.</p>"
    return (
        "<h3>Diverged replicas</h3>"
        + (_list(excluded, "prose") if excluded else none)
        + "<h3>Unfinished runs</h3>"
        + (_list(results.unfinished, "prose") if results.unfinished else none)
    )


def _runs(cells: Sequence[Cell], directory: Path) -> str:
    parts = []
    for own in {cell.directory: cell for cell in cells}.values():
        count = sum(len(cell.replicas) for cell in cells if cell.directory == own.directory)
        facts = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(own, count)
        )
        config = json.dumps(own.config, indent=2, ensure_ascii=False)
        parts.append(
            f'<h3 class="run">{escape(own.directory.name)}</h3>'
            f'<dl class="facts">{facts}<dt>files</dt><dd>{_links(own, directory)}</dd></dl>'
            f"<details><summary>Configuration</summary><pre>{escape(config)}</pre></details>"
        )
    return "\n".join(parts)


def _facts(cell: Cell, replicas: int) -> list[tuple[str, str]]:
    facts = [
        ("task", f"{cell.task_label} ({cell.task}), n = {cell.n}"),
        ("seen", f"{cell.seen or '–'} ({100 * cell.seen_fraction:.4g} % of the inputs)"),
        ("training samples", _plain(cell.training_samples)),
        ("evaluated", f"{_plain(cell.points)} {'(every input)' if cell.exact else 'at random'}"),
        ("model", cell.model_label),
        ("replicas", str(replicas)),
        ("last step", _plain(int(cell.steps[-1]))),
    ]
    record = cell.record
    facts += [
        (name.replace("_", " "), _plain(record[name]))
        for name in _FACTS
        if record.get(name) is not None
    ]
    if isinstance(stages := record.get("stages"), dict):
        facts += [(f"stage {k}", _plain(v).replace("_", " ")) for k, v in stages.items()]
    if record.get("command") is not None:
        facts.append(("command", str(record["command"])))
    return facts


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(content)}" for name, content in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace(",", "\u2009")
    return "–" if value is None else str(value)


def _links(cell: Cell, directory: Path) -> str:
    # Both ends resolved: a relative path across a symbolic link would lead elsewhere.
    base = Path(os.path.relpath(cell.directory.resolve(), directory.resolve())).as_posix()
    links = []
    for name in RUN_LINKS:
        path = cell.directory / name
        if path.exists():
            slash = "/" if path.is_dir() else ""
            links.append(f'<a href="{escape(quote(f"{base}/{name}"))}{slash}">{name}{slash}</a>')
    return ", ".join(links)


def _section(key: str, title: str, content: str) -> str:
    return f'<section id="{key}"><h2>{escape(title)}</h2>\n{content}\n</section>'


def _list(texts: Iterable[str], kind: str) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{items}</ul>'
