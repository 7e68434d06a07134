"""Results kept in the repository, and the README tables made from them.

python -m pvr_jax.reporting.stored keep WORKDIR/EXPERIMENT[/RUN] DIRECTORY
python -m pvr_jax.reporting.stored fill README.md
"""

import re
import shutil
import sys
from pathlib import Path

from pvr_jax.reporting import figures, study_figures
from pvr_jax.reporting.files import keep_figure, keep_results, not_all_finished, write_text
from pvr_jax.reporting.reading import MEASURES_FILE, read_run, read_runs
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.study import Study, study_of
from pvr_jax.reporting.tables import (
    render_findings,
    render_markdown,
    render_text,
    replica_table,
    summary_table,
)
from pvr_jax.reporting.theories import reasons_table, theory_table
from pvr_jax.reporting.twins import shown_twins

KEPT = ("config.json", "run.json")
FIGURE = "error_against_influence.png"
# Experiments whose results have another form than those of the canonical holdout.
KEEPERS = {}
_MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def keep(source: Path, directory: Path) -> None:
    """Copy the small results of a finished run, or of all runs of an experiment, to `directory`.

    Kept are tables, every replica's final values, the figures of errors, the configuration, and
    run.json with versions, device and command; not the checkpoints. Of several runs, run.json
    holds {"runs": {name: {"config", "run"}}}, and the tables are those that compare them.

    Raises:
        FileNotFoundError, ValueError: no finished run, or a damaged file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # An experiment's directory has its name, and so has the one around a run.
    for name in (source.resolve().name, source.resolve().parent.name):
        if name in KEEPERS:
            KEEPERS[name](source, directory)
            return
    if (source / MEASURES_FILE).is_file():
        _keep_run(source, directory)
        return
    runs, unfinished = read_runs(source)
    if not runs or unfinished:
        raise not_all_finished(source, len(runs), unfinished)
    if len(runs) == 1:
        _keep_run(runs[0].directory, directory)
    else:
        _keep_study(runs, directory)


def _keep_run(run: Path, directory: Path) -> None:
    found = read_run(run)
    for name, text in kept_tables([found]).items():
        write_text(directory / name, text)
    for name in KEPT:
        shutil.copyfile(run / name, directory / name)
    table = summary_table([found])
    keep_figure(directory / FIGURE, lambda: figures.error_against_influence([found], table))


def _keep_study(runs: list[Run], directory: Path) -> None:
    records = {run.name: (run.config, run.record) for run in runs}
    keep_results(directory, kept_tables(runs), records, study_figures.drawings(study_of(runs)))


def kept_tables(runs: list[Run]) -> dict[str, str]:
    """Return the tables that are kept of a run, or of a study, by file name."""
    tables = {"replicas.csv": replica_table(runs).to_csv(index=False, lineterminator="\n")}
    if len(runs) > 1:
        return tables | _study_tables(study_of(runs))
    table = summary_table(runs)
    tables |= {
        "table.csv": table.to_csv(index=False, lineterminator="\n"),
        "table.md": _rows(render_text(table)),
        "why.md": render_markdown(reasons_table(table)),
    }
    theories = theory_table(table)
    return tables | ({"theory.md": render_markdown(theories)} if len(theories) else {})


def _study_tables(study: Study) -> dict[str, str]:
    """Return the tables of a study by file name; the Markdown ones hold one table each."""
    tables = {}
    if study.comparison:
        tables["table.csv"] = study.table.to_csv(index=False, lineterminator="\n")
        tables["table.md"] = render_markdown(study.comparison.errors)
        tables["kinds.md"] = render_markdown(study.comparison.kinds)
        if len(study.comparison.theories):
            tables["theory.md"] = render_markdown(study.comparison.theories)
            tables["predictions.md"] = render_markdown(study.comparison.predictions)
        tables["why.md"] = render_markdown(study.comparison.why)
        tables["findings.md"] = render_findings(study.comparison.findings)
    if len(study.initialisation):
        tables["initialisation.md"] = render_markdown(study.initialisation)
    if len(study.twins):
        tables["twins.csv"] = study.twins.to_csv(index=False, lineterminator="\n")
        tables["twins.md"] = render_markdown(shown_twins(study.twins))
    if study.matched:
        tables["matched.csv"] = study.matched.cells.to_csv(index=False, lineterminator="\n")
        tables["matched.md"] = render_markdown(study.matched.shown)
        tables["matched_findings.md"] = render_findings(study.matched.findings)
    return tables


def fill(text: str, root: Path) -> str:
    """Return `text` with every marked table replaced by the stored one.

    A table stands between `<!-- table: PATH -->`, the path being relative to `root`, and
    `<!-- end of table -->`.
    """
    return _MARKED.sub(lambda match: f"{match[1]}{(root / match[2]).read_text()}{match[3]}", text)


def _rows(text: str) -> str:
    """Return the lines of a rendered table that are table, without titles and notes."""
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith("|"))


def main(arguments: list[str]) -> None:
    """Run `keep RUN_OR_EXPERIMENT DIRECTORY` or `fill FILE`."""
    match arguments:
        case ["keep", source, directory]:
            keep(Path(source), Path(directory))
        case ["fill", name]:
            path = Path(name)
            path.write_text(fill(path.read_text(), path.parent))
        case _:
            raise SystemExit(f"arguments: given {arguments}; allowed: {__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
