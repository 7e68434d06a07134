"""Writing the report of the experiment on the degree curriculum, and keeping its small results."""

import json
from collections.abc import Sequence
from pathlib import Path

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
from pvr_jax.reporting.page import Illustration
from pvr_jax.reporting.report import ReportPaths
from pvr_jax.reporting.tables import render_markdown, render_notes

KEPT_RESOLUTION = 160  # dots per inch


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
        raise FileNotFoundError(
            f"no finished run in {root}, only unfinished: {', '.join(unfinished)}; "
            f"finish with: ./launch.sh run --workdir={root.parent}"
        )
    directory = root / "report" if out is None else Path(out)
    (directory / "figures").mkdir(parents=True, exist_ok=True)
    results, files = study(arms, unfinished)
    illustrations = []
    for name, draw in drawings(results.pairs).items():
        with drawing.style(name):
            paths = drawing.save(draw(), directory / "figures", name)
        illustrations.append(Illustration(name, paths))
    page = render_page(results, illustrations, directory, list(files))
    text = _summary(results, files)
    return ReportPaths(
        directory=directory,
        tables={name: _write(directory / name, content) for name, content in files.items()},
        page=_write(directory / "report.html", page),
        text=text,
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
    arms, unfinished = read_arms(source)
    if not arms or unfinished:
        finished = len({arm.directory for arm in arms})
        raise FileNotFoundError(
            f"{source}: {finished} finished runs, unfinished: {', '.join(unfinished) or 'none'}; "
            "allowed a directory of finished runs: give the command that made it again"
        )
    directory.mkdir(parents=True, exist_ok=True)
    results, files = study(arms)
    for name, text in files.items():
        _write(directory / name, text)
    records = {arm.directory.name: {"config": arm.config, "run": arm.record} for arm in arms}
    text = json.dumps({"runs": records}, indent=1, ensure_ascii=False)
    _write(directory / "run.json", text + "\n")
    for name, draw in drawings(results.pairs).items():
        with drawing.style(name):
            draw().savefig(directory / f"{name}.png", dpi=KEPT_RESOLUTION)


def study(arms: Sequence[Arm], unfinished: Sequence[str] = ()) -> tuple[Results, dict[str, str]]:
    """Return what a report shows of the arms, and the contents of its table files by name.

    Raises:
        ValueError: no curriculum stands beside normal training on the same samples.
    """
    pairs = pairs_of(arms)
    if not pairs:
        leaps = ", ".join(sorted({str(arm.leap) for arm in arms}))
        raise ValueError(
            f"leaps: given {leaps}; allowed the number of coordinates (normal training) and one or "
            "more smaller ones"
        )
    table, stages = summary_table(pairs), stage_table(arms)
    results = Results(
        arms=list(arms),
        pairs=pairs,
        unfinished=list(unfinished),
        shown={"table": shown_table(table), "stages": shown_stages(stages)},
        notes=table_notes(pairs, table),
        lead=overview(pairs),
        findings=all_findings(pairs, stages),
    )
    files = {
        f"{name}.md": render_markdown(shown) for name, shown in results.shown.items() if len(shown)
    }
    for name, data in (("table", table), ("stages", stages), ("replicas", replica_table(arms))):
        files[f"{name}.csv"] = data.to_csv(index=False, lineterminator="\n")
    found = [f"**{title}.** {text}\n" for title, text in results.findings]
    files["findings.md"] = "\n".join([f"{results.lead}\n", *found])
    return results, files


def _summary(results: Results, files: dict[str, str]) -> str:
    parts = [
        f"### {title}\n\n{files[f'{name}.md']}"
        for name, title in TITLES.items()
        if f"{name}.md" in files
    ]
    return "\n".join([*parts, render_notes(results.notes), files["findings.md"]])


def _write(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    return temporary.replace(path)
