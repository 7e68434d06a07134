"""Measure what the replicas learned, from the checkpoints alone."""

import os
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout import settings
from experiments.canonical_holdout.train import build_ensemble, run_directory, schedule
from pvr_jax.analysis import canonical, learned, measure
from pvr_jax.boolean import cube, fourier
from pvr_jax.tasks import holdouts
from pvr_jax.training import run_log
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import over_replicas, pad, to_host

STAGE = "analyse"
# Numbers of learned functions that are measured together: 2^22 in float64 are 32 MB.
GROUP = 1 << 22


def analyse(config: ConfigDict, workdir: Path) -> Path:
    """Write measures.json and spectra.npz of a trained run; returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not trained to its end.
        RunError: the directory is in use, or its last checkpoint cannot be read.
    """
    settings.validate(config)
    directory = run_directory(config, workdir)
    if not run_log.is_done(directory, "train"):
        raise FileNotFoundError(
            f"{directory} holds no finished training; train first: give the same command with "
            "--stage=train"
        )
    with run_log.exclusive(directory):
        if not run_log.is_done(directory, STAGE):
            _analyse(config, directory)
            run_log.mark_done(directory, STAGE)
    return directory


def _analyse(config: ConfigDict, directory: Path) -> None:
    begin = time.perf_counter()
    problem = problems.assemble(config)
    members = build_ensemble(config, problem)
    abstract = members.shapes().params
    plan = schedule(config, problem.training_set.steps_per_epoch)
    values_of = values_program(members, problem)
    steps, measured, spectra = [], [], []
    with Checkpoints(
        directory / "checkpoints", settings.identity(config), read_only=True
    ) as checkpoints:
        for step in sorted(plan.kept & set(checkpoints.steps())):
            try:
                params = checkpoints.load_params(step, abstract)
            except CheckpointError as error:
                if step == plan.total:
                    raise CheckpointError(
                        f"{error}; remove {directory / 'train.done'} and give the same command "
                        "again to train on from the checkpoint before it"
                    ) from error
                print(f"warning: {error}; left out of the analysis", flush=True)
                continue
            values = to_host(values_of(pad(params, members.mesh)), members.count)
            steps.append(step)
            measured.append(measure_values(values, problem))
            if config.evaluation.spectra == "all" or step == plan.total:
                spectra.append(problems.exact_spectrum(values).astype(np.float32))
    if plan.total not in steps:
        raise CheckpointError(f"{directory / 'checkpoints'} has no checkpoint of step {plan.total}")
    _write_spectra(directory, problem, steps[-len(spectra) :], np.stack(spectra))
    document = _document(config, problem, steps, measured, _diverged(directory, values))
    run_log.write_json(directory / "measures.json", document)
    run = run_log.read_json(directory / "run.json")
    run["stages"][STAGE] = {"seconds": round(time.perf_counter() - begin, 3)}
    run_log.write_json(directory / "run.json", run)


def values_program(members: Ensemble, problem: problems.Problem) -> Any:
    """Return the compiled function from parameters [R, ...] to learned functions [R, 2^n]."""

    def values(params: Any) -> jax.Array:
        return learned.on_cube(problem.model.apply, params, problem.task.n)

    compiled = over_replicas(values, members.mesh, members.execution)

    def run(params: Any) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return compiled(params)

    return run


def measure_values(values: np.ndarray, problem: problems.Problem) -> dict[str, np.ndarray]:
    """Return every measure of the learned functions [R, 2^n], in float64.

    A few replicas at a time, so that memory does not grow with their number.
    """
    n = problem.task.n
    indices = problems.pair_indices(problem)
    group = max(1, GROUP >> n)
    parts = []
    with jax.enable_x64(True):
        target = jnp.asarray(problem.truth)
        for first in range(0, len(values), group):
            some = slice(first, first + group)
            outputs = jnp.asarray(values[some], jnp.float64)
            bits = jnp.asarray(problem.replica_bits[some])
            seen = jax.vmap(lambda bit: holdouts.canonical(n, bit, problem.value))(bits)
            part = measure(outputs, target, seen)
            pairs = jnp.asarray(indices[some])
            part["tracked_coefficients"] = jax.vmap(canonical.tracked_coefficients)(outputs, pairs)
            parts.append(jax.tree.map(np.asarray, part))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _diverged(directory: Path, values: np.ndarray) -> list[int | None]:
    """Return, for each replica, the step at which it diverged, or None.

    A network can end non-finite in its very last step, which no training loss shows.
    """
    run = run_log.read_json(directory / "run.json")
    steps: list[int | None] = list(run["diverged"])
    finite = np.isfinite(values).all(axis=1)
    last = run["stages"]["train"]["last_step"]
    return [
        step if step is not None or ok else last for step, ok in zip(steps, finite, strict=True)
    ]


def _write_spectra(
    directory: Path, problem: problems.Problem, steps: list[int], coefficients: np.ndarray
) -> None:
    """Write the learned spectra [steps, R, 2^n] and the target's [2^n]."""
    temporary = directory / f".spectra.{os.getpid()}.npz"
    np.savez(
        temporary,
        step=np.array(steps),
        coefficients=coefficients,
        target=problem.coefficients,
        bit=problem.replica_bits,
        seed=problem.replica_seeds,
    )
    temporary.replace(directory / "spectra.npz")


def _document(
    config: ConfigDict,
    problem: problems.Problem,
    steps: list[int],
    measured: list[dict[str, np.ndarray]],
    diverged: list[int | None],
) -> dict[str, Any]:
    """Return measures.json: columns over [steps][replicas].

    Whatever the registry of measures holds is in it by name: scalars under "measures", where the
    report finds them, vectors beside it.
    """
    columns = {name: [at_step[name] for at_step in measured] for name in measured[0]}
    scalars = {name for name, column in columns.items() if column[0].ndim == 1}
    n, task = problem.task.n, problem.task
    parameters = ", ".join(f"{name}={value}" for name, value in task.params.items())
    return {
        "experiment": config.experiment,
        "task": task.name,
        "task_label": f"{task.name} ({parameters})" if parameters else task.name,
        "model": config.model.name,
        "n": n,
        "frozen_value": problem.value,
        "loss": "half squared error",
        "steps": steps,
        "steps_per_epoch": problem.training_set.steps_per_epoch,
        "replicas": [
            {"name": name, "bit": int(bit), "seed": int(seed), "diverged_at": step}
            for name, bit, seed, step in zip(
                problem.names,
                problem.replica_bits,
                problem.replica_seeds,
                diverged,
                strict=True,
            )
        ],
        "influences": problems.influences(problem),
        "measures": {name: columns[name] for name in columns if name in scalars},
        **{name: columns[name] for name in columns if name not in scalars},
        "target_degree_profile": _profile(problem.truth),
        "frozen_degree_profile": {
            bit: _profile(problem.truth, bit, problem.value) for bit in problem.bits
        },
        "tracked": {bit: {"pairs": pairs} for bit, pairs in problem.pairs.items()},
    }


def _profile(values: np.ndarray, bit: int | None = None, value: int = 1) -> np.ndarray:
    """Return the exact degree profile [n + 1] of a function, or of it with `bit` frozen."""
    with jax.enable_x64(True):
        function = jnp.asarray(values, jnp.float64)
        if bit is not None:
            function = cube.frozen(function, bit, value)
        return np.asarray(fourier.degree_profile(fourier.walsh_hadamard(function)))
