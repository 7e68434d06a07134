"""An experiment is a value: what its replicas are, and which functions of ONE replica make them.

It also says how they are measured and what theory says they should be; `frame` does the rest.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pandas as pd
from ml_collections import ConfigDict

from pvr_jax import checks, tasks
from pvr_jax.results import Measure
from pvr_jax.tasks.contents import Content, of_problem
from pvr_jax.training import fields, run
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.loop import Schedule, logarithmic_steps
from pvr_jax.training.losses import squared_error
from pvr_jax.training.replicas import Replicas, replica_names
from pvr_jax.training.settings import TrainSettings

Arrays = dict[str, Any]
# The streams of a seed's key: what they are for, and what is folded in first. A new stream takes
# the next number; one that changed would change every result.
STREAMS = {"data": 0, "init": 1}
SECTIONS = ("task", "model", "train", "evaluation", "checkpoint")


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
        build: `build(config, replicas) -> Program`, with the table of replicas.
        axes: `axes(config) -> {column: values}`; the replicas are all combinations of these with
            learning rates, initial scales and seeds.
        rules: of its own fields, "section.field".
        streams: what each stream of randomness depends on: "seed", and columns of whole numbers.
        predict: theory -> `theory(config, replicas) -> {name: array[R]}`.
        check: `check(config)` refuses what single rules cannot.
    """

    name: str
    measures: Mapping[str, Measure]
    build: Callable[[ConfigDict, pd.DataFrame], Program]
    axes: Callable[[ConfigDict], Mapping[str, Sequence[Any]]] = lambda config: {}
    rules: Mapping[str, checks.Rule] = field(default_factory=dict)
    streams: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {name: ("seed",) for name in STREAMS}
    )
    predict: Mapping[str, Callable[[ConfigDict, pd.DataFrame], Arrays]] = field(
        default_factory=dict
    )
    check: Callable[[ConfigDict], None] = lambda config: None

    # What `stages` asks of an experiment.

    def validate(self, config: ConfigDict) -> None:
        """Check the whole configuration; raises the one-line error about the first bad field."""
        rules = {**fields.NAMES, **fields.TRAINING, **self.rules}
        sections = dict.fromkeys([*SECTIONS, *(rule.split(".")[0] for rule in rules)])
        fields.check(config, tuple(sections), rules)
        task_of(config)
        self.check(config)

    def identity(self, config: ConfigDict) -> str:
        """Return the 8 hexadecimal digits that name a configuration."""
        return fields.identity(config.to_dict())

    def run_name(self, config: ConfigDict) -> str:
        """Return the name of a run's directory: <task>-<model>-<8 hex of the configuration>."""
        names = [config.task.name, config.model.name]
        words = [re.sub(r"[^A-Za-z0-9_]+", "_", name) for name in names]
        return "-".join([*words, self.identity(config)])

    def contents(self, config: ConfigDict) -> dict[str, Content]:
        """Return what stands behind the task's name, where it is a file or the user's own."""
        return of_problem(task_of(config))

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages it has, in order."""
        return ("train", "analyse", *(["predict"] if self.predict else []), "report")


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
    conditions = ["-".join(f"{n}{row[n]}" for n in own) for row in table.to_dict("records")]
    shared = (table[name] for name in ("learning_rate", "init_scale", "seed"))
    return table.assign(name=replica_names(conditions, *shared))


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
