"""Publish a report: every exhibit of a study as files, and one page that works offline."""

import contextlib
import json
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from pvr_jax.reporting import render
from pvr_jax.reporting.charts import Chart
from pvr_jax.reporting.exhibits import (
    Context,
    Finding,
    Images,
    Made,
    Table,
    Text,
    context_of,
    is_shown,
)
from pvr_jax.reporting.vega import PAPER_WIDTHS, paper
from pvr_jax.results import Measure, Study
from pvr_jax.results.verdicts import Decision

Exhibit = Table | Chart | Finding | Text | Images
RESOLUTION = 160  # pixels per inch of a PNG
# Fields of run.json shown on the page.
RECORDED = ("command", "parameters", "precision", "execution", "devices", "versions", "git_commit")
RUN_LINKS = ("config.json", "run.json", "metrics.jsonl", "measures.nc", "predictions.nc")


@dataclass(frozen=True)
class Report:
    """The report of an experiment.

    Args:
        title: title of the page.
        question: the question of the experiment, in one or two sentences.
        verdict: maps a study to the answer, in one sentence.
        exhibits: its exhibits, in order; the first chart and table come first on the page, after
            examples, if these are the first exhibit.
        measures: descriptions of derived columns.
        decisions: maps a study to (frozen bit, verdict) of every cell, for training until all are
            decided; None: there is no such question.
        definitions: definitions of further terms.
        left_out: lines about replicas and theories that are left out, and why.
    """

    title: str
    question: str
    verdict: Callable[[Study, Context], str]
    exhibits: Sequence[Exhibit]
    measures: Mapping[str, Measure] = field(default_factory=dict)
    decisions: Callable[[Study, Context], Sequence[tuple[str, Decision]]] | None = None
    definitions: Mapping[str, str] = field(default_factory=dict)
    left_out: Callable[[Study], Sequence[str]] = lambda study: ()

    def exhibits_of(self, study: Study) -> list[Exhibit]:
        """Return the exhibits whose needs a study meets, and the charts that have data."""
        there = [e for e in self.exhibits if is_shown(e.needs, study)]

        def filled() -> list[Exhibit]:
            return [e for e in there if not isinstance(e, Chart) or len(e.data(study))]

        return study.once(filled, self)

    def charts(self, study: Study) -> list[Chart]:
        """Return the charts of a study."""
        return [exhibit for exhibit in self.exhibits_of(study) if isinstance(exhibit, Chart)]

    def specs(self, study: Study, context: Context) -> dict[str, Mapping[str, Any]]:
        """Return the Vega-Lite descriptions of the nonempty charts of a study, by name."""
        charts = [c for c in self.charts(study) if c.data(study)[c.value].notna().any()]
        return {chart.name: chart.spec(study, context) for chart in charts}


@dataclass(frozen=True)
class Published:
    """The files of a report; `text` is for the terminal."""

    directory: Path
    page: Path
    text: str
    tables: Mapping[str, Path]
    figures: Mapping[str, Mapping[str, Path]]


def write_text(path: Path, text: str) -> Path:
    """Write a file atomically; return its path."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    return temporary.replace(path)


def publish(report: Report, study: Study, directory: str | Path) -> Published:
    """Write the report of a study: the page, tables (.md .csv .tex), figures, replicas.csv.

    Figures are SVG, PDF and PNG, in two widths for paper, and Vega-Lite descriptions. Output is
    deterministic but for the order of names in a PDF.

    Args:
        report: the report.
        study: the study.
        directory: where to write; created if needed.
    """
    directory = Path(directory)
    (directory / "figures").mkdir(parents=True, exist_ok=True)
    context = context_of(study, report.measures)
    contents = tables_of(report, study, context)
    contents["replicas.csv"] = study.final().to_csv(index=False, lineterminator="\n")
    specs = report.specs(study, context)
    figures = {
        name: write_figure(directory / "figures", name, spec) for name, spec in specs.items()
    }
    page = render_page(report, study, context, specs, directory)
    tables = [e for e in report.exhibits_of(study) if isinstance(e, Table)]
    made = [(_made(e, study, context), e.brief) for e in tables]
    first = [render.terminal(table, brief) for table, brief in made if len(table)][:1]
    sentences = [report.verdict(study, context)]
    if left_out := _left_out(report, study):
        more = f" ({len(left_out) - 1} more on the page)" if len(left_out) > 1 else ""
        sentences.append(f"Left out: {left_out[0]}{more}")
    text = "\n".join([*first, *(textwrap.fill(s, render.TERMINAL_WIDTH) for s in sentences)])
    return Published(
        directory=directory,
        page=write_text(directory / "report.html", page),
        text=text,
        tables={name: write_text(directory / name, text) for name, text in contents.items()},
        figures=figures,
    )


def tables_of(report: Report, study: Study, context: Context) -> dict[str, str]:
    """Return the table files of a report, by name, and its findings."""
    files, sentences = {}, []
    for exhibit in report.exhibits_of(study):
        if isinstance(exhibit, Table) and len(table := _made(exhibit, study, context)):
            files[f"{exhibit.name}.md"] = render.markdown(table)
            files[f"{exhibit.name}.csv"] = render.csv(table)
            files[f"{exhibit.name}.tex"] = render.latex(table, exhibit.name)
        elif isinstance(exhibit, Finding):
            sentences += exhibit.make(study, context)
    listed = "".join(f"- {sentence}\n" for sentence in sentences)
    files["findings.md"] = f"{report.verdict(study, context)}\n\n{listed}"
    return files


def write_figure(directory: Path, name: str, spec: Mapping[str, Any]) -> dict[str, Path]:
    """Write a figure as SVG, PDF, PNG and Vega-Lite; return the path of each."""
    paths = {"vl.json": write_text(directory / f"{name}.vl.json", _json(spec))}
    for ending, width in PAPER_WIDTHS.items():
        svg = _numbered(vl_convert.vegalite_to_svg(paper(spec, width)))
        made = {"svg": svg.encode(), "pdf": vl_convert.svg_to_pdf(svg)}
        if not ending:
            made["png"] = vl_convert.svg_to_png(svg, ppi=RESOLUTION)
        for kind, content in made.items():
            paths[f"{kind}{ending}"] = directory / f"{name}{ending}.{kind}"
            paths[f"{kind}{ending}"].write_bytes(content)
    return paths


def _numbered(svg: str) -> str:
    """Renumber the clip paths of an SVG from 0; their names depend on earlier figures."""
    names = dict.fromkeys(re.findall(r'id="((?:clip|gradient_)\d+)"', svg))
    parts = {name: f"part{number}" for number, name in enumerate(names)}
    return re.sub(r"\b(?:clip|gradient_)\d+\b", lambda found: parts.get(found[0], found[0]), svg)


def render_page(
    report: Report,
    study: Study,
    context: Context,
    specs: Mapping[str, Mapping[str, Any]],
    directory: Path | None,
) -> str:
    """Render the page, with links relative to `directory`.

    The page of kept results, without a directory, does not link to files of runs.
    """
    kept, exhibits = directory is None, report.exhibits_of(study)
    parts = [part for e in exhibits if (part := _part(e, study, context, specs, kept))]
    leading = parts[:1] if parts and parts[0]["kind"] == "html" else []
    for kind in ("chart", "table"):
        leading += [part for part in parts if part["kind"] == kind][:1]
    sentences = [
        s for e in exhibits if isinstance(e, Finding | Text) for s in e.make(study, context)
    ]
    reading = (
        [{"kind": "sentences", "title": "Reading", "sentences": sentences}] if sentences else []
    )
    rest = [part for part in parts if part not in leading]
    measures = {**study.measures, **report.measures}
    defined = [(_titled(m), m.description) for m in measures.values() if m.description]
    page = _template().render(
        title=report.title,
        question=report.question,
        verdict=report.verdict(study, context),
        parts=[*leading, *reading, *rest],
        definitions=[*report.definitions.items(), *dict(defined).items()],
        left_out=_left_out(report, study),
        runs=[_run_facts(run, study, directory) for run in study.runs],
        script=_script() if specs else "",
    )
    return "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"


def _part(
    exhibit: Exhibit,
    study: Study,
    context: Context,
    specs: Mapping[str, Mapping[str, Any]],
    kept: bool,
) -> dict[str, Any] | None:
    """Return what the page template needs of an exhibit; None if empty, or a sentence."""
    if isinstance(exhibit, Finding | Text):
        return None
    found = {"name": exhibit.name, "title": exhibit.title}
    if isinstance(exhibit, Images):
        return {**found, "kind": "html", "html": Markup(exhibit.render(study))}
    if isinstance(exhibit, Chart):
        if exhibit.name not in specs:
            return None
        links = [(k, f"figures/{exhibit.name}.{k}") for k in ("svg", "pdf", "png", "vl.json")]
        found["links"] = [("png", f"{exhibit.name}.png")] if kept else links
        return {**found, "kind": "chart", "caption": exhibit.caption, "spec": specs[exhibit.name]}
    table = _made(exhibit, study, context)
    if not len(table):
        return None
    kinds = ("csv", "md") if kept else ("csv", "md", "tex")
    found["links"] = [(kind, f"{exhibit.name}.{kind}") for kind in kinds]
    return {**found, "kind": "table", "table": table, "numeric": render.numeric(table)}


def _made(exhibit: Table, study: Study, context: Context) -> Made:
    """Compute a table, which is used by the page and by its own files."""
    return study.once(lambda: exhibit.make(study, context), exhibit, context)


def _titled(measure: Measure) -> str:
    more = ", ".join(filter(None, [measure.symbol, measure.units, measure.domain]))
    return f"{measure.long_name} ({more})" if more else measure.long_name


def _left_out(report: Report, study: Study) -> list[str]:
    frame = study.final()
    lost = frame[frame["diverged_at"] >= 0] if "diverged_at" in frame else frame.iloc[:0]
    unit = study.runs[0].attrs.get("step_unit", "step")
    lines = [
        f"{row.run}: {row.replica} diverged at {unit} {row.diverged_at}; not in the means"
        for row in lost.itertuples()
    ]
    return [*lines, *report.left_out(study), *(f"{n}: not finished" for n in study.unfinished)]


def _run_facts(run: Any, study: Study, directory: Path | None) -> dict[str, Any]:
    name = run.attrs["run"]
    record = study.records.get(name, {})
    facts = [("task", run.attrs["task"]), ("model", run.attrs["model"])]
    facts += [("replicas", run.sizes.get("replica", 0))]
    facts += [(k.replace("_", " "), _short(record[k])) for k in RECORDED if record.get(k)]
    links = []
    if directory:
        own = directory.parent / name
        links = [(n, os.path.relpath(own / n, directory)) for n in RUN_LINKS if (own / n).exists()]
    config = json.loads(run.attrs.get("config", "{}"))
    return {"name": name, "facts": facts, "links": links, "config": json.dumps(config, indent=1)}


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    return str(value)


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


@cache
def _template() -> jinja2.Template:
    text = resources.files("pvr_jax.reporting").joinpath("page.html.jinja").read_text("utf-8")
    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        text
    )


@cache
def _script() -> str:
    """Return Vega, Vega-Lite and vegaEmbed as one script, safe to inline.

    The bundle, which takes two seconds, is kept in the user's cache.
    """
    script = ""
    with contextlib.suppress(OSError, RuntimeError):  # a cache that is read-only or full; no home
        kept = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "pvr_jax").expanduser()
        kept /= f"vega-{vl_convert.__version__}.js"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, _bundle())
        script = kept.read_text("utf-8")
    script = (script or _bundle()).replace("</script", "<\\/script")
    return f"(() => {{\n{script}\n}})();"  # keeps its names local


def _bundle() -> str:
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
