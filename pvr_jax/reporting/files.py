"""Writing the files of a report and the results that are kept, and the errors of missing runs."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pvr_jax.reporting import drawing
from pvr_jax.reporting.drawing import Illustration

KEPT_RESOLUTION = 160  # dots per inch


@dataclass(frozen=True)
class ReportPaths:
    """The files of one report; `text` is what a terminal shows of it.

    `tables` are paths by file name. Of the canonical holdout they are table.csv, table.md and
    table.tex with a row per run and frozen bit, theory.md, why.md and findings.md of a single run,
    comparison.md where several runs are compared, initialisation.md where they scan the size of
    the initialisation, twins.csv and twins.md of the coefficients that training cannot tell apart,
    matched.csv and matched.md of runs with nothing frozen, and replicas.csv.
    """

    directory: Path
    page: Path
    text: str
    tables: dict[str, Path]
    figures: dict[str, dict[str, Path]] = field(default_factory=dict)


def write_text(path: Path, text: str) -> Path:
    """Write a whole file at once, so that nobody reads half of it; return its path."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    return temporary.replace(path)


def write_report_files(
    directory: Path,
    tables: Mapping[str, str],
    page: str,
    text: str,
    illustrations: Sequence[Illustration],
) -> ReportPaths:
    """Write tables, by file name, and the page beside the figures; return the report's paths."""
    directory.mkdir(parents=True, exist_ok=True)
    return ReportPaths(
        directory=directory,
        tables={name: write_text(directory / name, content) for name, content in tables.items()},
        page=write_text(directory / "report.html", page),
        text=text,
        figures={illustration.name: illustration.paths for illustration in illustrations},
    )


def keep_results(
    directory: Path,
    tables: Mapping[str, str],
    records: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
    drawings: Mapping[str, Callable[[], Figure]],
) -> None:
    """Write the small results of several runs to `directory`, which is made if needed.

    They are the tables by file name, run.json with {"runs": {name: {"config", "run"}}} of the
    pairs in `records`, and the figures as PNG.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        write_text(directory / name, text)
    runs = {name: {"config": config, "run": record} for name, (config, record) in records.items()}
    text = json.dumps({"runs": runs}, indent=1, ensure_ascii=False)
    write_text(directory / "run.json", text + "\n")
    for name, draw in drawings.items():
        keep_figure(directory / f"{name}.png", draw)


def keep_figure(path: Path, draw: Callable[[], Figure]) -> None:
    """Draw a figure in the figures' style and save it as the PNG `path`."""
    with drawing.style(path.stem):
        draw().savefig(path, dpi=KEPT_RESOLUTION)


def none_finished(root: Path, unfinished: Sequence[str], workdir: Path) -> FileNotFoundError:
    """Return the one-line error of a report without a finished run below `root`: what to type."""
    return FileNotFoundError(
        f"no finished run in {root}, only unfinished: {', '.join(unfinished)}; "
        f"finish with: ./launch.sh run CONFIG --workdir={os.path.normpath(workdir)}"
    )


def not_all_finished(source: Path, finished: int, unfinished: Sequence[str]) -> FileNotFoundError:
    """Return the one-line error of results that cannot be kept: not all runs are finished."""
    return FileNotFoundError(
        f"{source}: {finished} finished runs, unfinished: {', '.join(unfinished) or 'none'}; "
        "allowed a directory of finished runs: give the command that made it again"
    )
