"""Writing the report of the experiment on unseen domains, and keeping its small results."""

import json
from collections.abc import Sequence
from pathlib import Path

from pvr_jax.reporting import drawing
from pvr_jax.reporting.page import Illustration
from pvr_jax.reporting.reading import MEASURES_FILE
from pvr_jax.reporting.report import ReportPaths
from pvr_jax.reporting.tables import render_markdown, render_notes
from pvr_jax.reporting.unseen import figures
from pvr_jax.reporting.unseen.cells import (
    cell_table,
    coefficient_table,
    rate_groups,
    replica_table,
)
from pvr_jax.reporting.unseen.findings import all_findings, overview, rate_correlation
from pvr_jax.reporting.unseen.page import Results, render_page
from pvr_jax.reporting.unseen.reading import read_cells, read_cells_of
from pvr_jax.reporting.unseen.runs import Cell
from pvr_jax.reporting.unseen.tables import (
    TITLES,
    render_latex,
    shown_coefficients,
    shown_degrees,
    shown_errors,
    shown_explanation,
    table_notes,
)

KEPT_RESOLUTION = 160  # dots per inch
_ON_TERMINAL = ("table", "explanation", "degrees")


def write_report(root: str | Path, out: str | Path | None = None) -> ReportPaths:
    """Write tables, figures and the page of all runs in `root`, WORKDIR/unseen_domain.

    They go to `out`, by default root/report. Writing twice gives the same bytes.

    Raises:
        FileNotFoundError: there is no run, or none is finished.
        ValueError: a damaged result file, named.
    """
    root = Path(root)
    cells, unfinished = read_cells(root)
    if not cells:
        raise FileNotFoundError(
            f"no finished run in {root}, only unfinished: {', '.join(unfinished)}; "
            f"finish with: ./launch.sh run --workdir={root.parent}"
        )
    directory = root / "report" if out is None else Path(out)
    (directory / "figures").mkdir(parents=True, exist_ok=True)
    results, files = study(cells, unfinished)
    illustrations = []
    for name, draw in figures.drawings(cells).items():
        with drawing.style(name):
            paths = drawing.save(draw(), directory / "figures", name)
        illustrations.append(Illustration(name, paths))
    page = render_page(results, illustrations, directory, list(files))
    return ReportPaths(
        directory=directory,
        tables={name: _write(directory / name, text) for name, text in files.items()},
        page=_write(directory / "report.html", page),
        text=files["summary.md"],
        figures={illustration.name: illustration.paths for illustration in illustrations},
    )


def keep(source: str | Path, directory: str | Path) -> None:
    """Copy the small results of a finished run, or of all runs of an experiment, to `directory`.

    Kept are tables (every Markdown file holds one), findings, every replica's final values, the
    figures as PNG, and run.json: {"runs": {name: {"config", "run"}}}; not the checkpoints.

    Raises:
        FileNotFoundError: no finished run, or an unfinished one.
        ValueError: a damaged result file, named.
    """
    source, directory = Path(source), Path(directory)
    if (source / MEASURES_FILE).is_file():
        cells, unfinished = read_cells_of(source), []
    else:
        cells, unfinished = read_cells(source)
    if not cells or unfinished:
        finished = len({cell.directory for cell in cells})
        raise FileNotFoundError(
            f"{source}: {finished} finished runs, unfinished: {', '.join(unfinished) or 'none'}; "
            "allowed a directory of finished runs: give the command that made it again"
        )
    directory.mkdir(parents=True, exist_ok=True)
    _, files = study(cells, unfinished)
    for name, text in files.items():
        if name not in ("summary.md", "table.tex"):
            _write(directory / name, text)
    records = {c.directory.name: {"config": c.config, "run": c.record} for c in cells}
    text = json.dumps({"runs": records}, indent=1, ensure_ascii=False)
    _write(directory / "run.json", text + "\n")
    for name, draw in figures.drawings(cells).items():
        with drawing.style(name):
            draw().savefig(directory / f"{name}.png", dpi=KEPT_RESOLUTION)


def study(cells: list[Cell], unfinished: Sequence[str] = ()) -> tuple[Results, dict[str, str]]:
    """Return what a report shows of the cells, and the contents of its table files by name."""
    table, coefficients = cell_table(cells), coefficient_table(cells)
    shown = {"table": shown_errors(table), "explanation": shown_explanation(table)}
    if (degrees := shown_degrees(table)) is not None:
        shown["degrees"] = degrees
    if len(coefficients):
        shown["coefficients"] = shown_coefficients(coefficients)
    results = Results(
        cells=cells,
        unfinished=list(unfinished),
        shown=shown,
        notes=table_notes(cells, table),
        lead=overview(table),
        findings=all_findings(cells, table, coefficients),
        correlations=[(title, rate_correlation(own)[0]) for title, own in rate_groups(cells)],
    )
    files = {f"{name}.md": render_markdown(content) for name, content in shown.items()}
    files["table.csv"] = table.to_csv(index=False, lineterminator="\n")
    files["replicas.csv"] = replica_table(cells).to_csv(index=False, lineterminator="\n")
    if len(coefficients):
        files["coefficients.csv"] = coefficients.to_csv(index=False, lineterminator="\n")
    titled = [(TITLES[name], shown[name]) for name in _ON_TERMINAL if name in shown]
    files["table.tex"] = render_latex(titled, results.notes)
    files["findings.md"] = _paragraphs(results)
    files["summary.md"] = "\n".join(
        [
            *(f"### {title}\n\n{render_markdown(content)}" for title, content in titled),
            render_notes(results.notes),
            files["findings.md"],
        ]
    )
    return results, files


def _paragraphs(results: Results) -> str:
    found = [f"**{title}.** {text}\n" for title, text in results.findings]
    return "\n".join([f"{results.lead}\n", *found])


def _write(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    return temporary.replace(path)
