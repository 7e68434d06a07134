"""Reports of experiments: from the files of their runs alone, without JAX.

python -m experiments.reports keep WORKDIR/EXPERIMENT experiments/EXPERIMENT/results/STUDY
python -m experiments.reports remake experiments/EXPERIMENT/results/STUDY
python -m experiments.reports fill README.md
"""

import sys
from pathlib import Path
from typing import Any

from experiments import registry
from pvr_jax import results
from pvr_jax.reporting import stored
from pvr_jax.reporting.keep import keep_study, write_kept
from pvr_jax.reporting.publish import Published, Report, publish


def report_of(experiment: str) -> Report | None:
    """Return what is shown of an experiment; None of one whose report is still its own."""
    return getattr(registry.load_experiment(experiment, "report"), "REPORT", None)


def report(root: Path) -> Published | Any:
    """Write the report of all runs in `root`, WORKDIR/<experiment>, to root/report.

    Raises:
        FileNotFoundError: no finished run; one line that says what to type.
        ValueError: a damaged result file, named.
    """
    described = report_of(root.name)
    if described is None:
        return registry.load_experiment(root.name, "report").report(root)
    return publish(described, results.open(root), root / "report")


def keep(source: Path, directory: Path) -> None:
    """Copy the small results of all runs of an experiment to `directory`, in the repository.

    Raises:
        FileNotFoundError, ValueError: no finished run, an unfinished one, or a damaged file.
    """
    names = {path.name: report_of(path.name) for path in (source, source.parent) if _is_one(path)}
    described = next(filter(None, names.values()), None)
    if described is None:
        stored.keep(source, directory)
    else:
        keep_study(described, results.open(source), directory)


def _is_one(path: Path) -> bool:
    return (Path(__file__).parent / path.resolve().name / "report.py").is_file()


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
            path.write_text(stored.fill(path.read_text(), path.parent))
        case _:
            raise SystemExit(f"arguments: given {arguments}; allowed: {__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
