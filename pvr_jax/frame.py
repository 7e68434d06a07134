"""The frame of every experiment: train, analyse and predict.

It trains, reads checkpoints, measures in float64, and writes measures.nc and predictions.nc.

    from experiments.NAME.experiment import EXPERIMENT
    from pvr_jax import frame

    frame.train(EXPERIMENT, config, workdir)
    frame.analyse(EXPERIMENT, config, workdir)
"""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from ml_collections import ConfigDict

from pvr_jax import extending, results, stages
from pvr_jax.building import ALL, Part, build, replica_table
from pvr_jax.experiment import Arrays, Experiment
from pvr_jax.measuring import computed, write_measures
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure
from pvr_jax.training import run, run_log
from pvr_jax.training.progress import ProgressDisplay

ANALYSE = run.Stage("analyse", after=run.STAGE, product=results.MEASURES_FILE)
COMPUTE = run.Stage("analyse", after="", product=results.MEASURES_FILE)
PREDICT = run.Stage("predict", after="analyse", product=results.PREDICTIONS_FILE)
NOT_DEFINED = Measure(
    "not defined",
    "Why a theory says nothing of a run; empty where it does.",
    kind="prediction",
    dims=("theory",),
)


def run_all(
    experiment: Experiment,
    config: ConfigDict,
    workdir: str | Path | None = None,
    log: Sequence[str] = (),
) -> results.Study:
    """Train, analyse and predict; return the study of this run.

    Finished stages in a work directory are skipped.

    Args:
        experiment: such as `EXPERIMENT` in an experiment's experiment.py.
        config: of `configs/`, or your own.
        workdir: directory for files; without one, nothing is kept.
        log: as of `train`.

    Raises:
        ValueError: an invalid configuration.
    """
    with contextlib.ExitStack() as held:
        place = workdir or held.enter_context(tempfile.TemporaryDirectory(prefix="pvr_jax_"))
        for stage in experiment.stages[:-1]:
            tracked = {"log": log} if stage == "train" else {}
            directory = STAGES[stage](experiment, config, Path(place), **tracked)
        return results.open(directory)


def train(
    experiment: Experiment,
    config: ConfigDict,
    workdir: Path,
    log: Sequence[str] = (),
    extends: bool = True,
) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    With `log` "tensorboard" or "wandb", or both, evaluations are logged there too. If it `extends`
    earlier runs in `workdir`, only replicas that none of them has are trained; see `extending`.
    Returns the run directory, `workdir/<experiment>/<task>-<model>-<8 hex>`.

    Raises:
        ValueError: an invalid configuration.
        RunError: the directory is in use, a checkpoint cannot be written, or a signal came.
    """
    experiment.validate(config)
    directory = stages.run_directory(experiment, config, workdir)
    if extends:
        extending.begin(experiment, config, workdir)
    for other in extending.others_of(experiment, config, directory):
        train(experiment, other, workdir, log)
    own = extending.parts_of(directory)
    if own.is_empty:
        return directory
    plan = partial(plan_of, experiment, part=own.own)
    return stages.train(experiment, config, workdir, lambda config: plan((config,)), log)


def plan_of(experiment: Experiment, configs: Sequence[ConfigDict], part: Part = ALL) -> run.Plan:
    """Return what is trained, and the schedule."""
    built = build(experiment, configs, part)
    names = [table["name"].tolist() for table in built.tables]
    if len(configs) > 1:
        runs = map(experiment.run_name, configs)
        names = [[f"{run}/{name}" for name in own] for run, own in zip(runs, names, strict=True)]
    titles = dict.fromkeys(program.title for program in built.programs)
    rows = built.programs[0].training_rows(built.replicas)
    return run.Plan(
        built.ensemble, built.schedule, [*itertools.chain(*names)], "; ".join(titles), rows
    )


def analyse(experiment: Experiment, config: ConfigDict, workdir: Path) -> Path:
    """Write measures.nc and the kept outputs of a run; return the run directory.

    Raises:
        ValueError: an invalid configuration.
        FileNotFoundError: the run is not fully trained.
        RunError: the directory is in use, or its last checkpoint cannot be read.
    """

    def work(config: ConfigDict, directory: Path) -> None:
        identity, own = experiment.identity(config), extending.parts_of(directory).own
        write_measures(experiment, (config,), directory, identity, (directory,), own)

    def compute(config: ConfigDict, directory: Path) -> None:
        found = experiment.compute(config)
        measures = computed(experiment, config, found)
        results.write(directory / results.MEASURES_FILE, measures)

    if experiment.compute:
        return stages.follow(experiment, config, workdir, COMPUTE, compute)
    return _of_all(experiment, config, workdir, ANALYSE, work)


def predict(experiment: Experiment, config: ConfigDict, workdir: Path) -> Path:
    """Write predictions.nc, every theory for every replica; return the run directory.

    Raises:
        ValueError: an invalid configuration.
        FileNotFoundError: the run is not analysed.
        RunError: the directory is in use, or a file in it is damaged.
    """

    def work(config: ConfigDict, directory: Path) -> None:
        table = extending.parts_of(directory).own.of(replica_table(experiment, config))
        learned = partial(kept_outputs, experiment, directory)
        found: dict[str, Arrays] = {}
        reasons = dict.fromkeys(experiment.predict, "")
        with ProgressDisplay(len(experiment.predict), first="predict") as display:
            for name in display.follow(experiment.predict, lambda name: f"theory {name}"):
                try:
                    found[name] = experiment.predict[name](config, table, learned)
                except (Refusal, np.linalg.LinAlgError) as error:
                    found[name], reasons[name] = {}, str(error)
        measures = results.read(directory / results.MEASURES_FILE)
        predictions = labeled(experiment, measures, found, reasons)
        results.write(directory / results.PREDICTIONS_FILE, predictions)

    return _of_all(experiment, config, workdir, PREDICT, work)


def _of_all(
    experiment: Experiment,
    config: ConfigDict,
    workdir: Path,
    stage: run.Stage,
    work: Callable[[ConfigDict, Path], None],
) -> Path:
    """Run a stage in all directories that have replicas of a run; return the run directory."""
    experiment.validate(config)
    directory = stages.run_directory(experiment, config, workdir)
    for other in extending.others_of(experiment, config, directory):
        _of_all(experiment, other, workdir, stage, work)
    if extending.parts_of(directory).is_empty:
        return directory
    return stages.follow(experiment, config, workdir, stage, work)


def kept_outputs(experiment: Experiment, directory: Path) -> Iterator[np.ndarray]:
    """Yield the final outputs of each replica of an analyzed run, [N] in float64.

    Raises:
        RunError: the file is damaged.
    """
    path = directory / experiment.kept.name
    with run_log.damage_named(path, run.remedy(directory, "analyse")):
        yield from experiment.kept.read_last(directory)


def labeled(
    experiment: Experiment, measures: xr.Dataset, found: dict[str, Arrays], reasons: dict[str, str]
) -> xr.Dataset:
    """Return the dataset predictions.nc, with the replicas of the measures.

    Args:
        experiment: the experiment.
        measures: measures.nc.
        found: arrays [R, ...] by name, for every theory.
        reasons: why a theory is not defined, or "".
    """
    known = {**experiment.measures, **experiment.predictions}
    names = [*experiment.predictions, *(name for own in found.values() for name in own)]
    values = {}
    for name in dict.fromkeys(names):
        given = {theory: np.asarray(own[name]) for theory, own in found.items() if name in own}
        dims = ["replica", *(dim for dim in known[name].dims if dim != "theory")]
        nothing = np.full([measures.sizes[dim] for dim in dims], np.nan)
        values[name] = np.stack([given.get(theory, nothing) for theory in found], axis=1)
    of_theories = {
        name: replace(known[name], dims=("theory", *(d for d in known[name].dims if d != "theory")))
        for name in values
    }
    columns = [str(name) for name, own in measures.coords.items() if own.dims == ("replica",)]
    replicas = pd.DataFrame({name: measures[name].values for name in columns})
    return results.dataset(
        replicas.rename(columns={"replica": "name"}),
        values | {"not_defined": np.array([reasons[name] for name in found])},
        of_theories | {"not_defined": NOT_DEFINED},
        coordinates={
            "theory": list(found),
            **{
                dim: measures[dim].values
                for measure in of_theories.values()
                for dim in measure.dims
                if dim in measures.coords
            },
        },
        **{name: value for name, value in measures.attrs.items() if name != "schema"},
    )


STAGES = {"train": train, "analyse": analyse, "predict": predict}
