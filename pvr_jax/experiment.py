"""Experiments as values: replicas, functions of ONE replica, measures and predictions.

`frame` trains, measures and predicts.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from pvr_jax import checks, models, tasks
from pvr_jax.outputs_file import OutputsFile
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure
from pvr_jax.tasks import datasets, label_noise, own_rows
from pvr_jax.tasks.contents import Content, of_file, of_loss, of_problem, of_rows
from pvr_jax.training import fields
from pvr_jax.training.checkpoint import CheckpointError
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.losses import OF_SIGNS, by_name, for_predictions, squared_error
from pvr_jax.training.optimizers import parsed
from pvr_jax.training.parameters import Parameters, load_params
from pvr_jax.training.replicas import Replicas, device_mesh
from pvr_jax.training.state import Objective, State

Arrays = dict[str, Any]
Axes = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]
Learned = Callable[[], Iterator[np.ndarray]]
Theory = Callable[[ConfigDict, pd.DataFrame, Learned], Arrays]
# Random streams and the numbers folded into a seed's key for them. A new stream takes the next
# number; changing one would change every result.
STREAMS = {"data": 0, "init": 1}
SECTIONS = ("task", "model", "train", "evaluation", "checkpoint")


class End(NamedTuple):
    """All replicas at the end of a run.

    Args:
        params: the last parameters [R, ...]; with a carry, (params, carry).
        state: returns the last states.
        kept: yields step and parameters of every kept checkpoint.
        drawn: the output of `Program.draw`.
        replicas: the replica table.
        steps: the measured steps [T].
        values: the measures, [T, R, ...] or [R, ...].
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

    `conditions` are those of the replica, such as `leap=4`; `drawn` is the output of `draw`.

    Args:
        init: `init(key) -> params`.
        outputs: `outputs(params, drawn, **conditions) -> array[N] or tree`, the network's outputs
            for `measure`; with a carry, `params` is (params, carry).
        measure: `measure(outputs, drawn, **conditions) -> {name: array}`; in the arithmetic of
            training during training, in float64 from checkpoints.
        apply: `apply(params, x) -> predictions`.
        batch: `batch(key, step, **conditions) -> {x, y, weight}`; pure.
        loss, objective, carry, fresh_at: see `training.ensemble.ensemble`.
        draw: `draw(data_key, **conditions) -> {name: array}`, once per replica: the data that
            `outputs` and `measure` need.
        conditions: `conditions(replicas) -> {name: array[R, ...]}` from the table; None: its
            numeric columns.
        packed: further conditions [R, ...] if configurations train in one program: what the
            functions of this configuration otherwise hold as constants.
        ensemble: `ensemble(replicas, settings, evaluate=…) -> Ensemble`, for training that is not
            batch by batch; `evaluate` takes (params, drawn, **conditions).
        training_rows: `training_rows(replicas) -> counts`, see `training.shown_rows.count_rows`;
            None if nothing is withheld.
        of_last: `of_last(outputs[r, ...]) -> {name: array[r, ...]}`, on the host, at the last step.
        at_the_end: `at_the_end(end) -> {name: array}`, measures of all replicas together, [R, ...]
            or [step, R, ...], or facts; a value of None is left out.
        keep: `keep(outputs, drawn, **conditions) -> array`, what the file of outputs holds in place
            of what `OutputsFile.of` makes of them; in float64.
        kept_beside: further arrays for the file of outputs.
        exact: facts about the target, by measure.
        measures: measures that depend on the configuration, besides the experiment's.
        coordinates: coordinates of the measures' own dimensions.
        attributes: attributes of the results; they override `measuring.attributes_of`.
        steps_per_epoch: 1 if a step is an epoch.
        step_unit: what a step is called in the results.
        title: network and task, for the progress line.
        outputs_size: N, which bounds how many replicas are measured at once.
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
    keep: Callable[..., jax.Array] | None = None
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


def _refuse_other_labels(loss: str, task: tasks.Task) -> None:
    """Refuse a loss of the labels -1 and +1 for a target that has others."""
    if (other := label_noise.other_label(task.target, task.n)) is not None:
        allowed = f"a loss of any numbers, as a label of {task.name} is {other:g}"
        raise checks.invalid("config.train.loss", loss, allowed)


def parameters_of(run_directory: str) -> Parameters:
    """Return the last parameters of a run, for another run to start from.

    Raises:
        Refusal: there are none; the message starts with "start".
    """
    try:
        return load_params(run_directory)
    except (Refusal, CheckpointError) as error:
        raise Refusal(f"start: given {run_directory!r}; allowed a finished run: {error}") from error


def is_plain_training(config: ConfigDict) -> tuple[bool, str]:
    """Return whether training is plain, and if not, why.

    Plain: all parameters are trained, from random ones, on the squared error, without weight decay,
    on seen inputs with the target's labels. Theories of lazy training and of linear regression hold
    for plain training only; a bias of drawn inputs changes nothing in their limit of many samples.
    """
    plain = {
        "train.start": ("",),
        "train.freeze": ("",),
        "train.weight_decay": (0.0,),
        "train.loss": ("", "squared_error"),
        "data.label_noise": (0.0,),
        "data.source": ("whole", "sampled", "fresh"),
    }
    for path, allowed in plain.items():
        section, name = path.split(".")
        if (given := config.get(section, {}).get(name, allowed[0])) not in allowed:
            return False, f"{name}: given {given!r}; allowed {' or '.join(map(repr, allowed))}"
    return True, ""


def condition_name(row: Mapping[str, Any]) -> str:
    """Return the name of a row of `axes`, such as "leap4"."""
    return "-".join(f"{name}{value}" for name, value in row.items())


class Computed(NamedTuple):
    """Values computed without training, by measure, with their coordinates.

    `replicas`, if any, has the columns `name`, `seed`, `learning_rate` and `init_scale`.
    """

    values: Mapping[str, Any]
    coordinates: Mapping[str, Sequence[Any]] = {}
    replicas: pd.DataFrame | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment, trained and measured, or computed.

    Args:
        name: name of its folder, and of `config.experiment`.
        measures: its measures, by name.
        build: `build(config, replicas) -> Program`, given the replica table.
        compute: `compute(config) -> Computed`, if nothing is trained; a configuration then needs
            only the sections of `rules`.
        axes: `axes(config) -> {column: values}`, or a list of rows if not all combinations are
            meant. Replicas are all combinations with learning rates, initial scales and seeds.
        label: maps a row of `axes` to the beginning of a replica's name.
        rules: rules of its own fields, by "section.field".
        counts: whether training is counted in "epochs" or "steps".
        streams: what each random stream depends on: "seed", and integer conditions.
        predict: theory -> `theory(config, replicas, learned) -> {name: array[R, ...]}`; `learned()`
            yields the last outputs [N], replica by replica, if they are kept. A Refusal says why
            the theory does not apply.
        predictions: measures of theories, by name; those in `measures` need not be repeated.
        kept: the file of outputs at the last checkpoint or, with `evaluation.spectra="all"`, at
            every kept one.
        check: `check(config)` refuses what single rules cannot.
        prediction: `prediction(config)`, the shape of a network's output for one input: () for a
            number, (c,) for the logits of classes.
        named: contents of files and user functions that the configuration names.
        alike: `alike(config)`, a document that is equal for configurations that can train in one
            program; seeds, learning rates and initial scales never count.
        grows: `grows(config)`, its own fields that only add replicas, beside seeds, learning rates
            and initial scales: a replica of one value is the same in a run of several.
        followed: fields of the analysis alone, with their defaults. They are not part of a run's
            name; if they change, a run is analyzed again.
        defaults: fields added later, with their defaults; a configuration with these values keeps
            the name it had without the fields.
        naming: `naming(config, fields)`, may clear a published name if fields are set by hand.
        document: maps a configuration to one with fields as they were when runs were first named,
            so that runs keep their names if a field is renamed.
        remarks: `remarks(config, fields)`, lines for a user who set these fields.
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
    grows: Callable[[ConfigDict], tuple[str, ...]] = lambda config: ()
    followed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=lambda: fields.DEFAULTS)
    naming: Callable[[ConfigDict, Collection[str]], None] = lambda config, given: None
    document: Callable[[dict[str, Any]], dict[str, Any]] = lambda document: document
    remarks: Callable[[ConfigDict, Mapping[str, Any]], list[str]] = lambda config, given: []

    def validate(self, config: ConfigDict) -> None:
        """Check the whole configuration; raise a one-line error for the first bad field."""
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
            target = config.get("task", {}).get("name", "")
            if name in OF_SIGNS and (target in tasks.names() or ":" in target):
                _refuse_other_labels(name, task_of(config))

    def contents(self, config: ConfigDict) -> dict[str, Content]:
        """Return the contents behind all names in a configuration, `train.start` included."""
        found = dict(self.named(config)) if "task" in config else {}
        data = config.get("data", {})
        if path := data.get("file"):
            read = partial(own_rows.read_rows, path, task_of(config).n, data.get("encoding"))
            rows = fields.prefix_errors("config.data.", read)
            found["data.file"] = of_rows(path, rows, data.get("encoding"))
        if path := config.get("train", {}).get("start"):
            loaded = fields.prefix_errors("config.train.", lambda: parameters_of(path))
            found["train.start"] = of_file(path, *jax.tree.leaves(loaded.params))
        if ":" in (name := config.get("train", {}).get("loss") or ""):
            found["train.loss"] = of_loss(name, by_name(name), self.prediction(config))
        return found

    def identity(self, config: ConfigDict) -> str:
        """Return the 8 hexadecimal digits that identify a configuration."""
        defaults = {**datasets.DEFAULTS, **self.defaults}
        return fields.identity(self.document(config.to_dict()), self.followed, defaults)

    def run_name(self, config: ConfigDict) -> str:
        """Return the name of a run's directory: <task>-<model>-<8 hex of the configuration>."""
        names = [config[part].name for part in ("task", "model") if "name" in config.get(part, ())]
        names = names or [self.name]
        words = [re.sub(r"[^A-Za-z0-9_]+", "_", name) for name in names]
        return "-".join([*words, self.identity(config)])

    @property
    def stages(self) -> tuple[str, ...]:
        """Its stages, in order."""
        first = ["analyse"] if self.compute else ["train", "analyse"]
        return (*first, *(["predict"] if self.predict else []), "report")
