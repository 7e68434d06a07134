"""Pointer value retrieval: classification of tokens and images whose examples are drawn.

Replicas of one seed share draws and initialization, whatever their task; a smaller training set is
the beginning of a larger one.
"""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from experiments.pointer_value.measures import MEASURES, known, of_examples
from pvr_jax import experiment, models
from pvr_jax.analysis import classification as analysis
from pvr_jax.checks import above, integer, invalid, list_of, one_of
from pvr_jax.experiment import Arrays, End, Experiment, Program
from pvr_jax.results import statistics
from pvr_jax.tasks import classification, digit_images, drawn_sets
from pvr_jax.tasks.classification import Classification, Subtask
from pvr_jax.tasks.contents import Content, of_file
from pvr_jax.training.fields import prefix_errors
from pvr_jax.training.losses import cross_entropy
from pvr_jax.training.replicas import Replicas
from pvr_jax.training.shown_rows import count_rows

MAX_SAMPLES = 2**30
MAX_SHOWN = 12  # replicas whose predictions on examples are kept


def task_of(config: ConfigDict) -> Classification:
    """Return the task of a configuration; errors name the field."""
    return experiment.task_of(config, classification.make)


def model_of(config: ConfigDict, task: Classification) -> models.Model:
    """Return the network of a configuration for a task; errors name the field."""
    inputs = {**task.inputs._asdict(), "classes": task.classes}
    given = config.model.to_dict()
    return prefix_errors("config.model.", lambda: models.build_classifier(**inputs, **given))


def check(config: ConfigDict) -> None:
    """Refuse what single rules cannot: sizes of a stream, a warmup beyond the end, and others."""
    sizes = config.data.get("samples")
    if not isinstance(sizes, (tuple, list)):
        allowed = "whole numbers separated by commas, or none, ()"
        raise invalid("config.data.samples", sizes, allowed)
    sizes = tuple(sizes)
    if config.data.source == "sampled":
        list_of(integer(1, MAX_SAMPLES), "1000,10000").check("config.data.samples", sizes)
    elif sizes:
        allowed = "none, (), as a stream of fresh samples has no size"
        raise invalid("config.data.samples", sizes, allowed)
    if (warmup := config.train.get("warmup_steps", 0)) > config.train.steps:
        allowed = f"0 to train.steps, {config.train.steps}"
        raise invalid("config.train.warmup_steps", warmup, allowed)
    model_of(config, task_of(config))


def contents(config: ConfigDict) -> dict[str, Content]:
    """Return the contents of the user's own functions, or of a directory of images."""
    if config.task.get("source") != "mnist":
        return task_of(config).contents()
    splits = digit_images.load("mnist", config.task.data_dir or None)
    name = f"{config.task.data_dir or 'the directory of tensorflow_datasets'}, MNIST,"
    return {"task.data_dir": of_file(name, *splits.train, *splits.test)}


def axes(config: ConfigDict) -> list[dict[str, Any]]:
    """Return a row per subtask and size of the training set.

    A task without aggregations lacks their columns, and a stream that of the size.
    """
    rows = [
        {**subtask._asdict(), "samples": size}
        for subtask, size in itertools.product(
            task_of(config).subtasks, config.data.samples or [None]
        )
    ]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def subtask_of(row: Mapping[str, Any]) -> Subtask:
    """Return the subtask of a row of the table."""
    return Subtask(*map(row.get, Subtask._fields))


def subtasks_of(replicas: pd.DataFrame) -> list[Subtask]:
    """Return the subtask of every replica [R]."""
    return [subtask_of(row) for row in replicas.to_dict("records")]


def label(row: Mapping[str, Any]) -> str:
    """Return the beginning of a replica's name, such as "mod_sum-m1-withheld2-samples1000"."""
    size = f"-samples{row['samples']}" if "samples" in row else ""
    return subtask_of(row).name + size


def conditions(replicas: pd.DataFrame) -> Arrays:
    """Return the numbers that programs are told of every replica [R]; a stream has 0 samples."""
    own = pd.DataFrame([subtask.conditions for subtask in subtasks_of(replicas)])
    own["samples"] = replicas.get("samples", 0)
    return {name: jnp.asarray(own[name].to_numpy(), jnp.int32) for name in own}


def tests_of(replicas: pd.DataFrame) -> tuple[str, ...]:
    """Return the test sets: "iid", and "withheld" where anything is withheld from any replica."""
    return ("iid", "withheld") if replicas["withheld"].any() else ("iid",)


def build(config: ConfigDict, replicas: pd.DataFrame) -> Program:
    """Return what one replica is: a network, the examples it draws, and how it is measured."""
    task = task_of(config)
    model = model_of(config, task)
    shape, alphabet = task.inputs
    tests, shown = tests_of(replicas), shown_replicas(replicas)
    return Program(
        init=partial(model.init, x=jnp.zeros((1, *shape), jnp.int32 if alphabet else jnp.float32)),
        apply=model.apply,
        batch=drawn_sets.drawn_batches(task.draw, **_batches(config)),
        loss=cross_entropy,
        # Evaluation looks at rows of the training set again.
        draw=lambda data_key, **own: {"key": jax.random.key_data(data_key)},
        outputs=counts(config, task, model.apply, replicas),
        measure=measure,
        conditions=conditions,
        training_rows=partial(withheld_rows, config, task, replicas),
        of_last=partial(confusions, tests=tests),
        at_the_end=lambda end: {
            **progress(end, config.data.batch_size),
            **examples(task, model.apply, end, config.evaluation.examples),
            **facts(task, end.replicas, config.evaluation.noise),
        },
        exact={
            "classes": task.classes,
            "test_samples": config.evaluation.test_samples,
            "noise_rate": config.evaluation.noise,
        },
        measures=of_examples(("position",) if alphabet else ("row", "column")),
        coordinates={"shown": replicas["name"].iloc[shown].tolist()},
        attributes={"task_label": task.label},
        title=f"{config.model.name} on {task.label}",
        outputs_size=(len(tests) + 1) * (task.classes**2 + 1),
    )


def _batches(config: ConfigDict) -> dict[str, Any]:
    return {"source": config.data.source, "batch_size": config.data.batch_size}


def withheld_rows(
    config: ConfigDict, task: Classification, table: pd.DataFrame, replicas: Replicas
) -> dict[str, int] | None:
    """Return how many rows of training were looked at, and how many are withheld: none may be."""
    if "withheld" not in tests_of(table):
        return None
    steps = config.train.steps
    if "samples" in table:
        steps = min(steps, -(-int(table["samples"].max()) // config.data.batch_size))

    def draw(key: jax.Array, part: str, conditions: Arrays) -> Arrays:
        return {"withheld": task.is_withheld(key, conditions)}

    return count_rows(
        drawn_sets.drawn_batches(draw, **_batches(config)),
        {"unseen": lambda batch, **_: batch["withheld"]},
        replicas,
        steps,
    )


def counts(
    config: ConfigDict,
    task: Classification,
    apply: Callable[[Any, jax.Array], jax.Array],
    replicas: pd.DataFrame,
) -> Callable[..., dict[str, analysis.Counts]]:
    """Return `count(params, drawn, **conditions) -> {part: counts}` of one replica.

    "train" is the beginning of its own training set, at most `evaluation.training_samples` of it
    (none of a stream); the other parts are test sets.
    """
    chosen, tests, is_stream = config.evaluation, tests_of(replicas), "samples" not in replicas

    def count(
        params: Any, drawn: Arrays, *, samples: jax.Array, **conditions: jax.Array
    ) -> dict[str, analysis.Counts]:
        def of(rows: Callable[[jax.Array], Any], size: Any, max_count: int) -> analysis.Counts:
            return analysis.confusion_counts(
                partial(apply, params),
                rows,
                size,
                max_count=max_count,
                chunk=chosen.chunk,
                classes=task.classes,
            )

        test = partial(drawn_sets.test_rows, task.draw, conditions=conditions)
        found = {
            part: of(partial(test, part), chosen.test_samples, chosen.test_samples)
            for part in tests
        }
        if not is_stream:
            key = jax.random.wrap_key_data(drawn["key"])
            own = partial(drawn_sets.training_rows, task.draw, key, conditions=conditions)
            found["train"] = of(own, samples, chosen.training_samples)
        # Nothing is withheld from some: their test set of it has no examples.
        if "withheld" in found:
            found["withheld"] = jax.tree.map(
                lambda leaf: jnp.where(conditions["withheld"] > 0, leaf, 0), found["withheld"]
            )
        return found

    return count


def measure(outputs: dict[str, analysis.Counts], drawn: Arrays, **conditions: jax.Array) -> Arrays:
    """Return `<part>_accuracy` and `<part>_loss`."""
    return {
        f"{part}_{name}": value
        for part, counted in outputs.items()
        for name, value in analysis.scores(counted).items()
    }


def confusions(outputs: dict[str, analysis.Counts], tests: tuple[str, ...]) -> Arrays:
    """Return the confusion counts of the test sets [r, C, C], NaN where one has no examples."""
    found = {f"{part}_confusion": outputs[part]["confusion"] for part in tests}
    return {
        name: np.where(values.sum(axis=(1, 2), keepdims=True) > 0, values, np.nan)
        for name, values in found.items()
    }


def progress(end: End, batch_size: int) -> Arrays:
    """Return how many samples replicas were shown [T, R]; of a stream, until accuracy is 95 %."""
    steps = end.steps[:, None]
    if "samples" in end.replicas:
        sizes = end.replicas["samples"].to_numpy()
        epochs, rest = np.divmod(steps, -(-sizes // batch_size))
        return {"samples_shown": epochs * sizes + rest * batch_size}
    seen = np.repeat(steps * batch_size, len(end.replicas), axis=1)
    accuracy = end.values["iid_accuracy"].T
    return {
        "samples_shown": seen,
        "fewest_samples": min((count for count in seen[:, 0] if count > 0), default=0),
        "samples_to_95": [
            statistics.crossing(*own, 0.95) for own in zip(seen.T, accuracy, strict=True)
        ],
    }


def shown_replicas(replicas: pd.DataFrame) -> list[int]:
    """Return the numbers of the replicas whose predictions are kept.

    The first of each subtask, with the largest training set; of more than `MAX_SHOWN` subtasks so
    many, evenly spread.
    """
    if "samples" in replicas:
        replicas = replicas[replicas["samples"] == replicas["samples"].max()]
    own = [name for name in Subtask._fields if name in replicas]
    numbers = replicas.drop_duplicates(own).index
    places = np.linspace(0, len(numbers) - 1, min(MAX_SHOWN, len(numbers))).round().astype(int)
    return numbers[places].tolist()


def examples(
    task: Classification, apply: Callable[[Any, jax.Array], jax.Array], end: End, count: int
) -> Arrays:
    """Return the first inputs of each test set [K, E, ...], and what some replicas say of them.

    `<part>_example_input`, `_label` (-1 where a replica has no such test set) and `_probability`,
    of the replicas that `shown_replicas` names.
    """
    found: dict[str, list[np.ndarray]] = {}

    @partial(jax.jit, static_argnames="part")
    def rows_of(part: str, conditions: Any) -> drawn_sets.Example:
        return drawn_sets.test_rows(task.draw, part, jnp.arange(count), conditions)

    @jax.jit
    def probability(params: Any, index: jax.Array, x: jax.Array) -> jax.Array:
        return jax.nn.softmax(apply(jax.tree.map(lambda leaf: leaf[index], params), x))

    subtasks = subtasks_of(end.replicas)
    for index in shown_replicas(end.replicas):
        subtask = subtasks[index]
        for part in tests_of(end.replicas):
            rows = rows_of(part, subtask.conditions)
            is_defined = part == "iid" or subtask.withheld > 0
            inputs = np.asarray(rows["x"])
            if task.inputs.alphabet is None:
                inputs = np.round(255 * inputs).astype(np.uint8)
            made = {
                "input": inputs,
                "label": np.where(is_defined, rows["y"], -1).astype(np.int32),
                "probability": np.asarray(probability(end.params, index, rows["x"]), np.float32),
            }
            for name, values in made.items():
                found.setdefault(f"{part}_example_{name}", []).append(values)
    return {name: np.stack(values) for name, values in found.items()}


def facts(task: Classification, replicas: pd.DataFrame, noise: float) -> Arrays:
    """Return what is known of every replica's subtask without training [R, ...].

    For all functions of a study that may take a minute, so training does not wait for it.
    """
    subtasks = subtasks_of(replicas)
    of = {subtask: known(task.facts(subtask, noise)) for subtask in dict.fromkeys(subtasks)}
    return {name: np.array([of[own][name] for own in subtasks]) for name in of[subtasks[0]]}


EXPERIMENT = Experiment(
    name="pointer_value",
    measures=MEASURES,
    build=build,
    axes=axes,
    label=label,
    rules={
        "data.source": one_of(*drawn_sets.SOURCES),
        "data.batch_size": integer(1, 2**20),
        "evaluation.test_samples": integer(1, 2**24),
        "evaluation.training_samples": integer(1, 2**24),
        "evaluation.chunk": integer(1, 2**20),
        "evaluation.noise": above(0, 1),
        "evaluation.examples": integer(1, 256),
    },
    counts="steps",  # sets of different sizes train side by side
    check=check,
    prediction=lambda config: (task_of(config).classes,),
    named=contents,
    # Weight decay, warmup and decay have been fields from the start: all are part of the name.
    defaults={},
)
