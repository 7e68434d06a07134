"""The frame of every experiment: what is done with one, once for all.

It trains, reads checkpoints, measures in float64, and writes measures.nc and predictions.nc.

    from experiments.NAME.experiment import EXPERIMENT
    from pvr_jax import frame

    frame.train(EXPERIMENT, config, workdir)
    frame.analyse(EXPERIMENT, config, workdir)
"""

import contextlib
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from pvr_jax import results, stages
from pvr_jax.boolean import float64
from pvr_jax.experiment import (
    Arrays,
    Experiment,
    Program,
    ensemble_of,
    replica_table,
    replicas_of,
    schedule_of,
)
from pvr_jax.training import run
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule
from pvr_jax.training.replicas import Replicas, to_host
from pvr_jax.training.state import State

# Numbers that are measured together: 2^22 in float64 are 32 MB.
GROUP = 1 << 22
ANALYSE = run.Stage("analyse", after=run.STAGE, product=results.MEASURES_FILE)
PREDICT = run.Stage("predict", after="analyse", product=results.PREDICTIONS_FILE)


def bound(experiment: Experiment) -> SimpleNamespace:
    """Return all that is done with an experiment as functions of a configuration."""
    own = ("validate", "identity", "run_name", "contents", "stages")
    functions = {"train": train, "analyse": analyse, "predict": predict}
    return SimpleNamespace(
        **{name: getattr(experiment, name) for name in own},
        **{name: partial(function, experiment) for name, function in functions.items()},
    )


def run_all(
    experiment: Experiment, config: ConfigDict, workdir: str | Path | None = None
) -> results.Study:
    """Train, analyse and predict; return the study of this run.

    What is done already, in a work directory, is not done again.

    Args:
        experiment: such as `EXPERIMENT` in an experiment's experiment.py.
        config: of `configs/`, or your own.
        workdir: where files go; nothing is kept where none is given.

    Raises:
        ValueError: an impossible configuration.
    """
    with contextlib.ExitStack() as held:
        place = workdir or held.enter_context(tempfile.TemporaryDirectory(prefix="pvr_jax_"))
        stages_of = bound(experiment)
        for stage in experiment.stages:
            if stage != "report":
                directory = getattr(stages_of, stage)(config, Path(place))
        return results.open(directory)


def train(experiment: Experiment, config: ConfigDict, workdir: Path) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    Returns the run directory, `workdir/<experiment>/<task>-<model>-<8 hex>`.

    Raises:
        ValueError: an impossible configuration.
        RunError: the directory is in use, a checkpoint cannot be written, or a signal came.
    """

    def plan(config: ConfigDict) -> run.Plan:
        program, members, table = ensemble_of(experiment, config)
        return run.Plan(
            members, schedule_of(config, program), table["name"].tolist(), program.title
        )

    return stages.train(experiment, config, workdir, plan)


def analyse(experiment: Experiment, config: ConfigDict, workdir: Path) -> Path:
    """Write measures.nc of a trained run, or of what is computed; returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not trained to its end.
        RunError: the directory is in use, or its last checkpoint cannot be read.
    """

    def work(config: ConfigDict, directory: Path) -> None:
        results.write(directory / results.MEASURES_FILE, measured(experiment, config, directory))

    return stages.follow(experiment, config, workdir, ANALYSE, work)


def predict(experiment: Experiment, config: ConfigDict, workdir: Path) -> Path:
    """Write predictions.nc: what every theory says of every replica; returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not analysed.
    """

    def work(config: ConfigDict, directory: Path) -> None:
        table = replica_table(experiment, config)
        found = {name: theory(config, table) for name, theory in experiment.predict.items()}
        names = dict.fromkeys(name for own in found.values() for name in own)
        nothing = np.full(len(table), np.nan)
        theories = list(found.values())
        values = {
            name: np.stack([np.asarray(own.get(name, nothing)) for own in theories], axis=1)
            for name in names
        }
        data = {
            name: (("replica", "theory"), value, experiment.measures[name].attributes)
            for name, value in values.items()
        }
        measures = results.read(directory / results.MEASURES_FILE)
        kept = {n: c for n, c in measures.coords.items() if c.dims == ("replica",)}
        results.write(
            directory / results.PREDICTIONS_FILE,
            xr.Dataset(data, {**kept, "theory": list(found)}, measures.attrs),
        )

    return stages.follow(experiment, config, workdir, PREDICT, work)


def measured(experiment: Experiment, config: ConfigDict, directory: Path) -> xr.Dataset:
    """Return the measures of a trained run.

    The last step is of the last checkpoint, in float64; the others are the evaluations of training,
    in its arithmetic.
    """
    program, members, table = ensemble_of(experiment, config)
    plan = schedule_of(config, program)
    state = last_state(experiment, config, members, plan, directory)
    replicas = replicas_of(experiment, table)
    draw = jax.jit(jax.vmap(lambda key, own: program.draw(key, **own)))
    drawn = to_host(draw(replicas.data_key, replicas.conditions), members.count)
    final = final_measures(program, members, state, drawn, replicas)
    records = run.evaluations(directory, plan)
    lost = run.diverged_steps(directory, final.pop("finite"))
    values = {
        name: np.stack(
            [*(np.asarray(r[name], float) for r in records[:-1]), np.asarray(last, float)]
        )
        for name, last in final.items()
    }
    if "batch_loss" in experiment.measures:
        values["batch_loss"] = np.array([record["batch_loss"] for record in records], float)
    steps = np.array([record["step"] for record in records])
    values |= program.at_the_end(to_host(state, members.count), drawn, table, steps)
    return results.dataset(
        table.assign(diverged_at=[-1 if step is None else step for step in lost]),
        {**values, **program.exact},
        experiment.measures,
        steps=steps,
        coordinates=program.coordinates,
        **attributes(experiment, config, program.step_unit),
    )


def attributes(experiment: Experiment, config: ConfigDict, step_unit: str) -> dict[str, Any]:
    """Return what a dataset says of its run."""
    found = {
        "experiment": experiment.name,
        "run": experiment.run_name(config),
        "task": config.task.name,
        "model": config.model.name,
        "optimizer": config.train.optimizer,
        "size": config.size,
        "n": config.task.get("n"),
        "step_unit": step_unit,
        "config": config.to_dict(),
    }
    return {name: value for name, value in found.items() if value is not None}


def final_measures(
    program: Program, members: Ensemble, state: State, drawn: Arrays, replicas: Replicas
) -> dict[str, np.ndarray]:
    """Return the measures [R, ...] of the last functions in float64, and which are `finite`."""
    found: list[dict[str, np.ndarray]] = []
    conditions = to_host(replicas.conditions, members.count)
    measure = jax.jit(jax.vmap(lambda outputs, own, given: program.measure(outputs, own, **given)))
    groups = run.in_groups(program.outputs, members, max(1, GROUP // program.outputs_size))
    for some, outputs in groups(state.params):
        own, given = jax.tree.map(lambda leaf, some=some: leaf[some], (drawn, conditions))
        with float64.exact():
            functions = jnp.asarray(outputs, jnp.float64)
            values = measure(functions, own, given)
            values["finite"] = jnp.isfinite(functions).reshape(len(functions), -1).all(axis=1)
            found.append(jax.tree.map(np.asarray, values))
    return {name: np.concatenate([group[name] for group in found]) for name in found[0]}


def last_state(
    experiment: Experiment, config: ConfigDict, members: Ensemble, plan: Schedule, directory: Path
) -> State:
    """Return the state after the last step.

    Raises:
        CheckpointError: its checkpoint is missing or damaged.
    """
    identity = experiment.identity(config)
    with Checkpoints(directory / "checkpoints", identity, read_only=True) as checkpoints:
        state, passed_over = checkpoints.restore(members.shapes())
    if state is None or int(state.step[0]) != plan.total:
        nothing = f"{directory} has no checkpoint of step {plan.total}"
        reason = passed_over[0] if passed_over else nothing
        raise CheckpointError(
            f"{reason}; remove {directory / 'train.done'} and give the same command again to train "
            "on from the checkpoint before it"
        )
    return state
