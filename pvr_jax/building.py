"""Build what an experiment trains from its configurations: replicas, programs, a schedule."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from pvr_jax import checks
from pvr_jax.experiment import STREAMS, Arrays, Experiment, Program, parameters_of
from pvr_jax.refusal import Refusal
from pvr_jax.training import fields, run
from pvr_jax.training.ensemble import START, Ensemble
from pvr_jax.training.loop import Schedule, logarithmic_steps
from pvr_jax.training.replicas import Replicas, replica_names
from pvr_jax.training.settings import TrainSettings

FIRST = 1 << 5  # first evaluated step after 0, in runs counted in steps


def rows_of_axes(experiment: Experiment, config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    """Return the experiment's own columns, a row per condition."""
    axes = experiment.axes(config)
    if not isinstance(axes, Mapping):
        return axes
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def replica_count(experiment: Experiment, config: ConfigDict) -> int:
    """Return how many replicas a validated configuration has."""
    chosen = config.train
    each = len(chosen.learning_rates) * len(chosen.init_scales) * chosen.seeds
    return len(rows_of_axes(experiment, config)) * each


class Part(NamedTuple):
    """What one run directory trains of its configuration; see `extending`.

    Args:
        names: names of the replicas; None: all.
        evaluations, kept: steps at which an earlier, shorter run evaluated and kept its parameters,
            whose states this one goes on from; none if it starts at step 0.
    """

    names: tuple[str, ...] | None = None
    evaluations: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of these replicas."""
        if self.names is None:
            return table
        return table[table["name"].isin(self.names)].reset_index(drop=True)

    def after(self, schedule: Schedule) -> Schedule:
        """Return a schedule with the steps of the earlier run in place of its own."""
        if not self.kept:
            return schedule
        last = self.kept[-1]
        later = [
            {step for step in own if step > last} for own in (schedule.evaluations, schedule.kept)
        ]
        return replace(
            schedule,
            evaluations=frozenset({*self.evaluations, *later[0]}),
            kept=frozenset({*self.kept, *later[1]}),
        )


ALL = Part()


def replica_table(experiment: Experiment, config: ConfigDict) -> pd.DataFrame:
    """Return a row per replica: `name`, the experiment's axes, rate, initial scale and seed."""
    chosen, first = config.train, config.train.first_seed
    rows = rows_of_axes(experiment, config)
    columns = {
        "learning_rate": [*map(float, chosen.learning_rates)],
        "init_scale": [*map(float, chosen.init_scales)],
        "seed": range(first, first + chosen.seeds),
    }
    grid = [
        dict(zip(columns, values, strict=True)) for values in itertools.product(*columns.values())
    ]
    table = pd.DataFrame([{**row, **point} for row in rows for point in grid])
    labels = [experiment.label(row) for row in rows for _ in grid]
    return table.assign(name=replica_names(labels, *(table[name] for name in columns)))


def replicas_of(
    experiment: Experiment, program: Program, table: pd.DataFrame, packed: bool = False
) -> Replicas:
    """Return the replicas of a table; their keys depend on a row's values, never its position.

    If configurations are packed, what is specific to a configuration becomes a condition too.
    """
    conditions = (program.conditions or _columns_of_numbers)(table)
    rows = {
        name: jnp.asarray(conditions[name], jnp.int32)
        for names in experiment.streams.values()
        for name in names[1:]
    }
    rows["seed"] = jnp.asarray(table["seed"].to_numpy(np.uint32))

    def keys(row: Mapping[str, jax.Array], stream: str) -> jax.Array:
        key = jax.random.fold_in(jax.random.key(row["seed"]), STREAMS[stream])
        for name in experiment.streams[stream][1:]:
            key = jax.random.fold_in(key, row[name])
        return key

    of_all = {stream: jax.vmap(partial(keys, stream=stream)) for stream in STREAMS}
    made = jax.jit(lambda rows: {stream: of_all[stream](rows) for stream in STREAMS})(rows)
    return Replicas(
        init_key=made["init"],
        data_key=made["data"],
        learning_rate=jnp.asarray(table["learning_rate"].to_numpy(np.float32)),
        init_scale=jnp.asarray(table["init_scale"].to_numpy(np.float32)),
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
    """What is trained: a program and a table per configuration, and one ensemble of all."""

    programs: list[Program]
    tables: list[pd.DataFrame]
    replicas: Replicas
    ensemble: Ensemble
    schedule: Schedule

    @property
    def slices(self) -> list[slice]:
        """The slice of each configuration's replicas among all replicas."""
        ends = np.cumsum([len(table) for table in self.tables]).tolist()
        return [slice(first, last) for first, last in zip([0, *ends[:-1]], ends, strict=True)]


def build(experiment: Experiment, configs: Sequence[ConfigDict], part: Part = ALL) -> Built:
    """Build one configuration, or several that are alike, as one program.

    `part` is what is trained of one configuration; of several, everything is.
    """
    tables = [part.of(replica_table(experiment, config)) for config in configs]
    programs = [experiment.build(*own) for own in zip(configs, tables, strict=True)]
    each = [
        replicas_of(experiment, *own, packed=len(configs) > 1)
        for own in zip(programs, tables, strict=True)
    ]
    replicas = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each)
    names = [name for table in tables for name in table["name"]]
    ensemble = _ensemble(programs[0], replicas, configs[0], names)
    schedule = part.after(schedule_of(configs[0], programs[0]))
    return Built(programs, tables, replicas, ensemble, schedule)


def _ensemble(
    program: Program, replicas: Replicas, config: ConfigDict, names: Sequence[str]
) -> Ensemble:
    settings = replace(TrainSettings.of(config.train), steps=_total(config, program))
    if settings.warmup_steps > settings.steps:
        allowed = f"0 to the number of steps, {settings.steps}"
        raise checks.invalid("config.train.warmup_steps", settings.warmup_steps, allowed)
    if settings.loss and program.objective:
        allowed = "''; this experiment trains with an objective, not with a loss"
        raise checks.invalid("config.train.loss", settings.loss, allowed)
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = jax.eval_shape(program.init, key)
    fields.prefix_errors("config.train.", lambda: settings.is_frozen(shapes))
    given = {}
    if run_directory := config.train.get("start"):
        given[START] = fields.prefix_errors(
            "config.train.", lambda: start_of(run_directory, names, shapes)
        )

    def evaluate(params: Any, drawn: Arrays, **conditions: jax.Array) -> Arrays:
        outputs = program.outputs(params, drawn, **conditions)
        return program.measure(outputs, drawn, **conditions)

    if program.ensemble:
        replicas = replicas._replace(conditions={**replicas.conditions, **given})
        return program.ensemble(replicas, settings, evaluate=evaluate)
    given["data_key"] = replicas.data_key

    def evaluate_one(params: Any, data_key: jax.Array, **conditions: jax.Array) -> Arrays:
        conditions.pop(START, None)
        return evaluate(params, program.draw(data_key, **conditions), **conditions)

    def batch(key: jax.Array, step: jax.Array, data_key: jax.Array, **conditions: Any) -> Arrays:
        conditions.pop(START, None)
        return program.batch(key, step, **conditions)

    replicas = replicas._replace(conditions={**replicas.conditions, **given})
    return run.build_ensemble(
        replicas, settings, init=program.init, apply=program.apply, batch=batch,
        evaluate=evaluate_one, loss=settings.loss_or(program.loss), objective=program.objective,
        carry=program.carry, fresh_at=program.fresh_at,
    )  # fmt: skip


def start_of(run_directory: str, names: Sequence[str], shapes: Any) -> Any:
    """Return the last parameters [R, ...] of another run, for the named replicas.

    Raises:
        Refusal: no such run, a name without a replica, or another network; starts with "start".
    """
    params = parameters_of(run_directory).for_replicas(names)
    form = jax.tree.map(lambda leaf: leaf.shape[1:], params)
    if form != jax.tree.map(lambda leaf: leaf.shape, shapes):
        raise Refusal(
            f"start: given {run_directory!r}, whose network has other parameters; allowed a run of "
            "the same network"
        )
    return params


def _total(config: ConfigDict, program: Program) -> int:
    return config.train.get("steps") or config.train.epochs * program.steps_per_epoch


def schedule_of(config: ConfigDict, program: Program) -> Schedule:
    """Return when a run evaluates and saves.

    A run evaluates every `evaluation.every_epochs` epochs, and at about `evaluation.logarithmic`
    log-spaced steps; a run counted in steps, at about `evaluation.count` log-spaced steps.
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
