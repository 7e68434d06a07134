"""The parts of which every page is made: HTML text, self-contained and without script.

Every function takes plain text, escapes it and returns HTML; what is called content or links is
HTML already.
"""

import base64
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from pvr_jax.reporting.drawing import Illustration
from pvr_jax.reporting.page_style import STYLE
from pvr_jax.reporting.tables import LEFT_ALIGNED, MISSING

RUN_LINKS = (
    "config.json",
    "run.json",
    "metrics.jsonl",
    "measures.json",
    "predictions.json",
    "spectra.npz",
    "checkpoints",
)
SCREEN_SCALE = 1.75  # pixels per point: text of 8 points in print reads well on a screen

_OUTSIDE = ' class="outside"'
_RECORDED = ("parameters", "precision", "execution", "devices", "versions", "git_commit")
# A number's sign or its exponent's; the hyphens of a name such as parity-mlp-0000000a stay.
_MINUS = re.compile(r"(?<![\w)])-(?=[0-9])|(?<=[0-9]e)-(?=[0-9])")


def document(title: str, sections: Sequence[tuple[str, str, str]], style: str = "") -> str:
    """Return the whole page: a header that leads to every section, and the sections.

    Each section is what `section` takes: key, title and content. `style` are rules of this page
    alone, after those that all pages share.
    """
    navigation = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, name, _ in sections)
    header = f"<header><h1>{escape(title)}</h1><nav>{navigation}</nav></header>"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        + "\n".join([header, *(section(*parts) for parts in sections)])
        + "\n</body>\n</html>\n"
    )


def section(key: str, title: str, content: str) -> str:
    """Return a section of the page; `key`, an identifier, is the anchor that leads to it."""
    return f'<section id="{key}"><h2>{escape(title)}</h2>\n{content}\n</section>'


def summary(lead: str, findings: Iterable[tuple[str, str]]) -> str:
    """Return the content of a summary: a leading paragraph, and the findings below it."""
    told = paragraphs(findings)
    return "\n".join([f'<p class="lead">{escape(lead)}</p>', *([told] if told else [])])


def paragraphs(findings: Iterable[tuple[str, str]]) -> str:
    """Return a heading and a paragraph for every title and text."""
    return "\n".join(f"<h3>{escape(title)}</h3><p>{escape(text)}</p>" for title, text in findings)


def bullets(texts: Iterable[str], kind: str) -> str:
    """Return a list, one item per text; `kind` is a class of the style sheet: prose or notes."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{items}</ul>'


def definitions(entries: Iterable[tuple[str, str]]) -> str:
    """Return a list of terms, each with its meaning."""
    return f"<dl>{_terms(entries)}</dl>"


def _terms(entries: Iterable[tuple[str, str]]) -> str:
    return "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(meaning)}</dd>" for name, meaning in entries
    )


def table(
    shown: pd.DataFrame,
    groups: Sequence[tuple[str, pd.Index]] = (),
    outside: Collection[str] = (),
) -> str:
    """Return a table of text, negative numbers with a real minus.

    Columns of `LEFT_ALIGNED` start at the left, the others end at the right. With `groups`, titles
    and the index of their rows, the rows stand below their titles. Cells whose whole text is in
    `outside` are marked.
    """
    marks = [' class="text"' if name in LEFT_ALIGNED else "" for name in shown]
    # A heading may wrap, but not inside "[95 %]".
    head = "".join(
        f'<th scope="col"{mark}>{escape(name).replace("95 %", "95&nbsp;%")}</th>'
        for name, mark in zip(shown, marks, strict=True)
    )
    bodies = [
        f'<tr><th scope="rowgroup" colspan="{len(shown.columns)}">{escape(title)}</th></tr>\n'
        + _rows(shown.loc[index], marks, outside)
        for title, index in groups
    ]
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        + "\n".join(f"<tbody>{rows}</tbody>" for rows in bodies or [_rows(shown, marks, outside)])
        + "</table></div>"
    )


def _rows(shown: pd.DataFrame, marks: Sequence[str], outside: Collection[str]) -> str:
    rows = (zip(cells, marks, strict=True) for cells in shown.to_numpy().tolist())
    return "\n".join(
        "<tr>"
        + "".join(_cell(text, _OUTSIDE if text in outside else mark) for text, mark in row)
        + "</tr>"
        for row in rows
    )


def _cell(text: str, mark: str) -> str:
    # A line break inside a negative number's interval would be misread, hence the real minus.
    # Spaces at the ends only align the numbers in the terminal.
    return f"<td{mark}>{escape(_MINUS.sub('−', text.strip()))}</td>"


def titled_tables(
    titled: Iterable[tuple[str, str]], notes: Iterable[str], files: Iterable[str]
) -> str:
    """Return tables, given as title and HTML, with the notes and links to the files below them."""
    return "\n".join(
        [
            *(f"<h3>{escape(title)}</h3>\n{content}" for title, content in titled),
            bullets(notes, "notes"),
            f"<p>The same numbers as files: {file_links(files)}.</p>",
        ]
    )


def file_links(names: Iterable[str]) -> str:
    """Return links to files beside the page."""
    return ", ".join(f'<a href="{quote(name)}">{escape(name)}</a>' for name in names)


def figure(illustration: Illustration, alternative: str, caption: str) -> str:
    """Return a figure inside the page, with links to its files in the directory figures.

    Raises FileNotFoundError where its SVG is missing.
    """
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


def left_out(parts: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return what was left out, a list under every title; of nothing, the page says so."""
    return "".join(
        f"<h3>{escape(title)}</h3>" + (bullets(texts, "prose") if texts else "<p>None.</p>")
        for title, texts in parts
    )


def run_details(
    name: str, facts: Iterable[tuple[str, str]], links: str, config: Mapping[str, Any]
) -> str:
    """Return what the page says of one run: facts, the links to its files, its configuration."""
    text = json.dumps(config, indent=2, ensure_ascii=False)
    return (
        f'<h3 class="run">{escape(name)}</h3>'
        f'<dl class="facts">{_terms(facts)}<dt>files</dt><dd>{links}</dd></dl>'
        f"<details><summary>Configuration</summary><pre>{escape(text)}</pre></details>"
    )


def record_facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a run's record, run.json, says of it, as names and texts; what is null is not."""
    facts = [
        (name.replace("_", " "), plain_value(record[name]))
        for name in _RECORDED
        if record.get(name) is not None
    ]
    if isinstance(stages := record.get("stages"), dict):
        facts += [
            (f"stage {name}", plain_value(value).replace("_", " "))
            for name, value in stages.items()
        ]
    if record.get("command") is not None:
        facts.append(("command", str(record["command"])))
    return facts


def run_links(run_directory: Path, page_directory: Path) -> str:
    """Return links to those files of a run that exist, relative to the page's directory."""
    # Both ends resolved: a relative path across a symbolic link would lead elsewhere.
    base = Path(os.path.relpath(run_directory.resolve(), page_directory.resolve())).as_posix()
    links = []
    for name in RUN_LINKS:
        path = run_directory / name
        if path.exists():
            slash = "/" if path.is_dir() else ""
            links.append(f'<a href="{escape(quote(f"{base}/{name}"))}{slash}">{name}{slash}</a>')
    return ", ".join(links)


def plain_value(value: Any) -> str:
    """Return a JSON value for people: floats with four digits, thin spaces in whole numbers."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain_value(content)}" for name, content in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace(",", "\u2009")
    return MISSING if value is None else str(value)
