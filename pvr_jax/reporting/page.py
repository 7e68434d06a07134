"""The page: one HTML file that opens from disk, with its figures inside and no script."""

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

from pvr_jax.reporting.definitions import DEFINITIONS, heading
from pvr_jax.reporting.findings import overview, run_findings
from pvr_jax.reporting.page_style import STYLE
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.study import Study
from pvr_jax.reporting.study_page import STUDY_FIGURES, study_sections
from pvr_jax.reporting.tables import (
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

RUN_LINKS = (
    "config.json",
    "run.json",
    "metrics.jsonl",
    "measures.json",
    "predictions.json",
    "spectra.npz",
    "checkpoints",
)

MOST_RUNS_TOLD = 3
SCREEN_SCALE = 1.75  # pixels per point: text of 8 points in print reads well on a screen

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


@dataclass(frozen=True)
class Illustration:
    """A saved figure: its paths by format, and the run and frozen bit it belongs to, if any."""

    name: str
    paths: dict[str, Path]
    run: str | None = None
    bit: int | None = None


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
    sections = []
    if canonical:
        sections.append(_summary(canonical, table))
    images = {
        name: _figure(drawn[name], *words) for name, words in STUDY_FIGURES.items() if name in drawn
    }
    sections += [_section(*parts) for parts in study_sections(study, images)]
    if canonical:
        sections.append(_table(table))
        sections.append(_definitions(table))
    if own := [i for i in illustrations if i.name not in STUDY_FIGURES]:
        sections.append(_figures(runs, own))
    sections.append(_left_out(runs, unfinished))
    sections.append(_details(runs, directory))
    sections.insert(0, _header(title, sections))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _header(title: str, sections: Sequence[str]) -> str:
    links = [re.match(r'<section id="([^"]+)"><h2>([^<]+)</h2>', text) for text in sections]
    navigation = "".join(f'<a href="#{link[1]}">{link[2]}</a>' for link in links if link)
    return f"<header><h1>{escape(title)}</h1><nav>{navigation}</nav></header>"


def _summary(runs: Sequence[Run], table: pd.DataFrame) -> str:
    question = (
        "Each network was trained with one input bit frozen and is measured on all inputs. The "
        "low-degree hypothesis predicts that its generalization error equals the Boolean "
        "influence of the frozen bit."
    )
    paragraphs = [f'<p class="lead">{escape(question)} {escape(overview(table))}</p>']
    # Of many runs, the comparison says what each model shows.
    for title, text in run_findings(runs, table) if len(runs) <= MOST_RUNS_TOLD else ():
        paragraphs.append(f"<h3>{escape(title)}</h3><p>{escape(text)}</p>")
    return _section("summary", "Summary", "\n".join(paragraphs))


def _table(table: pd.DataFrame) -> str:
    shown = display_table(table)
    shown["influence in interval"] = [
        {"inside": "yes", "above": "error above", "below": "error below", "": "–"}[verdict]
        for verdict in table["verdict"]
    ]
    parts = [_grouped(shown, table), _list(table_notes(table), "notes")]
    names = ["table.csv", "table.md", "table.tex", "replicas.csv"]
    theories = theory_table(table)
    if len(theories):
        parts += [f"<h3>{escape(THEORY_TITLE)}</h3>", _grouped(theories, table)]
        parts.append(f"<p>{escape(THEORY_READING)}</p>")
    if table["run"].nunique() == 1:  # of several runs the comparison has this table
        names += ["theory.md"] if len(theories) else []
        names.append("why.md")
        parts += [f"<h3>{escape(REASONS_TITLE)}</h3>", _grouped(reasons_table(table), table)]
        parts.append(f"<p>{escape(REASONS_READING)}</p>")
    files = ", ".join(f'<a href="{name}">{name}</a>' for name in names)
    parts.append(f"<p>The same numbers as files: {files}.</p>")
    return _section("table", "Table", "\n".join(parts))


def _grouped(shown: pd.DataFrame, table: pd.DataFrame) -> str:
    """Return the shown columns of a summary table, its rows under the titles of their runs."""
    # A heading may wrap, but not inside "[95 %]".
    titles = [escape(c).replace("95 %", "95&nbsp;%") for c in shown.columns]
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    bodies = []
    for title, index in group_titles(table):
        rows = [
            f'<tr><th scope="rowgroup" colspan="{len(shown.columns)}">{escape(title)}</th></tr>'
        ]
        for cells in shown.loc[index].to_numpy().tolist():
            rows.append("<tr>" + "".join(_cell(cell) for cell in cells) + "</tr>")
        bodies.append("<tbody>" + "\n".join(rows) + "</tbody>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        + "\n".join(bodies)
        + "</table></div>"
    )


def _cell(text: str) -> str:
    marked = ' class="outside"' if text.startswith("error ") else ""
    # A line break inside a negative number's interval would be misread, hence the real minus.
    return f"<td{marked}>{escape(re.sub(r'-(?=[0-9])', '−', text))}</td>"


def _figures(runs: Sequence[Run], illustrations: Sequence[Illustration]) -> str:
    parts = []
    for illustration in illustrations:
        if illustration.run is None:
            alternative = "Generalization error beside influence for every frozen bit"
            parts.append(_figure(illustration, alternative, _READING["error"]))
    for run in runs:
        own = [i for i in illustrations if i.run == run.name]
        if not own:
            continue
        parts.append(f"<h3>{escape(run_title(run))}</h3>")
        first_tracked = True
        for illustration in own:
            if illustration.bit is None:
                text = _READING["profile"]
                parts.append(_figure(illustration, "Degree profile over training", text))
                continue
            label = f"Coefficients of paired monomials over training, bit {illustration.bit} frozen"
            text = f"{label}. {_READING['tracked']}" if first_tracked else f"{label}, as above."
            first_tracked = False
            parts.append(_figure(illustration, label, text))
    return _section("figures", "Figures", "\n".join(parts))


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


def _definitions(table: pd.DataFrame) -> str:
    shown = {*table.columns, *theories_of(table)}
    shown |= {"unexplained"} if explaining_theories_of(table) else set()
    entries = "".join(
        f"<dt>{escape(definition.heading)}</dt><dd>{escape(definition.meaning)}</dd>"
        for name, definition in DEFINITIONS.items()
        if name in shown
    )
    setting = (
        "f is the target, f̃ the learned function, k the frozen bit (0-indexed), f₋ₖ the target "
        "with bit k frozen at its training value, E the mean over uniform inputs."
    )
    return _section("definitions", "Definitions", f"<p>{escape(setting)}</p><dl>{entries}</dl>")


def _left_out(runs: Sequence[Run], unfinished: Sequence[str]) -> str:
    excluded = [
        f"{run.name}, excluded: {replica.name}, diverged at step {replica.diverged_at}"
        for run in runs
        for bit in run.bits
        for replica in run.excluded(bit)
    ]
    none = "<p>None.</p>"
    return _section(
        "left-out",
        "Left out",
        "<h3>Diverged replicas</h3>"
        + (_list(excluded, "prose") if excluded else none)
        + "<h3>Unfinished runs</h3>"
        + (_list(unfinished, "prose") if unfinished else none),
    )


def _details(runs: Sequence[Run], directory: Path) -> str:
    parts = []
    for run in runs:
        facts = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(run)
        )
        config = json.dumps(run.config, indent=2, ensure_ascii=False)
        parts.append(
            f'<h3 class="run">{escape(run.name)}</h3>'
            f'<dl class="facts">{facts}<dt>files</dt><dd>{_run_links(run, directory)}</dd></dl>'
            f"<details><summary>Configuration</summary><pre>{escape(config)}</pre></details>"
        )
    return _section("runs", "Runs", "\n".join(parts))


def _facts(run: Run) -> list[tuple[str, str]]:
    record = run.record
    facts = [
        ("task", f"{run.task_label} ({run.task}), n = {run.n}"),
        ("replicas", str(len(run.replicas))),
        ("frozen bits", "none" if run.matched else ", ".join(map(str, run.bits))),
        ("frozen value", "–" if run.matched else f"{run.frozen_value:+d}"),
        ("last step", str(run.steps[-1])),
    ]
    for name in ("parameters", "precision", "execution", "devices", "versions", "git_commit"):
        if record.get(name) is not None:
            facts.append((name.replace("_", " "), _plain_value(record[name])))
    facts += [(f"{heading(name)} not defined", text) for name, text in run.not_defined.items()]
    stages = record.get("stages")
    if isinstance(stages, dict):
        spaced = {k: _plain_value(v).replace("_", " ") for k, v in stages.items()}
        facts += [(f"stage {name}", text) for name, text in spaced.items()]
    if record.get("command") is not None:
        facts.append(("command", str(record["command"])))
    return facts


def _plain_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain_value(content)}" for name, content in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace(",", "\u2009")
    return "–" if value is None else str(value)


def _run_links(run: Run, directory: Path) -> str:
    # Both ends resolved: a relative path across a symbolic link would lead elsewhere.
    base = Path(os.path.relpath(run.directory.resolve(), directory.resolve())).as_posix()
    links = []
    for name in RUN_LINKS:
        path = run.directory / name
        if path.exists():
            slash = "/" if path.is_dir() else ""
            links.append(f'<a href="{escape(quote(f"{base}/{name}"))}{slash}">{name}{slash}</a>')
    return ", ".join(links)


def _section(key: str, title: str, content: str) -> str:
    return f'<section id="{key}"><h2>{escape(title)}</h2>\n{content}\n</section>'


def _list(texts: Iterable[str], kind: str) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{items}</ul>'
