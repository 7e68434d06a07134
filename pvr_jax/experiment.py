"""The frame of every experiment: an experiment is a value, and the rest is done here, once.

An experiment says what its replicas are, which functions of ONE replica make and measure them, and
what theory says they should be. The frame checks configurations, names runs, derives keys, trains,
reads checkpoints, measures in float64, and writes measures.nc and predictions.nc.

    from pvr_jax import experiment
    from experiments.degree_curriculum.experiment import EXPERIMENT

    experiment.train(EXPERIMENT, config, workdir)
    experiment.analyse(EXPERIMENT, config, workdir)
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from ml_collections import ConfigDict

from pvr_jax import checks, results, stages, tasks
from pvr_jax.results import Measure
from pvr_jax.tasks.contents import Content, of_problem
from pvr_jax.training import fields, run
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule, logarithmic_steps
from pvr_jax.training.losses import squared_error
from pvr_jax.training.replicas import Replicas, replica_names, to_host
from pvr_jax.training.settings import TrainSettings
from pvr_jax.training.state import State

Arrays = dict[str, Any]
# The streams of a seed's key: what they are for, and what is folded in first. A new stream takes
# the next number; one that changed would change every result.
STREAMS = {"data": 0, "init": 1}
SECTIONS = ("task", "model", "train", "evaluation", "checkpoint")
# Numbers that are measured together: 2^22 in float64 are 32 MB.
GROUP = 1 << 22
ANALYSE = run.Stage("analyse", after=run.STAGE, product=results.MEASURES_FILE)
PREDICT = run.Stage("predict", after="analyse", product=results.PREDICTIONS_FILE)


@dataclass(frozen=True)
class Program:
    """What is trained and measured, as functions of ONE replica.

    `conditions` are the replica's own axes, such as `leap=4`; `drawn` is what `draw` made.

    Args:
        init: `init(key) -> params`.
        outputs: `outputs(params) -> array[N]`, what the network says where it is measured.
        measure: `measure(outputs, drawn, **conditions) -> {name: array}`; in training's arithmetic
            along training, in float64 at its end.
        apply: `apply(params, x) -> predictions`.
        batch: `batch(key, step, **conditions) -> {x, y, weight}`; pure.
        loss: as of `training.ensemble.ensemble`.
        draw: `draw(data_key, **conditions) -> {name: array}`, once per replica: what measuring has
            to know of its data.
        ensemble: makes the programs of training where they are not those of batches:
            `ensemble(replicas, settings, evaluate=…)`, whose `evaluate` takes (params, drawn,
            **conditions).
        at_the_end: `at_the_end(state, drawn, replicas, steps) -> {name: array}`, of all replicas
            [R, ...] or [step, R, ...].
        exact: facts about the target, by name of a measure.
        coordinates: of the measures' own dimensions, by name.
        steps_per_epoch: 1 where a step is an epoch.
        title: of what is trained on what.
        outputs_size: N, which bounds how many replicas are measured together.
    """

    init: Callable[[jax.Array], Any]
    outputs: Callable[[Any], jax.Array]
    measure: Callable[..., Arrays]
    apply: Callable[[Any, jax.Array], jax.Array] | None = None
    batch: Callable[..., Arrays] | None = None
    loss: Callable[..., jax.Array] = squared_error
    draw: Callable[..., Arrays] = lambda data_key, **conditions: {}
    ensemble: Callable[..., Ensemble] | None = None
    at_the_end: Callable[..., Arrays] = lambda state, drawn, replicas, steps: {}
    exact: Mapping[str, Any] = field(default_factory=dict)
    coordinates: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    steps_per_epoch: int = 1
    step_unit: str = "step"
    title: str = ""
    outputs_size: int = 1


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Args:
        name: of its folder, and of `config.experiment`.
        measures: what it measures, by name.
        axes: `axes(config) -> {column: values}`; the replicas are all combinations of these with
            learning rates, initial scales and seeds.
        rules: of its own fields, "section.field".
        streams: what each stream of randomness depends on: "seed", and columns of whole numbers.
        build: `build(config, replicas) -> Program`, with the table of replicas.
        compute: `compute(config) -> {name: array}`, of a study that trains nothing.
        predict: theory -> `theory(config, replicas) -> {name: array[R]}`.
        check: `check(config)` refuses what single rules cannot.
        name_of: the beginning of a replica's name, from its row.
    """

    name: str
    measures: Mapping[str, Measure]
    axes: Callable[[ConfigDict], Mapping[str, Sequence[Any]]] = lambda config: {}
    rules: Mapping[str, checks.Rule] = field(default_factory=dict)
    streams: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {name: ("seed",) for name in STREAMS}
    )
    build: Callable[[ConfigDict, pd.DataFrame], Program] | None = None
    compute: Callable[[ConfigDict], Arrays] | None = None
    predict: Mapping[str, Callable[[ConfigDict, pd.DataFrame], Arrays]] = field(
        default_factory=dict
    )
    check: Callable[[ConfigDict], None] = lambda config: None
    name_of: Callable[[Mapping[str, Any]], str] | None = None

    # What `stages` asks of an experiment.

    def validate(self, config: ConfigDict) -> None:
        """Check the whole configuration; raises the one-line error about the first bad field."""
        trained = {**fields.NAMES, **fields.TRAINING} if self.build else {}
        rules = {**trained, **self.rules}
        always = SECTIONS if self.build else ()
        sections = dict.fromkeys([*always, *(rule.split(".")[0] for rule in rules)])
        fields.check(config, tuple(sections), rules)
        self.check(config)

    def identity(self, config: ConfigDict) -> str:
        """Return the 8 hexadecimal digits that name a configuration."""
        return fields.identity(config.to_dict())

    def run_name(self, config: ConfigDict) -> str:
        """Return the name of a run's directory: <task>-<model>-<8 hex of the configuration>."""
        parts = [config[s].name for s in ("task", "model") if s in config] or [self.name]
        words = [re.sub(r"[^A-Za-z0-9_]+", "_", part) for part in parts]
        return "-".join([*words, self.identity(config)])

    def contents(self, config: ConfigDict) -> dict[str, Content]:
        """Return what stands behind the task's name, where it is a file or the user's own."""
        return of_problem(task_of(config)) if "task" in config else {}

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages it has, in order."""
        known = {"train": self.build, "analyse": True, "predict": self.predict, "report": True}
        return tuple(name for name, there in known.items() if there)


def bound(experiment: Experiment) -> SimpleNamespace:
    """Return all that is done with an experiment as functions of a configuration."""
    own = ("validate", "identity", "run_name", "contents", "stages")
    functions = {"train": train, "analyse": analyse, "predict": predict}
    return SimpleNamespace(
        **{name: getattr(experiment, name) for name in own},
        **{name: partial(function, experiment) for name, function in functions.items()},
    )


def task_of(config: ConfigDict) -> tasks.Task:
    """Return the task of a configuration; errors name the field."""
    parameters = {name: value for name, value in config.task.to_dict().items() if value is not None}
    return fields.prefix_errors("config.task.", lambda: tasks.make(**parameters))


def replica_table(experiment: Experiment, config: ConfigDict) -> pd.DataFrame:
    """Return a row per replica: `name`, the experiment's axes, rate, initial scale and seed."""
    chosen, first = config.train, config.train.first_seed
    columns = {
        **experiment.axes(config),
        "learning_rate": [*map(float, chosen.learning_rates)],
        "init_scale": [*map(float, chosen.init_scales)],
        "seed": range(first, first + chosen.seeds),
    }
    table = pd.DataFrame(itertools.product(*columns.values()), columns=list(columns))
    own = list(experiment.axes(config))
    rows = table.to_dict("records")
    name_of = experiment.name_of or (lambda row: "-".join(f"{name}{row[name]}" for name in own))
    names = replica_names(
        [name_of(row) for row in rows], table["learning_rate"], table["init_scale"], table["seed"]
    )
    return table.assign(name=names)


def replicas_of(experiment: Experiment, table: pd.DataFrame) -> Replicas:
    """Return the replicas of a table; keys follow from a row's values, never from its position."""
    own = [name for name in table if name not in ("name", "learning_rate", "init_scale", "seed")]
    numbers = [name for name in own if table[name].dtype.kind in "iub"]

    def keys(row: Mapping[str, jax.Array], stream: str) -> jax.Array:
        key = jax.random.fold_in(jax.random.key(row["seed"]), STREAMS[stream])
        for name in experiment.streams[stream][1:]:
            key = jax.random.fold_in(key, row[name])
        return key

    rows = {name: jnp.asarray(table[name].to_numpy(), jnp.int32) for name in numbers}
    rows["seed"] = jnp.asarray(table["seed"].to_numpy(), jnp.uint32)
    made = {stream: jax.vmap(partial(keys, stream=stream))(rows) for stream in STREAMS}
    del rows["seed"]
    others = {
        n: jnp.asarray(table[n].to_numpy(float), jnp.float32) for n in own if n not in numbers
    }
    return Replicas(
        init_key=made["init"],
        data_key=made["data"],
        learning_rate=jnp.asarray(table["learning_rate"].to_numpy(), jnp.float32),
        init_scale=jnp.asarray(table["init_scale"].to_numpy(), jnp.float32),
        conditions={**rows, **others},
    )


def ensemble_of(
    experiment: Experiment, config: ConfigDict
) -> tuple[Program, Ensemble, pd.DataFrame]:
    """Return what is trained: the program of one replica, of all, and their table."""
    table = replica_table(experiment, config)
    program = experiment.build(config, table)
    replicas = replicas_of(experiment, table)
    total = config.train.epochs * program.steps_per_epoch
    settings = replace(TrainSettings.of(config.train), steps=total)

    def evaluate(params: Any, drawn: Arrays, **conditions: jax.Array) -> Arrays:
        return program.measure(program.outputs(params), drawn, **conditions)

    if program.ensemble:
        return program, program.ensemble(replicas, settings, evaluate=evaluate), table

    def evaluate_one(params: Any, data_key: jax.Array, **conditions: jax.Array) -> Arrays:
        return evaluate(params, program.draw(data_key, **conditions), **conditions)

    def batch(key: jax.Array, step: jax.Array, data_key: jax.Array, **conditions: Any) -> Arrays:
        return program.batch(key, step, **conditions)

    with_keys = replicas._replace(conditions={**replicas.conditions, "data_key": replicas.data_key})
    members = run.build_ensemble(
        with_keys, settings, init=program.init, apply=program.apply, batch=batch,
        evaluate=evaluate_one, loss=program.loss,
    )  # fmt: skip
    return program, members, table


def schedule_of(config: ConfigDict, program: Program) -> Schedule:
    """Return when a run evaluates and saves.

    Evaluations are every so many epochs, and, with `evaluation.logarithmic`, at about so many
    log-spaced steps.
    """
    found = run.schedule(
        epochs=config.train.epochs,
        steps_per_epoch=program.steps_per_epoch,
        every_epochs=config.evaluation.every_epochs,
        kept=config.checkpoint.count,
        save_every_seconds=config.checkpoint.save_every_seconds,
    )
    early = config.evaluation.get("logarithmic")
    steps = logarithmic_steps(program.steps_per_epoch, found.total, early) if early else ()
    return replace(found, evaluations=found.evaluations | frozenset(steps))


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
        values = {
            n: np.stack([np.asarray(own.get(n, nothing)) for own in found.values()]) for n in names
        }
        data = {
            name: (("theory", "replica"), value, experiment.measures[name].attributes)
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
        with jax.enable_x64(True):
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
