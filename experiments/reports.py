"""Make reports of experiments from the files of their runs, without JAX.

python -m experiments.reports keep WORKDIR/EXPERIMENT experiments/EXPERIMENT/results/STUDY
python -m experiments.reports remake experiments/EXPERIMENT/results/STUDY
python -m experiments.reports fill README.md
"""

import sys
from pathlib import Path

from experiments import registry
from pvr_jax import results
from pvr_jax.refusal import Refusal
from pvr_jax.reporting.keep import fill, keep_study, write_kept
from pvr_jax.reporting.publish import Published, Report, publish


def report_of(experiment: str) -> Report:
    """Return the report of an experiment."""
    return registry.load(experiment, "report").REPORT


def report(root: Path) -> Published:
    """Write the report of all runs in `root`, WORKDIR/<experiment>, to root/report.

    Raises:
        FileNotFoundError: no finished run; the message says what to type.
        Refusal: a result file is damaged.
    """
    return publish(report_of(root.resolve().name), results.open(root), root / "report")


def keep(source: Path, directory: Path) -> None:
    """Keep the small results of a run, or of all runs of an experiment, in `directory`.

    Raises:
        FileNotFoundError, ValueError: no finished run, an unfinished one, or a damaged file.
    """
    study = results.open(source)
    keep_study(report_of(study.experiment), study, directory)


def main(arguments: list[str]) -> None:
    """Run `keep SOURCE DIRECTORY`, `remake DIRECTORY`, or `fill FILE`."""
    match arguments:
        case ["keep", source, directory]:
            keep(Path(source), Path(directory))
        case ["remake", name]:
            directory = Path(name).resolve()
            report = report_of(directory.parents[1].name)
            write_kept(report, results.open(directory), directory)
        case ["fill", name]:
            path = Path(name)
            path.write_text(fill(path.read_text(), path.parent))
        case _:
            raise SystemExit(f"arguments: given {arguments}; allowed: {__doc__}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Refusal, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error
