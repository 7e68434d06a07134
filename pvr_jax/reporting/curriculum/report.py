"""Writing the report of the experiment on the degree curriculum, and keeping its small results."""

from collections.abc import Sequence
from pathlib import Path

from pvr_jax.refusal import Refusal
from pvr_jax.reporting import drawing
from pvr_jax.reporting.curriculum.arms import Arm, pairs_of
from pvr_jax.reporting.curriculum.figures import drawings
from pvr_jax.reporting.curriculum.findings import all_findings, overview
from pvr_jax.reporting.curriculum.page import Results, render_page
from pvr_jax.reporting.curriculum.reading import read_arms
from pvr_jax.reporting.curriculum.tables import (
    TITLES,
    replica_table,
    shown_stages,
    shown_table,
    stage_table,
    summary_table,
    table_notes,
)
from pvr_jax.reporting.files import (
    ReportPaths,
    keep_results,
    none_finished,
    not_all_finished,
    write_report_files,
)
from pvr_jax.reporting.tables import render_findings, render_markdown, render_notes


def write_report(root: str | Path, out: str | Path | None = None) -> ReportPaths:
    """Write tables, figures and the page of all runs in `root`, WORKDIR/degree_curriculum.

    They go to `out`, by default root/report. Writing twice gives the same bytes.

    Raises:
        FileNotFoundError: there is no run, or none is finished.
        ValueError: a damaged result file, named.
    """
    root = Path(root)
    arms, unfinished = read_arms(root)
    if not arms:
        raise none_finished(root, unfinished, workdir=root / "..")
    directory = root / "report" if out is None else Path(out)
    results, files = study(arms, unfinished)
    illustrations = drawing.illustrate_all(drawings(results.pairs), directory / "figures")
    page = render_page(results, illustrations, directory, list(files))
    return write_report_files(directory, files, page, _summary(results, files), illustrations)


def keep(source: str | Path, directory: str | Path) -> None:
    """Copy the small results of a finished run, or of all runs of an experiment, to `directory`.

    Kept are tables (every Markdown file holds one), findings, every replica's final values, the
    figures as PNG, and run.json: {"runs": {name: {"config", "run"}}}; not the checkpoints.

    Raises:
        FileNotFoundError: no finished run, or an unfinished one.
        ValueError: a damaged result file, named.
    """
    source, directory = Path(source), Path(directory)
    arms, unfinished = read_arms(source)
    if not arms or unfinished:
        finished = len({arm.directory for arm in arms})
        raise not_all_finished(source, finished, unfinished)
    results, files = study(arms)
    records = {arm.directory.name: (arm.config, arm.record) for arm in arms}
    keep_results(directory, files, records, drawings(results.pairs))


def study(arms: Sequence[Arm], unfinished: Sequence[str] = ()) -> tuple[Results, dict[str, str]]:
    """Return what a report shows of the arms, and the contents of its table files by name.

    Raises:
        ValueError: no curriculum stands beside normal training on the same samples.
    """
    pairs = pairs_of(arms)
    if not pairs:
        leaps = ", ".join(sorted({str(arm.leap) for arm in arms}))
        raise Refusal(
            f"leaps: given {leaps}; allowed the number of coordinates (normal training) and one or "
            "more smaller ones"
        )
    table, stages = summary_table(pairs), stage_table(arms)
    results = Results(
        arms=list(arms),
        pairs=pairs,
        unfinished=list(unfinished),
        shown={"table": shown_table(table), "stages": shown_stages(stages)},
        notes=table_notes(pairs, table, stages),
        lead=overview(pairs),
        findings=all_findings(pairs, arms),
    )
    files = {
        f"{name}.md": render_markdown(shown) for name, shown in results.shown.items() if len(shown)
    }
    for name, data in (("table", table), ("stages", stages), ("replicas", replica_table(arms))):
        files[f"{name}.csv"] = data.to_csv(index=False, lineterminator="\n")
    files["findings.md"] = "\n".join([f"{results.lead}\n", render_findings(results.findings)])
    return results, files


def _summary(results: Results, files: dict[str, str]) -> str:
    parts = [
        f"### {title}\n\n{files[f'{name}.md']}"
        for name, title in TITLES.items()
        if f"{name}.md" in files
    ]
    return "\n".join([*parts, render_notes(results.notes), files["findings.md"]])
