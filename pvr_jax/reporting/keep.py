"""Kept results: a study as one file in the repository, with its tables and figures."""

import json
import re
from pathlib import Path

import vl_convert

from pvr_jax.refusal import Refusal
from pvr_jax.reporting.exhibits import context_of
from pvr_jax.reporting.publish import RESOLUTION, Report, render_page, tables_of, write_text
from pvr_jax.reporting.vega import PAPER_WIDTHS, paper
from pvr_jax.results import Study
from pvr_jax.results.study import write_study

_MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def keep_study(report: Report, study: Study, directory: Path) -> None:
    """Keep a study: results.nc, and the files made from it.

    These are replicas.csv, run.json (versions, devices, commands), the tables, figures as PNG, and
    the page.

    Raises:
        Refusal: a run is not finished.
    """
    if study.unfinished:
        raise Refusal(
            f"runs: given unfinished {', '.join(study.unfinished)}; allowed finished runs: give "
            "the command that made them again"
        )
    directory.mkdir(parents=True, exist_ok=True)
    write_study(directory, study)
    write_kept(report, study, directory)


def write_kept(report: Report, study: Study, directory: Path) -> None:
    """Write all files of a kept study except results.nc, from its data."""
    for name, text in kept_files(report, study).items():
        write_text(directory / name, text)
    context = context_of(study, report.measures)
    for name, spec in report.specs(study, context).items():
        png = vl_convert.vegalite_to_png(paper(spec, PAPER_WIDTHS[""]), ppi=RESOLUTION)
        (directory / f"{name}.png").write_bytes(png)


def kept_files(report: Report, study: Study) -> dict[str, str]:
    """Return the text files of a kept study, by name, from its data alone."""
    context = context_of(study, report.measures)
    tables = tables_of(report, study, context)
    files = {name: text for name, text in tables.items() if not name.endswith(".tex")}
    files["replicas.csv"] = study.final().to_csv(index=False, lineterminator="\n")
    configs = {run.attrs["run"]: json.loads(run.attrs["config"]) for run in study.runs}
    records = {
        name: {"config": config, "run": study.records.get(name, {})}
        for name, config in configs.items()
    }
    files["run.json"] = json.dumps({"runs": records}, indent=1, ensure_ascii=False) + "\n"
    files["report.html"] = render_page(report, study, context, report.specs(study, context), None)
    return files


def fill(text: str, root: Path) -> str:
    """Replace every marked table in `text` with the stored one.

    A table is between `<!-- table: PATH -->`, with the path relative to `root`, and
    `<!-- end of table -->`.
    """
    return _MARKED.sub(lambda match: f"{match[1]}{(root / match[2]).read_text()}{match[3]}", text)
