"""An experiment is a value: what its replicas are, and which functions of ONE replica make them.

It also says how they are measured and what theory says they should be; `frame` does the rest.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from pvr_jax import checks, models, tasks
from pvr_jax.outputs_file import OutputsFile
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure
from pvr_jax.tasks.contents import Content, of_file, of_loss, of_problem
from pvr_jax.training import fields
from pvr_jax.training.checkpoint import CheckpointError
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.losses import by_name, for_predictions, squared_error
from pvr_jax.training.optimizers import parsed
from pvr_jax.training.parameters import Parameters, load_params
from pvr_jax.training.replicas import Replicas, device_mesh
from pvr_jax.training.state import Objective, State

Arrays = dict[str, Any]
Axes = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]
Learned = Callable[[], Iterator[np.ndarray]]
Theory = Callable[[ConfigDict, pd.DataFrame, Learned], Arrays]
# The streams of a seed's key: what they are for, and what is folded in first. A new stream takes
# the next number; one that changed would change every result.
STREAMS = {"data": 0, "init": 1}
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
        attributes: of the results, beside those of `measuring.attributes_of` or in their place.
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


def task_of(config: ConfigDict, make: Callable[..., Any] = tasks.make) -> Any:
    """Return the task of a configuration, of the registry of `make`; errors name the field."""
    parameters = {name: value for name, value in config.task.to_dict().items() if value is not None}
    return fields.prefix_errors("config.task.", lambda: make(**parameters))


def model_of(config: ConfigDict, n: int) -> models.Model:
    """Return the network of a configuration on n bits; errors name the field."""
    parameters = config.model.to_dict()
    return fields.prefix_errors("config.model.", lambda: models.build(n=n, **parameters))


def parameters_of(run_directory: str) -> Parameters:
    """Return the last parameters of a run that another starts from.

    Raises:
        Refusal: there are none; begins with "start".
    """
    try:
        return load_params(run_directory)
    except (Refusal, CheckpointError) as error:
        raise Refusal(f"start: given {run_directory!r}; allowed a finished run: {error}") from error


def is_plain_training(config: ConfigDict) -> tuple[bool, str]:
    """Return whether all parameters are trained, from random ones, on the squared error; else why.

    What theories say of lazy training, and of linear regression, is of such training, without
    weight decay.
    """
    plain = {"start": ("",), "freeze": ("",), "weight_decay": (0.0,), "loss": ("", "squared_error")}
    for name, allowed in plain.items():
        if (given := config.train.get(name, allowed[0])) not in allowed:
            return False, f"{name}: given {given!r}; allowed {' or '.join(map(repr, allowed))}"
    return True, ""


def condition_name(row: Mapping[str, Any]) -> str:
    """Return what tells a replica apart beside rate, scale and seed, such as "leap4"."""
    return "-".join(f"{name}{value}" for name, value in row.items())


class Computed(NamedTuple):
    """What is computed without training, by name of a measure, with its coordinates.

    Where there are replicas they are a table with their `name`, `seed`, `learning_rate` and
    `init_scale`.
    """

    values: Mapping[str, Any]
    coordinates: Mapping[str, Sequence[Any]] = {}
    replicas: pd.DataFrame | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment, which is trained and measured, or computed.

    Args:
        name: of its folder, and of `config.experiment`.
        measures: what it measures, by name.
        build: `build(config, replicas) -> Program`, with the table of replicas.
        compute: `compute(config) -> Computed`, where nothing is trained; a configuration then
            needs no sections but those of `rules`.
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
        prediction: `prediction(config)`, the shape of what a network says of one input: (), a
            number, or (c,), logits of classes.
        named: what stands behind names in the configuration that are files or the user's own.
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
    build: Callable[[ConfigDict, pd.DataFrame], Program] | None = None
    compute: Callable[[ConfigDict], Computed] | None = None
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
    prediction: Callable[[ConfigDict], tuple[int, ...]] = lambda config: ()
    named: Callable[[ConfigDict], dict[str, Content]] = lambda config: of_problem(task_of(config))
    alike: Callable[[ConfigDict], Any] = lambda config: config.to_dict()
    followed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=lambda: fields.DEFAULTS)
    naming: Callable[[ConfigDict, Collection[str]], None] = lambda config, given: None
    remarks: Callable[[ConfigDict, Mapping[str, Any]], list[str]] = lambda config, given: []

    def validate(self, config: ConfigDict) -> None:
        """Check the whole configuration; raises the one-line error about the first bad field."""
        rules, sections = self.rules, [rule.split(".")[0] for rule in self.rules]
        if self.compute:
            fields.check(config, tuple(dict.fromkeys(sections)), rules)
            return self.check(config)
        of_all = {**fields.NAMES, **fields.TRAINING, **fields.COUNTS[self.counts]}
        fields.check(config, tuple(dict.fromkeys([*SECTIONS, *sections])), {**of_all, **rules})
        share = config.train.get("batch_devices", 1)
        fields.prefix_errors("config.train.", lambda: device_mesh(batch_devices=share))
        fields.prefix_errors("config.train.", lambda: parsed(config.train.optimizer))
        self.check(config)
        if name := config.train.get("loss"):
            shape = self.prediction(config)
            fields.prefix_errors("config.train.", lambda: for_predictions(name, shape))

    def contents(self, config: ConfigDict) -> dict[str, Content]:
        """Return what stands behind all names in a configuration, that of another run included."""
        found = dict(self.named(config)) if "task" in config else {}
        if path := config.get("train", {}).get("start"):
            loaded = fields.prefix_errors("config.train.", lambda: parameters_of(path))
            found["train.start"] = of_file(path, *jax.tree.leaves(loaded.params))
        if ":" in (name := config.get("train", {}).get("loss") or ""):
            found["train.loss"] = of_loss(name, by_name(name), self.prediction(config))
        return found

    def identity(self, config: ConfigDict) -> str:
        """Return the 8 hexadecimal digits that name a configuration."""
        return fields.identity(config.to_dict(), self.followed, self.defaults)

    def run_name(self, config: ConfigDict) -> str:
        """Return the name of a run's directory: <task>-<model>-<8 hex of the configuration>."""
        names = [config[part].name for part in ("task", "model") if "name" in config.get(part, ())]
        names = names or [self.name]
        words = [re.sub(r"[^A-Za-z0-9_]+", "_", name) for name in names]
        return "-".join([*words, self.identity(config)])

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages it has, in order."""
        first = ["analyse"] if self.compute else ["train", "analyse"]
        return (*first, *(["predict"] if self.predict else []), "report")
