"""Writing the report of every experiment in a work directory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pvr_jax.reporting import drawing, figures
from pvr_jax.reporting.page import Illustration, render_page
from pvr_jax.reporting.reading import find_experiments, read_runs
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import render_latex, render_text, replica_table, summary_table


@dataclass(frozen=True)
class ReportPaths:
    """The files of one report; `text` is the table as printed in a terminal."""

    directory: Path
    table_csv: Path
    table_markdown: Path
    table_latex: Path
    replicas_csv: Path
    page: Path
    text: str
    figures: dict[str, dict[str, Path]] = field(default_factory=dict)


def write_report(root: str | Path, out: str | Path | None = None) -> dict[str, ReportPaths]:
    """Write tables, figures and the page of every experiment under `root`; return their paths.

    `root` is WORKDIR or WORKDIR/<experiment>. Each report goes to WORKDIR/<experiment>/report; with
    `out`, to `out` when `root` is one experiment and to out/<experiment> otherwise. Experiments
    without a finished run are left out. Writing twice gives the same bytes.

    Raises FileNotFoundError when there is no run, or none is finished, and ValueError naming a
    damaged result file.
    """
    root = Path(root)
    written = {}
    unfinished: list[str] = []
    for experiment in find_experiments(root):
        runs, waiting = read_runs(experiment)
        unfinished += waiting
        if not runs:
            continue
        directory = experiment / "report"
        if out is not None:
            directory = Path(out) if experiment == root else Path(out) / experiment.name
        written[experiment.resolve().name] = _write_experiment(runs, waiting, directory)
    if not written:
        raise FileNotFoundError(
            f"no finished run in {root}, only unfinished: {', '.join(unfinished)}; "
            f"finish with: ./launch.sh run --workdir={root}"
        )
    return written


def _write_experiment(runs: list[Run], unfinished: list[str], directory: Path) -> ReportPaths:
    directory.mkdir(parents=True, exist_ok=True)
    table = summary_table(runs)
    text = render_text(table)
    illustrations = _draw_all(runs, table, directory / "figures")
    return ReportPaths(
        directory=directory,
        table_csv=_write(directory / "table.csv", table.to_csv(index=False, lineterminator="\n")),
        table_markdown=_write(directory / "table.md", text),
        table_latex=_write(directory / "table.tex", render_latex(table)),
        replicas_csv=_write(
            directory / "replicas.csv",
            replica_table(runs).to_csv(index=False, lineterminator="\n"),
        ),
        page=_write(
            directory / "report.html",
            render_page(runs, unfinished, table, illustrations, directory),
        ),
        text=text,
        figures={illustration.name: illustration.paths for illustration in illustrations},
    )


def _draw_all(runs: list[Run], table: pd.DataFrame, directory: Path) -> list[Illustration]:
    directory.mkdir(exist_ok=True)
    name = "error_against_influence"
    drawn = [_draw(name, directory, lambda: figures.error_against_influence(runs, table))]
    for run in runs:
        if run.degree_profiles:
            name = f"degree_profile-{run.name}"
            drawn.append(_draw(name, directory, partial(figures.degree_profile, run), run))
        for bit in run.bits:
            if bit in run.pair_coefficients and figures.shown_pairs(run, bit):
                name = f"tracked_coefficients-{run.name}-bit{bit}"
                function = partial(figures.tracked_coefficients, run, bit)
                drawn.append(_draw(name, directory, function, run, bit))
    return drawn


def _draw(
    name: str,
    directory: Path,
    function: Callable[[], Figure],
    run: Run | None = None,
    bit: int | None = None,
) -> Illustration:
    with drawing.style(name):
        paths = drawing.save(function(), directory, name)
    return Illustration(name, paths, None if run is None else run.name, bit)


def _write(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    return temporary.replace(path)
