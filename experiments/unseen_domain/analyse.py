"""Measure what the replicas learned, from the checkpoints alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import stages
from experiments.unseen_domain import problem as problems
from experiments.unseen_domain import settings
from experiments.unseen_domain.train import build_ensemble, schedule
from pvr_jax import models, theory
from pvr_jax.boolean import float64
from pvr_jax.refusal import Refusal
from pvr_jax.training import run, run_log
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.run import Group

MEASURES_FILE = "measures.json"
STAGE = run.Stage("analyse", after=run.STAGE, product=MEASURES_FILE)
LEARNED_FILE = "learned.npz"
# Numbers of learned functions that are measured together: 2^22 in float64 are 32 MB.
GROUP = 1 << 22
VECTORS = ("coefficients", "degree_profile")


def analyse(config: ConfigDict, workdir: Path) -> Path:
    """Write measures.json and learned.npz of a trained run; returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not trained to its end.
        RunError: the directory is in use, or its last checkpoint cannot be read.
    """
    return stages.follow(settings, config, workdir, STAGE, _analyse)


def _analyse(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    members = build_ensemble(config, problem)
    plan = schedule(config, problem)
    values = problems.values_of(problem, config.evaluation.chunk)
    functions = run.in_groups(values, members, GROUP // len(problem.truth))
    steps: list[int] = []
    measured: list[dict[str, np.ndarray]] = []
    last = np.empty((members.count, len(problem.truth)), np.float32)
    with Checkpoints(
        directory / "checkpoints", settings.identity(config), read_only=True
    ) as checkpoints:
        for step, params in run.kept_parameters(checkpoints, members, plan, directory):
            steps.append(step)
            measured.append(_measure(problem, functions(params), last))
    run_log.write_arrays(directory / LEARNED_FILE, values=last)
    finite = np.isfinite(last).all(axis=1)
    run_log.write_json(
        directory / MEASURES_FILE,
        document(
            config,
            problem,
            steps,
            measured,
            degree_temperatures(problem, last),
            run.diverged_steps(directory, finite),
        ),
    )


def _measure(
    problem: problems.Problem, groups: Iterator[Group], last: np.ndarray
) -> dict[str, np.ndarray]:
    """Measure all replicas in float64, and leave their functions in `last` [R, P]."""
    parts = []
    with float64.exact():
        measures = jax.jit(jax.vmap(problems.measures_of(problem, np.float64)))
    for some, values in groups:
        last[some] = values
        with float64.exact():
            parts.append(jax.tree.map(np.asarray, measures(values.astype(np.float64))))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def degree_temperatures(problem: problems.Problem, learned: np.ndarray) -> np.ndarray:
    """Return the degree temperature [R] of learned functions [R, 2^n].

    NaN where the cube is only sampled, and where the seen set is too large for a search.
    """
    found = np.full(len(learned), np.nan)
    if not problem.exact:
        return found
    for i, values in enumerate(learned):
        if np.isfinite(values).all():
            try:
                found[i] = theory.degree_temperature(values, problem.truth, problem.seen)
            except (Refusal, np.linalg.LinAlgError):  # the seen set is too large a problem
                break
    return found


def document(
    config: ConfigDict,
    problem: problems.Problem,
    steps: list[int],
    measured: list[dict[str, np.ndarray]],
    temperatures: np.ndarray,
    diverged: list[int | None],
) -> dict[str, Any]:
    """Return measures.json: columns over [steps][replicas]."""
    task, reference = problem.task, problem.reference
    columns = {name: [at_step[name] for at_step in measured] for name in measured[0]}
    before = np.full_like(temperatures, np.nan)
    scalars = {name: column for name, column in columns.items() if name not in VECTORS}
    scalars["degree_temperature"] = [before] * (len(steps) - 1) + [temperatures]
    parameters = ", ".join(f"{key}={value}" for key, value in task.params.items())
    return {
        "experiment": config.experiment,
        "size": config.size,
        "setting": config.setting,
        "task": task.name,
        "task_label": task.params.get("expression") or f"{task.name} ({parameters})",
        "model": config.model.name,
        "model_label": models.label(config.model.to_dict()),
        "n": task.n,
        "seen": problem.seen_set.words,
        "seen_fraction": float(reference.seen.mean()),
        "exact": problem.exact,
        "points": len(problem.truth),
        "training_samples": problem.training_set.samples,
        "loss": "half squared error",
        "steps": steps,
        "steps_per_epoch": problem.training_set.steps_per_epoch,
        "replicas": _replicas(problem, diverged),
        "measures": scalars,
        # Of the coordinates that matter, so of the whole cube, whatever is sampled or followed.
        "target_mean_square": float(np.mean(np.square(reference.truth))),
        "monomials": problem.monomials,
        "coefficients": columns["coefficients"],
        "degree_profile": columns.get("degree_profile"),
        "target_degree_profile": _profile(problem, problem.truth),
        "min_degree_profile": _profile(problem, problem.interpolator),
    }


def _replicas(problem: problems.Problem, diverged: list[int | None]) -> list[dict[str, Any]]:
    columns = zip(
        problem.names,
        problem.replica_rates,
        problem.replica_scales,
        problem.replica_seeds,
        diverged,
        strict=True,
    )
    return [
        {
            "name": name,
            "learning_rate": float(rate),
            "init_scale": float(scale),
            "seed": int(seed),
            "diverged_at": step,
        }
        for name, rate, scale, seed, step in columns
    ]


def _profile(problem: problems.Problem, values: np.ndarray) -> list[float] | None:
    """Return the degree profile [n + 1] of a function on the whole cube; None where not known."""
    if not problem.exact or np.isnan(values).any():
        return None
    spectrum = float64.spectrum(values)
    degrees = np.bitwise_count(np.arange(spectrum.size))
    return np.bincount(degrees, weights=np.square(spectrum)).tolist()
