"""Writing the report of every experiment in a work directory."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pvr_jax.reporting import drawing, figures, study_figures
from pvr_jax.reporting.comparison import render_comparison
from pvr_jax.reporting.drawing import Illustration
from pvr_jax.reporting.files import ReportPaths, none_finished, write_report_files
from pvr_jax.reporting.findings import run_findings
from pvr_jax.reporting.initialisation import render_initialisation
from pvr_jax.reporting.latex import render_latex
from pvr_jax.reporting.matched import render_matched
from pvr_jax.reporting.page import render_page
from pvr_jax.reporting.reading import find_experiments, read_runs
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.study import Study, study_of
from pvr_jax.reporting.tables import (
    explaining_theories_of,
    render_findings,
    render_text,
    replica_table,
)
from pvr_jax.reporting.theories import render_reasons, render_theory
from pvr_jax.reporting.twins import render_twins, touched_pairs

# Of more runs than this, the terminal and the first figure show the comparison alone.
MOST_RUNS_SHOWN = 3
# Of more runs than this, no run has figures of its own: hundreds of them would help nobody.
MOST_RUNS_DRAWN = 6


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
        unfinished, workdir = [*unfinished, *waiting], experiment / ".."
        if not runs:
            continue
        directory = experiment / "report"
        if out is not None:
            directory = Path(out) if experiment == root else Path(out) / experiment.name
        written[experiment.resolve().name] = _write_experiment(runs, waiting, directory)
    if not written:
        raise none_finished(root, unfinished, workdir=workdir)
    return written


def table_files(study: Study, runs: Sequence[Run]) -> dict[str, str]:
    """Return the contents of a study's table files by name."""
    files = {"replicas.csv": replica_table(runs).to_csv(index=False, lineterminator="\n")}
    if study.canonical:
        files["table.csv"] = study.table.to_csv(index=False, lineterminator="\n")
        files["table.md"] = render_text(study.table)
        files["table.tex"] = render_latex(study.table)
    if len(study.canonical) == 1:
        if explaining_theories_of(study.table):
            files["theory.md"] = render_theory(study.table)
        files["why.md"] = render_reasons(study.table)
        told = render_findings(run_findings(study.canonical, study.table))
        files["findings.md"] = f"### What the numbers say\n\n{told}"
    if study.comparison:
        files["comparison.md"] = render_comparison(study.comparison)
    if len(study.initialisation):
        files["initialisation.md"] = render_initialisation(study.initialisation)
    if len(study.twins):
        files["twins.csv"] = study.twins.to_csv(index=False, lineterminator="\n")
        files["twins.md"] = render_twins(study.twins)
    if study.matched:
        files["matched.csv"] = study.matched.cells.to_csv(index=False, lineterminator="\n")
        files["matched.md"] = render_matched(study.matched)
    return files


def _write_experiment(runs: list[Run], unfinished: list[str], directory: Path) -> ReportPaths:
    study = study_of(runs)
    files = table_files(study, runs)
    illustrations = draw_all(runs, study, directory / "figures")
    page = render_page(runs, unfinished, study, illustrations, directory)
    shown = ["initialisation.md", "comparison.md", "twins.md", "matched.md"]
    if len(study.canonical) <= MOST_RUNS_SHOWN:
        shown += ["table.md", "theory.md", "why.md", "findings.md"]
    text = "\n".join(files[name] for name in shown if name in files)
    return write_report_files(directory, files, page, text, illustrations)


def draw_all(runs: list[Run], study: Study, directory: Path) -> list[Illustration]:
    """Save every figure of a study in `directory`; those of the whole study come first."""
    drawn = drawing.illustrate_all(study_figures.drawings(study), directory)
    draw = partial(drawing.illustrate, directory=directory)
    if 0 < len(study.canonical) <= MOST_RUNS_SHOWN:
        drawn.append(
            draw(
                "error_against_influence",
                lambda: figures.error_against_influence(study.canonical, study.table),
            )
        )
    for run in runs if len(runs) <= MOST_RUNS_DRAWN else ():
        if run.degree_profiles:
            name = f"degree_profile-{run.file_name}"
            drawn.append(draw(name, partial(figures.degree_profile, run), run=run.name))
        for bit in run.bits:
            if bit in run.pair_coefficients and touched_pairs(run, bit):
                name = f"tracked_coefficients-{run.file_name}-bit{bit}"
                function = partial(figures.tracked_coefficients, run, bit)
                drawn.append(draw(name, function, run=run.name, bit=bit))
    return drawn
