"""Measure what the replicas learned, from the last checkpoint and the log of training."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from ml_collections import ConfigDict

from experiments.pointer_value import problem as problems
from experiments.pointer_value import settings
from experiments.pointer_value.train import build_ensemble, schedule
from pvr_jax import results, stages
from pvr_jax.results import Measure, statistics
from pvr_jax.tasks import drawn_sets
from pvr_jax.tasks.classification import Facts
from pvr_jax.training import run
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import over_replicas, pad, to_host

STAGE = run.Stage("analyse", after=run.STAGE, product=results.MEASURES_FILE)
MOST_SHOWN = 12  # replicas whose predictions on examples are kept
TESTS = {"iid": "i.i.d.", "withheld": "withheld"}
DOMAINS = {
    "iid": "new inputs, distributed as those of training",
    "withheld": "inputs that training never shows",
    "train": "the training set, or its beginning",
}
_SHARE, _POSITIVE = {"bounds": (0, 1)}, {"bounds": (0, math.inf)}
_LOSS = {"units": "nats", **_POSITIVE}
_LIKELIHOOD = "Mean negative log-likelihood: minus the natural logarithm of the label's probability"
_EXAMPLE = {"kind": "state", "dims": ("shown", "example")}
_NOISE = "The probability that the label changes when every token is drawn anew with probability δ"


def _of_part(part: str, word: str) -> dict[str, Measure]:
    """Return the measures of a part of the inputs."""
    domain = {"domain": DOMAINS[part]}
    found = {
        f"{part}_accuracy": Measure(
            f"{word} accuracy",
            "Share of the inputs whose most probable class is the label.",
            **domain,
            **_SHARE,
        ),
        f"{part}_loss": Measure(f"{word} loss", f"{_LIKELIHOOD}.", **domain, **_LOSS),
    }
    if part in TESTS:
        found[f"{part}_confusion"] = Measure(
            f"{word} test inputs",
            "Test inputs by their class and by the class that was predicted.",
            dims=("true_class", "predicted_class"),
            **domain,
            **_POSITIVE,
        )
        for name, description in (
            ("input", "The first inputs of the test set; of pictures gray levels, 0 to 255."),
            ("label", "Their classes; −1 where a replica has no such test set."),
            ("probability", "What the network says of every class."),
        ):
            found[f"{part}_example_{name}"] = Measure(
                f"{word} examples: {name}", description, **_EXAMPLE
            )
    return found


MEASURES = {
    **_of_part("iid", TESTS["iid"]),
    **_of_part("withheld", TESTS["withheld"]),
    **_of_part("train", "training"),
    "batch_loss": Measure(
        "batch loss",
        f"{_LIKELIHOOD}, of the batches since the evaluation before, each before its own step. Of "
        "a stream, whose samples are shown once, the only loss of training.",
        **_LOSS,
    ),
    "samples_shown": Measure(
        "samples shown",
        "Training samples until then, repeats counted.",
        kind="state",
        **_POSITIVE,
    ),
    "fewest_samples": Measure(
        "fewest samples", "Of a stream: samples shown until the first evaluation.", kind="state"
    ),
    "samples_to_95": Measure(
        "samples to 95 %",
        "Of a stream: samples shown until i.i.d. accuracy first reaches 95 %, linear in their "
        "logarithm between evaluations; infinite where it does not.",
        **_POSITIVE,
    ),
    "classes": Measure("classes", "Number of labels.", kind="exact"),
    "test_samples": Measure("test samples", "Inputs of each test set.", kind="exact"),
    "noise_rate": Measure("noise", "δ of the noise sensitivity.", symbol="δ", kind="exact"),
    "chance": Measure(
        "chance",
        "Accuracy of the best constant guess: the largest probability of a label.",
        kind="exact",
        **_SHARE,
    ),
    "label_entropy": Measure(
        "label entropy", "Of uniform inputs.", units="bits", kind="exact", **_POSITIVE
    ),
    "label_distribution": Measure(
        "label distribution",
        "Probability of every label, of uniform inputs.",
        kind="exact",
        dims=("true_class",),
        **_SHARE,
    ),
    "label_distribution_exact": Measure(
        "exact", "Whether the label distribution is computed and not sampled.", kind="exact"
    ),
    "share_removed": Measure(
        "removed", "Share of all inputs that training withholds.", kind="exact", **_SHARE
    ),
    "withheld_words": Measure("what is withheld", "What training withholds.", kind="exact"),
    "noise_sensitivity": Measure(
        "noise sensitivity",
        f"{_NOISE}, the pointer among its allowed values included.",
        kind="exact",
        **_SHARE,
    ),
    "noise_sensitivity_low": Measure(
        "lower bound", "Of the noise sensitivity; itself where exact.", kind="exact", **_SHARE
    ),
    "noise_sensitivity_high": Measure(
        "upper bound", "Of the noise sensitivity; itself where exact.", kind="exact", **_SHARE
    ),
}


def analyse(config: ConfigDict, workdir: Path) -> Path:
    """Write measures.nc of a trained run; returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not trained to its end.
        RunError: the directory is in use, or its last checkpoint cannot be read.
    """
    return stages.follow(settings, config, workdir, STAGE, _analyse)


def _analyse(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    members = build_ensemble(config, problem)
    with Checkpoints(
        directory / "checkpoints", settings.identity(config), read_only=True
    ) as checkpoints:
        *_, (_, params) = run.kept_parameters(checkpoints, members, schedule(config), directory)
    confusion = _over_members(members, params, confusions(config, problem))
    finite = np.isfinite(_over_members(members, params, _largest_parameter))
    found = labeled(
        config,
        problem,
        run.evaluations(directory, schedule(config)),
        confusion,
        examples(config, problem, params),
        run.diverged_steps(directory, finite),
    )
    results.write(directory / results.MEASURES_FILE, found)


def confusions(config: ConfigDict, problem: problems.Problem) -> Any:
    """Return `count(params, **conditions) -> {part: counts [classes, classes]}` of one replica."""
    count = problems.counts(
        problem,
        problem.parts,
        config.evaluation.test_samples,
        config.evaluation.training_samples,
        config.evaluation.chunk,
    )

    def counted(params: Any, **conditions: jax.Array) -> dict[str, jax.Array]:
        found = count(params, **conditions)
        return {part: found[part]["confusion"] for part in problem.parts}

    return counted


def _largest_parameter(params: Any, **_: jax.Array) -> jax.Array:
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(params)]))


def _over_members(members: Ensemble, params: Any, function: Any) -> Any:
    """Return `function(params, **conditions)` of every replica, on the host [R, ...]."""
    compiled = over_replicas(
        lambda own, replica: function(own, **replica.conditions),
        members.mesh,
        members.mode,
        mapped=2,
    )
    with jax.default_matmul_precision("highest"):
        return to_host(compiled(pad(params, members.mesh), members.replicas), members.count)


def examples(config: ConfigDict, problem: problems.Problem, params: Any) -> dict[str, np.ndarray]:
    """Return the first inputs of each test set [K, E, ...], and what some replicas say of them.

    `<part>_example_input`, `_label` (-1 where a replica has no such test set) and `_probability`,
    of the replicas that `shown_replicas` names.
    """
    count = config.evaluation.examples
    found: dict[str, list[np.ndarray]] = {}
    apply = jax.jit(problem.model.apply)
    for index in shown_replicas(problem):
        own = jax.tree.map(lambda leaf, index=index: leaf[index], params)
        subtask = problem.members[index].subtask
        for part in problem.parts:
            rows = drawn_sets.test_rows(
                problem.task.draw, part, jnp.arange(count), subtask.conditions
            )
            is_defined = part == "iid" or subtask.withheld > 0
            labels = np.asarray(rows["y"]) if is_defined else np.full(count, -1)
            inputs = np.asarray(rows["x"])
            if problem.task.inputs.alphabet is None:
                inputs = np.round(255 * inputs).astype(np.uint8)
            probabilities = np.asarray(jax.nn.softmax(apply(own, rows["x"])), np.float32)
            for name, values in (
                ("input", inputs),
                ("label", labels.astype(np.int32)),
                ("probability", probabilities),
            ):
                found.setdefault(f"{part}_example_{name}", []).append(values)
    return {name: np.stack(values) for name, values in found.items()}


def shown_replicas(problem: problems.Problem) -> list[int]:
    """Return the numbers of the replicas whose predictions are kept.

    The first of each subtask, with the largest training set; of more than `MOST_SHOWN` subtasks so
    many, evenly spread.
    """
    largest = max(member.samples or 0 for member in problem.members)
    first: dict[Any, int] = {}
    for index, member in enumerate(problem.members):
        if (member.samples or 0) == largest:
            first.setdefault(member.subtask, index)
    numbers = list(first.values())
    places = np.linspace(0, len(numbers) - 1, min(MOST_SHOWN, len(numbers))).round().astype(int)
    return [numbers[place] for place in places]


def labeled(
    config: ConfigDict,
    problem: problems.Problem,
    logged: list[dict[str, Any]],
    confusion: dict[str, np.ndarray],
    shown: dict[str, np.ndarray],
    diverged: list[int | None],
) -> xr.Dataset:
    """Return the measures of a run; `shown` are its `examples`."""
    members, task, steps = problem.members, problem.task, [record["step"] for record in logged]
    of_training = [f"{part}_{name}" for part in drawn_sets.PARTS for name in ("accuracy", "loss")]
    of_training = [n for n in (*of_training, "batch_loss") if any(n in r for r in logged)]
    nothing = [None] * len(members)
    values: dict[str, Any] = {
        name: np.array([record.get(name, nothing) for record in logged], float)
        for name in of_training
    }
    batch = config.data.batch_size
    values["samples_shown"] = np.array(
        [[_shown(m, step, batch) for m in members] for step in steps]
    )
    if members[0].samples is None:
        seen, accuracy = values["samples_shown"], values["iid_accuracy"]
        values["fewest_samples"] = min((s for s in seen[:, 0] if s > 0), default=0)
        values["samples_to_95"] = [
            statistics.crossing(seen[:, r], accuracy[:, r], 0.95) for r in range(len(members))
        ]
    for part, counts in confusion.items():
        some = counts.sum(axis=(1, 2), keepdims=True) > 0  # nothing is withheld from others
        values[f"{part}_confusion"] = np.where(some, counts, np.nan)
    facts = {s: task.facts(s, config.evaluation.noise) for s in task.subtasks}
    for name in known(facts[members[0].subtask]):
        values[name] = np.array([known(facts[member.subtask])[name] for member in members])
    values |= {"classes": task.classes, "test_samples": config.evaluation.test_samples}
    values |= {"noise_rate": config.evaluation.noise, **shown}
    own = ("position",) if task.inputs.alphabet is not None else ("row", "column")
    return results.dataset(
        _replicas(problem, diverged),
        values,
        MEASURES | dimensions(own),
        steps=steps,
        coordinates={"shown": [problem.names[i] for i in shown_replicas(problem)]},
        experiment=config.experiment,
        run=settings.run_name(config),
        task=task.name,
        task_label=task.label,
        model=config.model.name,
        optimizer=config.train.optimizer,
        size=config.size,
        step_unit="step",
        config=config.to_dict(),
    )


def dimensions(own: tuple[str, ...]) -> dict[str, Measure]:
    """Return the measures of examples with their last dimensions; `own` are those of an input."""
    last = {"input": own, "label": (), "probability": ("predicted_class",)}
    names = {f"{part}_example_{name}": more for part in TESTS for name, more in last.items()}
    return {
        name: replace(MEASURES[name], dims=(*_EXAMPLE["dims"], *more))
        for name, more in names.items()
    }


def _shown(member: problems.Member, step: int, batch_size: int) -> int:
    """Return how many training samples a replica was shown until a step."""
    if member.samples is None:
        return step * batch_size
    epochs, steps = divmod(step, -(-member.samples // batch_size))
    return epochs * member.samples + steps * batch_size


def known(facts: Facts) -> dict[str, Any]:
    """Return what is known of a subtask without training, by the name of a measure."""
    shares = np.asarray(facts.label_distribution.shares)
    occurring = shares[shares > 0]
    noise = facts.noise_sensitivity
    bounds = (math.nan,) * 3 if noise is None else (noise.value, noise.low, noise.high)
    names = [f"noise_sensitivity{ending}" for ending in ("", "_low", "_high")]
    return {
        "chance": shares.max(),
        "label_entropy": -np.sum(occurring * np.log2(occurring)) + 0.0,
        "label_distribution": shares,
        "label_distribution_exact": facts.label_distribution.exact,
        "share_removed": facts.share_removed,
        "withheld_words": facts.words,
        **dict(zip(names, bounds, strict=True)),
    }


def _replicas(problem: problems.Problem, diverged: list[int | None]) -> pd.DataFrame:
    """Return the replica table; a task without aggregations, or a stream, lacks their columns."""
    members = problem.members
    columns: dict[str, list[Any]] = {"name": problem.names}
    if members[0].subtask.aggregation is not None:
        columns["aggregation"] = [member.subtask.aggregation for member in members]
        columns["complexity"] = [member.subtask.complexity for member in members]
    columns["withheld"] = [member.subtask.withheld for member in members]
    if members[0].samples is not None:
        columns["samples"] = [member.samples for member in members]
    for name in ("learning_rate", "init_scale", "seed"):
        columns[name] = [getattr(member, name) for member in members]
    return pd.DataFrame(
        columns | {"diverged_at": [-1 if step is None else step for step in diverged]}
    )
