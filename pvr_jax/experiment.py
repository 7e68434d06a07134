"""An experiment is a value: what its replicas are, and which functions of ONE replica make them.

It also says how they are measured and what theory says they should be; `frame` does the rest.
"""

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from pvr_jax import checks, tasks
from pvr_jax.outputs_file import OutputsFile
from pvr_jax.results import Measure
from pvr_jax.tasks.contents import Content, of_problem
from pvr_jax.training import fields, run
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule, logarithmic_steps
from pvr_jax.training.losses import squared_error
from pvr_jax.training.optimizers import parsed
from pvr_jax.training.replicas import Replicas, device_mesh, replica_names
from pvr_jax.training.settings import TrainSettings
from pvr_jax.training.state import Objective, State

Arrays = dict[str, Any]
Axes = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]
Learned = Callable[[], Iterator[np.ndarray]]
Theory = Callable[[ConfigDict, pd.DataFrame, Learned], Arrays]
# The streams of a seed's key: what they are for, and what is folded in first. A new stream takes
# the next number; one that changed would change every result.
STREAMS = {"data": 0, "init": 1}
FIRST = 1 << 5  # the first step after 0 that is evaluated, of a run that is counted in steps
SECTIONS = ("task", "model", "train", "evaluation", "checkpoint")


class End(NamedTuple):
    """The end of a run, of all its replicas.

    `params` are the last parameters [R, ...], `state()` the last states, `kept()` yields the step
    and the parameters of every kept checkpoint, `drawn` is what `draw` made, `replicas` their
    table, `values` what was measured [T, R, ...] or [R, ...] at `steps` [T]. With a carry,
    parameters are (params, carry).
    """

    params: Any
    state: Callable[[], State]
    kept: Callable[[], Iterator[tuple[int, Any]]]
    drawn: Arrays
    replicas: pd.DataFrame
    steps: np.ndarray
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Program:
    """What is trained and measured, as functions of ONE replica.

    `conditions` are the replica's own, such as `leap=4`; `drawn` is what `draw` made.

    Args:
        init: `init(key) -> params`.
        outputs: `outputs(params, drawn, **conditions) -> array[N] or tree`, what the network says
            where it is measured; with a carry, of (params, carry).
        measure: `measure(outputs, drawn, **conditions) -> {name: array}`; in training's arithmetic
            along training, in float64 of what checkpoints hold.
        apply: `apply(params, x) -> predictions`.
        batch: `batch(key, step, **conditions) -> {x, y, weight}`; pure.
        loss, objective, carry, fresh_at: as of `training.ensemble.ensemble`.
        draw: `draw(data_key, **conditions) -> {name: array}`, once per replica: what measuring has
            to know of its data.
        conditions: `conditions(replicas) -> {name: array[R, ...]}`, of the table; None: its columns
            of numbers.
        packed: more conditions [R, ...], given where configurations train in one program: what the
            other functions of this configuration have for all replicas.
        ensemble: makes the programs of training where they are not those of batches:
            `ensemble(replicas, settings, evaluate=…)`, whose `evaluate` takes (params, drawn,
            **conditions).
        training_rows: `training_rows(replicas) -> counts`, of `training.shown_rows.count_rows`;
            None where nothing is withheld.
        of_last: `of_last(outputs[r, ...]) -> {name: array[r, ...]}`, on the host, of the last step.
        at_the_end: `at_the_end(end) -> {name: array}`, of all replicas [R, ...] or [step, R, ...],
            what compares them, or facts; a measure that it gives as None is left out.
        kept_beside: further arrays in the file that keeps the outputs.
        exact: facts about the target, by name of a measure.
        measures: those that depend on the configuration, beside the experiment's.
        coordinates: of the measures' own dimensions, by name.
        attributes: of the results, beside and before those of `frame.attributes`.
        steps_per_epoch: 1 where a step is an epoch.
        title: of what is trained on what.
        outputs_size: N, which bounds how many replicas are measured together.
    """

    init: Callable[[jax.Array], Any]
    outputs: Callable[..., Any]
    measure: Callable[..., Arrays]
    apply: Callable[[Any, jax.Array], jax.Array] | None = None
    batch: Callable[..., Arrays] | None = None
    loss: Callable[..., jax.Array] = squared_error
    objective: Objective | None = None
    carry: Callable[[Any], Any] | None = None
    fresh_at: tuple[int, ...] = ()
    draw: Callable[..., Arrays] = lambda data_key, **conditions: {}
    conditions: Callable[[pd.DataFrame], Arrays] | None = None
    packed: Mapping[str, Any] = field(default_factory=dict)
    ensemble: Callable[..., Ensemble] | None = None
    training_rows: Callable[[Replicas], dict[str, int] | None] = lambda replicas: None
    of_last: Callable[[Any], Arrays] = lambda outputs: {}
    at_the_end: Callable[[End], Arrays] = lambda end: {}
    kept_beside: Mapping[str, Any] = field(default_factory=dict)
    exact: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, Measure] = field(default_factory=dict)
    coordinates: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    steps_per_epoch: int = 1
    step_unit: str = "step"
    title: str = ""
    outputs_size: int = 1


def task_of(config: ConfigDict) -> tasks.Task:
    """Return the task of a configuration; errors name the field."""
    parameters = {name: value for name, value in config.task.to_dict().items() if value is not None}
    return fields.prefix_errors("config.task.", lambda: tasks.make(**parameters))


def condition_name(row: Mapping[str, Any]) -> str:
    """Return what tells a replica apart beside rate, scale and seed, such as "leap4"."""
    return "-".join(f"{name}{value}" for name, value in row.items())


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Args:
        name: of its folder, and of `config.experiment`.
        measures: what it measures, by name.
        build: `build(config, replicas) -> Program`, with the table of replicas.
        axes: `axes(config) -> {column: values}`, or rows where not all combinations are meant; the
            replicas are all combinations of these with learning rates, initial scales and seeds.
        label: of a row of `axes`, the beginning of a replica's name.
        rules: of its own fields, "section.field".
        counts: whether training is counted in "epochs" or in "steps".
        streams: what each stream of randomness depends on: "seed", and conditions that are whole
            numbers.
        predict: theory -> `theory(config, replicas, learned) -> {name: array[R, ...]}`, of
            `predictions`; `learned()` yields the last outputs [N] of one replica after the other,
            where they are kept. A Refusal says why the theory is not defined.
        predictions: what theories say, by name; those of `measures` too.
        kept: the file that keeps the outputs of the last checkpoint, or, with
            `evaluation.spectra="all"`, of every kept one.
        check: `check(config)` refuses what single rules cannot.
        contents: what stands behind names in the configuration that are files or the user's own.
        alike: `alike(config)`, a document that is equal for configurations of which one program can
            train all; seeds, learning rates and initial scales never count.
        followed: fields that say only what the analysis follows, with their defaults. They are in
            no run's name, and a run is analyzed again where they change.
        defaults: of fields that the experiment has got since: a configuration that has them so has
            the name that it had without them.
        naming: `naming(config, fields)`, may clear a published name where fields are given by hand.
        remarks: `remarks(config, fields)`, lines for a user who has given these fields.
    """

    name: str
    measures: Mapping[str, Measure]
    build: Callable[[ConfigDict, pd.DataFrame], Program]
    axes: Callable[[ConfigDict], Axes] = lambda config: {}
    label: Callable[[Mapping[str, Any]], str] = condition_name
    rules: Mapping[str, checks.Rule] = field(default_factory=dict)
    counts: str = "epochs"
    streams: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {name: ("seed",) for name in STREAMS}
    )
    predict: Mapping[str, Theory] = field(default_factory=dict)
    predictions: Mapping[str, Measure] = field(default_factory=dict)
    kept: OutputsFile | None = None
    check: Callable[[ConfigDict], Any] = task_of
    contents: Callable[[ConfigDict], dict[str, Content]] = lambda config: of_problem(
        task_of(config)
    )
    alike: Callable[[ConfigDict], Any] = lambda config: config.to_dict()
    followed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=lambda: fields.DEFAULTS)
    naming: Callable[[ConfigDict, Collection[str]], None] = lambda config, given: None
    remarks: Callable[[ConfigDict, Mapping[str, Any]], list[str]] = lambda config, given: []

    def validate(self, config: ConfigDict) -> None:
        """Check the whole configuration; raises the one-line error about the first bad field."""
        rules = {**fields.NAMES, **fields.TRAINING, **fields.COUNTS[self.counts], **self.rules}
        sections = dict.fromkeys([*SECTIONS, *(rule.split(".")[0] for rule in rules)])
        fields.check(config, tuple(sections), rules)
        share = config.train.get("batch_devices", 1)
        fields.prefix_errors("config.train.", lambda: device_mesh(batch_devices=share))
        fields.prefix_errors("config.train.", lambda: parsed(config.train.optimizer))
        self.check(config)

    def identity(self, config: ConfigDict) -> str:
        """Return the 8 hexadecimal digits that name a configuration."""
        return fields.identity(config.to_dict(), self.followed, self.defaults)

    def run_name(self, config: ConfigDict) -> str:
        """Return the name of a run's directory: <task>-<model>-<8 hex of the configuration>."""
        names = [config.task.name, config.model.name]
        words = [re.sub(r"[^A-Za-z0-9_]+", "_", name) for name in names]
        return "-".join([*words, self.identity(config)])

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages it has, in order."""
        return ("train", "analyse", *(["predict"] if self.predict else []), "report")


def replica_table(experiment: Experiment, config: ConfigDict) -> pd.DataFrame:
    """Return a row per replica: `name`, the experiment's axes, rate, initial scale and seed."""
    chosen, first = config.train, config.train.first_seed
    axes = experiment.axes(config)
    rows = axes
    if isinstance(axes, Mapping):
        rows = [dict(zip(axes, own, strict=True)) for own in itertools.product(*axes.values())]
    columns = {
        "learning_rate": [*map(float, chosen.learning_rates)],
        "init_scale": [*map(float, chosen.init_scales)],
        "seed": range(first, first + chosen.seeds),
    }
    others = [dict(zip(columns, own, strict=True)) for own in itertools.product(*columns.values())]
    table = pd.DataFrame([{**row, **other} for row in rows for other in others])
    labels = [experiment.label(row) for row in rows for _ in others]
    return table.assign(name=replica_names(labels, *(table[name] for name in columns)))


def replicas_of(
    experiment: Experiment, program: Program, table: pd.DataFrame, packed: bool = False
) -> Replicas:
    """Return the replicas of a table; keys follow from a row's values, never from its position.

    Where several configurations are packed, what is the configuration's own is a condition too.
    """
    conditions = (program.conditions or _columns_of_numbers)(table)
    rows = {
        name: jnp.asarray(conditions[name], jnp.int32)
        for names in experiment.streams.values()
        for name in names[1:]
    }
    rows["seed"] = jnp.asarray(table["seed"].to_numpy(), jnp.uint32)

    def keys(row: Mapping[str, jax.Array], stream: str) -> jax.Array:
        key = jax.random.fold_in(jax.random.key(row["seed"]), STREAMS[stream])
        for name in experiment.streams[stream][1:]:
            key = jax.random.fold_in(key, row[name])
        return key

    made = {stream: jax.vmap(partial(keys, stream=stream))(rows) for stream in STREAMS}
    return Replicas(
        init_key=made["init"],
        data_key=made["data"],
        learning_rate=jnp.asarray(table["learning_rate"].to_numpy(), jnp.float32),
        init_scale=jnp.asarray(table["init_scale"].to_numpy(), jnp.float32),
        conditions={**conditions, **(program.packed if packed else {})},
    )


def _columns_of_numbers(table: pd.DataFrame) -> dict[str, jax.Array]:
    shared = ("name", "learning_rate", "init_scale", "seed")
    own = {name: table[name].to_numpy() for name in table if name not in shared}
    numbers = {name: values for name, values in own.items() if values.dtype.kind in "iubf"}
    return {
        name: jnp.asarray(values, jnp.float32 if values.dtype.kind == "f" else jnp.int32)
        for name, values in numbers.items()
    }


class Built(NamedTuple):
    """What is trained: of each configuration its program and its table, and all in one ensemble."""

    programs: list[Program]
    tables: list[pd.DataFrame]
    replicas: Replicas
    members: Ensemble
    schedule: Schedule

    @property
    def slices(self) -> list[slice]:
        """The replicas of each configuration, as a part of all."""
        ends = np.cumsum([len(table) for table in self.tables]).tolist()
        return [slice(first, last) for first, last in zip([0, *ends[:-1]], ends, strict=True)]


def build(experiment: Experiment, configs: Sequence[ConfigDict]) -> Built:
    """Return what is trained: one configuration, or several that are alike, in one program."""
    tables = [replica_table(experiment, config) for config in configs]
    programs = [experiment.build(*own) for own in zip(configs, tables, strict=True)]
    each = [
        replicas_of(experiment, *own, packed=len(configs) > 1)
        for own in zip(programs, tables, strict=True)
    ]
    replicas = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each)
    members = _ensemble(programs[0], replicas, configs[0])
    return Built(programs, tables, replicas, members, schedule_of(configs[0], programs[0]))


def _ensemble(program: Program, replicas: Replicas, config: ConfigDict) -> Ensemble:
    settings = replace(TrainSettings.of(config.train), steps=_total(config, program))

    def evaluate(params: Any, drawn: Arrays, **conditions: jax.Array) -> Arrays:
        outputs = program.outputs(params, drawn, **conditions)
        return program.measure(outputs, drawn, **conditions)

    if program.ensemble:
        return program.ensemble(replicas, settings, evaluate=evaluate)

    def evaluate_one(params: Any, data_key: jax.Array, **conditions: jax.Array) -> Arrays:
        return evaluate(params, program.draw(data_key, **conditions), **conditions)

    def batch(key: jax.Array, step: jax.Array, data_key: jax.Array, **conditions: Any) -> Arrays:
        return program.batch(key, step, **conditions)

    with_keys = replicas._replace(conditions={**replicas.conditions, "data_key": replicas.data_key})
    return run.build_ensemble(
        with_keys, settings, init=program.init, apply=program.apply, batch=batch,
        evaluate=evaluate_one, loss=program.loss, objective=program.objective,
        carry=program.carry, fresh_at=program.fresh_at,
    )  # fmt: skip


def _total(config: ConfigDict, program: Program) -> int:
    return config.train.get("steps") or config.train.epochs * program.steps_per_epoch


def schedule_of(config: ConfigDict, program: Program) -> Schedule:
    """Return when a run evaluates and saves.

    Evaluations are every so many epochs, and, with `evaluation.logarithmic`, at about so many
    log-spaced steps; of a run that is counted in steps at about `evaluation.count` of these.
    """
    total, chosen = _total(config, program), config.evaluation
    in_steps = "steps" in config.train
    found = run.schedule(
        epochs=1 if in_steps else config.train.epochs,
        steps_per_epoch=total if in_steps else program.steps_per_epoch,
        every_epochs=1 if in_steps else chosen.every_epochs,
        kept=config.checkpoint.count,
        save_every_seconds=config.checkpoint.save_every_seconds,
    )
    if in_steps:
        steps = logarithmic_steps(min(total, FIRST), total, chosen.count)
        return replace(found, evaluations=frozenset(steps))
    early = chosen.get("logarithmic")
    steps = logarithmic_steps(program.steps_per_epoch, total, early) if early else ()
    return replace(found, evaluations=found.evaluations | frozenset(steps))
