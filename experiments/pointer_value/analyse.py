"""Measure what the replicas learned, from the last checkpoint and the log of training."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import stages
from experiments.pointer_value import problem as problems
from experiments.pointer_value import settings
from experiments.pointer_value.train import build_ensemble, schedule
from pvr_jax import models
from pvr_jax.tasks import drawn_sets
from pvr_jax.training import run, run_log
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import over_replicas, pad, to_host

MEASURES_FILE = "measures.json"
EXAMPLES_FILE = "examples.npz"
STAGE = run.Stage("analyse", after=run.STAGE, product=MEASURES_FILE)
MOST_SHOWN = 12  # replicas whose predictions on examples are kept
MEASURES = tuple(f"{part}_{name}" for part in drawn_sets.PARTS for name in ("accuracy", "loss"))
MEASURES += ("batch_loss",)


def analyse(config: ConfigDict, workdir: Path) -> Path:
    """Write measures.json and examples.npz of a trained run; returns the run directory.

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
    run_log.write_arrays(directory / EXAMPLES_FILE, **examples(config, problem, params))
    run_log.write_json(
        directory / MEASURES_FILE,
        document(
            config,
            problem,
            run.evaluations(directory, schedule(config)),
            confusion,
            run.diverged_steps(directory, finite),
        ),
    )


def confusions(config: ConfigDict, problem: problems.Problem) -> Any:
    """Return `count(params, **conditions) -> {part: counts [classes, classes]}` of one replica."""
    count = problems.tallies(
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
    """Return test examples and what some replicas [K] predict for them, E of each test set.

    `replica` int32[K] are those of `shown_replicas`. `<part>_x` [K, E, ...], `<part>_y` [K, E] (-1
    where the part is not defined), `<part>_probabilities` float32[K, E, classes].
    """
    count = config.evaluation.examples
    chosen = shown_replicas(problem)
    found: dict[str, list[np.ndarray]] = {}
    apply = jax.jit(problem.model.apply)
    for index in chosen:
        own = jax.tree.map(lambda leaf, index=index: leaf[index], params)
        subtask = problem.members[index].subtask
        for part in ("iid", "withheld"):
            rows = drawn_sets.test_rows(
                problem.task.draw, part, jnp.arange(count), subtask.conditions
            )
            is_defined = part == "iid" or subtask.withheld > 0
            labels = np.asarray(rows["y"]) if is_defined else np.full(count, -1)
            probabilities = jax.nn.softmax(apply(own, rows["x"]))
            for name, values in (
                ("x", np.asarray(rows["x"])),
                ("y", labels.astype(np.int32)),
                ("probabilities", np.asarray(probabilities, np.float32)),
            ):
                found.setdefault(f"{part}_{name}", []).append(values)
    stacked = {name: np.stack(values) for name, values in found.items()}
    return {"replica": np.array(chosen, np.int32), **stacked}


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


def document(
    config: ConfigDict,
    problem: problems.Problem,
    logged: list[dict[str, Any]],
    confusion: dict[str, np.ndarray],
    diverged: list[int | None],
) -> dict[str, Any]:
    """Return measures.json: columns over [steps][replicas]; see the fields' names."""
    task, evaluation = problem.task, config.evaluation
    nothing = [None] * len(problem.members)
    model = config.model.to_dict()
    return {
        "experiment": config.experiment,
        "size": config.size,
        "task": task.name,
        "task_label": task.label,
        "model": config.model.name,
        "model_label": models.label(model),
        "shape": list(task.inputs.shape),
        "alphabet": task.inputs.alphabet,
        "classes": task.classes,
        "optimizer": config.train.optimizer,
        "batch_size": config.data.batch_size,
        "source": config.data.source,
        "test_samples": evaluation.test_samples,
        "train_samples_evaluated": evaluation.training_samples,
        "noise": evaluation.noise,
        "steps": [record["step"] for record in logged],
        "tasks": [_facts(task.facts(s, evaluation.noise), s) for s in task.subtasks],
        "replicas": [
            {
                "name": name,
                "task": task.subtasks.index(member.subtask),
                "samples": member.samples,
                "learning_rate": member.learning_rate,
                "init_scale": member.init_scale,
                "seed": member.seed,
                "diverged_at": step,
            }
            for name, member, step in zip(problem.names, problem.members, diverged, strict=True)
        ],
        "measures": {name: [record.get(name, nothing) for record in logged] for name in MEASURES},
        "confusion": {
            part: [counts if counts.sum() else None for counts in confusion.get(part, ())]
            or nothing
            for part in ("iid", "withheld")
        },
    }


def _facts(facts: Any, subtask: Any) -> dict[str, Any]:
    """Return an entry of "tasks": which subtask it is, and what is known of it."""
    noise = facts.noise_sensitivity
    return {
        "aggregation": subtask.aggregation,
        "complexity": subtask.complexity,
        "withheld": subtask.withheld,
        "withheld_words": facts.words,
        "share_removed": facts.share_removed,
        "label_distribution": facts.label_distribution.shares,
        "label_distribution_exact": facts.label_distribution.exact,
        "noise_sensitivity": None if noise is None else noise._asdict(),
    }
