"""Writing the report of classification, and keeping its small results."""

from collections.abc import Sequence
from pathlib import Path

from pvr_jax.reporting import drawing
from pvr_jax.reporting.accuracy.cells import Cell
from pvr_jax.reporting.accuracy.confusion import confusion_table, recall_table, shown_recalls
from pvr_jax.reporting.accuracy.examples import PAGE, render_examples
from pvr_jax.reporting.accuracy.findings import all_findings, overview
from pvr_jax.reporting.accuracy.illustrations import drawings
from pvr_jax.reporting.accuracy.page import Results, render_page
from pvr_jax.reporting.accuracy.reading import Examples, read_cells, read_examples
from pvr_jax.reporting.accuracy.shown import (
    TITLES,
    shown_holdout,
    shown_sizes,
    shown_table,
    shown_tasks,
    shown_thresholds,
    table_notes,
)
from pvr_jax.reporting.accuracy.tables import cell_table, replica_table, threshold_table
from pvr_jax.reporting.accuracy.thresholds import thresholds_of
from pvr_jax.reporting.files import (
    ReportPaths,
    keep_results,
    none_finished,
    not_all_finished,
    write_report_files,
)
from pvr_jax.reporting.tables import render_findings, render_markdown, render_notes

# Every entry of every matrix: too much to be kept beside the figure and the recalls.
_NOT_KEPT = ("confusion.csv",)


def write_report(root: str | Path, out: str | Path | None = None) -> ReportPaths:
    """Write tables, figures and the pages of all runs in `root`, WORKDIR/pointer_value.

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
    results, files = study(cells, unfinished, read_examples(cells))
    pages = {}
    if results.examples:
        pages[PAGE] = render_examples(results.examples, cells)
    illustrations = drawing.illustrate_all(drawings(cells), directory / "figures")
    page = render_page(results, illustrations, directory, list(files))
    text = _summary(results, files)
    return write_report_files(directory, files | pages, page, text, illustrations)


def keep(source: str | Path, directory: str | Path) -> None:
    """Copy the small results of a finished run, or of all runs of an experiment, to `directory`.

    Kept are tables (every Markdown file holds one) but that of all confusions, findings, every
    replica's final values, the figures as PNG, and run.json: {"runs": {name: {"config", "run"}}};
    neither examples nor checkpoints.

    Raises:
        FileNotFoundError: no finished run, or an unfinished one.
        ValueError: a damaged result file, named.
    """
    source, directory = Path(source), Path(directory)
    cells, unfinished = read_cells(source)
    records = {cell.run: (cell.config, cell.record) for cell in cells}
    if not cells or unfinished:
        raise not_all_finished(source, len(records), unfinished)
    _, files = study(cells)
    kept = {name: text for name, text in files.items() if name not in _NOT_KEPT}
    keep_results(directory, kept, records, drawings(cells))


def study(
    cells: list[Cell], unfinished: Sequence[str] = (), examples: Sequence[Examples] = ()
) -> tuple[Results, dict[str, str]]:
    """Return what a report shows of the cells, and the contents of its table files by name."""
    table, thresholds = cell_table(cells), thresholds_of(cells)
    shown = {
        "sizes": shown_sizes(cells),
        "holdout": shown_holdout(cells),
        "samples": shown_thresholds(thresholds, cells),
        "tasks": shown_tasks(cells),
        "recall": shown_recalls(cells),
        "table": shown_table(cells),
    }
    results = Results(
        cells=cells,
        unfinished=list(unfinished),
        shown={name: content for name, content in shown.items() if content is not None},
        notes=table_notes(cells, table),
        lead=overview(cells),
        findings=all_findings(cells),
        examples=list(examples),
    )
    files = {f"{name}.md": render_markdown(content) for name, content in results.shown.items()}
    data = {
        "table": table,
        "samples": threshold_table(thresholds),
        "recall": recall_table(cells),
        "confusion": confusion_table(cells),
        "replicas": replica_table(cells),
    }
    for name, content in data.items():
        if len(content):
            files[f"{name}.csv"] = content.to_csv(index=False, lineterminator="\n")
    files["findings.md"] = "\n".join([f"{results.lead}\n", render_findings(results.findings)])
    return results, files


def _summary(results: Results, files: dict[str, str]) -> str:
    parts = [f"### {TITLES[name]}\n\n{files[f'{name}.md']}" for name in results.shown]
    return "\n".join([*parts, render_notes(results.notes), files["findings.md"]])
