"""Add seeds until every verdict of a study is decided: --until=decided --max_seeds=40.

Looks are at 5, 10, 20, … seeds. A cell stops at the look that decides it; the others go on. How the
intervals stay valid under looking is in `results.verdicts`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments import registry, reports
from experiments.registry import UsageError
from pvr_jax import results
from pvr_jax.reporting.exhibits import context_of
from pvr_jax.results import Study
from pvr_jax.results.verdicts import WAITING, looks_up_to, next_look

RECORD = "run.json"


def check(config: ConfigDict, given: Mapping[str, Any]) -> None:
    """Refuse what has no verdicts, or a number of seeds beside that of the looks.

    Raises:
        UsageError: one line.
    """
    if reports.report_of(config.experiment).decisions is None:
        raise UsageError(f"--until: given decided; allowed where {config.experiment} has verdicts")
    for field in ("train.seeds", "train.first_seed"):
        if field in given:
            raise UsageError(
                f"--config.{field}: given {given[field]}; allowed --max_seeds, with --until=decided"
            )
    if config.holdout.bits == "none":
        raise UsageError("--until: given decided; allowed with frozen bits, not holdout.bits=none")


def decided(config: ConfigDict, workdir: Path, max_seeds: int, log: tuple[str, ...] = ()) -> None:
    """Train, analyze and predict in batches of seeds until all is decided; write the report."""
    from experiments.main import run_stage
    from pvr_jax import frame
    from pvr_jax.training import run_log

    experiment = registry.experiment_of(config)
    report, looks = reports.report_of(config.experiment), looks_up_to(max_seeds)
    asked: list[ConfigDict] = []
    directories: list[Path] = []
    found: Sequence[tuple[str, Any]] = ()
    while (seeds := next_look([decision for _, decision in found], looks)) is not None:
        bits = ",".join(dict.fromkeys(bit for bit, own in found if own.verdict in WAITING))
        asked.append(_with(config, seeds, bits or config.holdout.bits))
        directory = frame.train(experiment, asked[-1], workdir, log)
        if (directory / RECORD).is_file() and not run_log.is_done(directory, "analyse"):
            record = run_log.read_record(directory) | {"looks": ",".join(map(str, looks))}
            run_log.write_json(directory / RECORD, record)
        directories.append(frame.analyse(experiment, asked[-1], workdir))
        study = _together(directories)
        found = report.decisions(study, context_of(study, report.measures))
        waiting = sum(own.verdict in WAITING for _, own in found)
        print(f"look at {seeds} seeds: {len(found) - waiting} of {len(found)} cells are decided")
    for own in asked:
        frame.predict(experiment, own, workdir)
    run_stage("report", config, workdir)


def _with(config: ConfigDict, seeds: int, bits: str) -> ConfigDict:
    found = ConfigDict(config.to_dict())
    found.train.update({"seeds": seeds, "first_seed": 0})
    found.holdout.bits = bits
    return found.lock()


def _together(directories: Sequence[Path]) -> Study:
    """Return the study of all replicas in the runs of several looks."""
    runs: dict[str, Any] = {}
    for directory in directories:
        for run in results.open(directory).runs:
            known = runs.get(run.attrs["run"])
            if known is None or known.sizes["replica"] < run.sizes["replica"]:
                runs[run.attrs["run"]] = run
    return Study(tuple(runs.values()))
