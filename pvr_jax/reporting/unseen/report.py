"""Writing the report of the experiment on unseen domains, and keeping its small results."""

from collections.abc import Sequence
from pathlib import Path

from pvr_jax.reporting import drawing
from pvr_jax.reporting.files import (
    ReportPaths,
    keep_results,
    none_finished,
    not_all_finished,
    write_report_files,
)
from pvr_jax.reporting.reading import MEASURES_FILE
from pvr_jax.reporting.tables import render_findings, render_markdown, render_notes
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
        raise none_finished(root, unfinished, workdir=root / "..")
    directory = root / "report" if out is None else Path(out)
    results, files = study(cells, unfinished)
    illustrations = drawing.illustrate_all(figures.drawings(cells), directory / "figures")
    page = render_page(results, illustrations, directory, list(files))
    return write_report_files(directory, files, page, files["summary.md"], illustrations)


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
        raise not_all_finished(source, finished, unfinished)
    _, files = study(cells)
    kept = {name: text for name, text in files.items() if name not in ("summary.md", "table.tex")}
    records = {cell.directory.name: (cell.config, cell.record) for cell in cells}
    keep_results(directory, kept, records, figures.drawings(cells))


def study(cells: list[Cell], unfinished: Sequence[str] = ()) -> tuple[Results, dict[str, str]]:
    """Return what a report shows of the cells, and the contents of its table files by name."""
    table, coefficients = cell_table(cells), coefficient_table(cells)
    scans = rate_groups(cells)
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
        correlations=[(title, rate_correlation(own, len(scans))[0]) for title, own in scans],
    )
    files = {f"{name}.md": render_markdown(content) for name, content in shown.items()}
    files["table.csv"] = table.to_csv(index=False, lineterminator="\n")
    files["replicas.csv"] = replica_table(cells).to_csv(index=False, lineterminator="\n")
    if len(coefficients):
        files["coefficients.csv"] = coefficients.to_csv(index=False, lineterminator="\n")
    titled = [(TITLES[name], shown[name]) for name in _ON_TERMINAL if name in shown]
    files["table.tex"] = render_latex(titled, results.notes)
    files["findings.md"] = "\n".join([f"{results.lead}\n", render_findings(results.findings)])
    files["summary.md"] = "\n".join(
        [
            *(f"### {title}\n\n{render_markdown(content)}" for title, content in titled),
            render_notes(results.notes),
            files["findings.md"],
        ]
    )
    return results, files
