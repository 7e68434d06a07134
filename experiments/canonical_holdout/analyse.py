"""Measure what the replicas learned, from the checkpoints alone."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout import settings
from experiments.canonical_holdout.document import document
from experiments.canonical_holdout.spectra import SpectraFile
from experiments.canonical_holdout.train import build_ensemble, run_directory, schedule
from pvr_jax import theory
from pvr_jax.analysis import canonical, learned, measure
from pvr_jax.boolean import float64, fourier
from pvr_jax.training import run, run_log
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.run import Group

MEASURES_FILE = "measures.json"
STAGE = run.Stage("analyse", after=run.STAGE, product=MEASURES_FILE)
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
    work = partial(_analyse, config, directory)
    run.later_stage(directory, STAGE, config.train.dtype, work)
    return directory


def _analyse(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    members = build_ensemble(config, problem)
    plan = schedule(config, problem.training_set.steps_per_epoch)
    functions = functions_program(members, problem)
    steps: list[int] = []
    measured: list[dict[str, np.ndarray]] = []
    predictions: dict[str, np.ndarray] = {}
    with (
        Checkpoints(
            directory / "checkpoints", settings.identity(config), read_only=True
        ) as checkpoints,
        SpectraFile(directory, members.count, problem.task.n) as spectra,
    ):
        for step, params in run.kept_parameters(checkpoints, members, plan, directory):
            keep = config.evaluation.spectra == "all" or step == plan.total
            parts = []
            for some, values in functions(params):
                parts.append(measure_values(values, problem, some))
                if keep:
                    spectra.append(step, float64.spectrum(values))
            if step == 0:
                predictions = predict(config, problem, functions(params))
            steps.append(step)
            measured.append({name: np.concatenate([p[name] for p in parts]) for name in parts[0]})
        spectra.finish(
            target=problem.coefficients, bit=problem.replica_bits, seed=problem.replica_seeds
        )
    diverged = run.diverged_steps(directory, measured[-1]["finite"])
    run_log.write_json(
        directory / MEASURES_FILE,
        document(config, problem, steps, measured, predictions, diverged),
    )


def functions_program(
    members: Ensemble, problem: problems.Problem
) -> Callable[[Any], Iterator[Group]]:
    """Return `functions(params[R, ...])`, which yields the learned functions group by group."""

    def values(params: Any) -> jax.Array:
        return learned.on_cube(problem.model.apply, params, problem.task.n)

    return run.in_groups(values, members, GROUP >> problem.task.n)


def measure_values(
    values: np.ndarray, problem: problems.Problem, some: slice
) -> dict[str, np.ndarray]:
    """Return every measure of the learned functions [r, 2^n] of some replicas, in float64.

    Beside the registry's measures: the tracked coefficients, and whether all values are finite.
    """
    indices = problems.pair_indices(problem)[some]
    with jax.enable_x64(True):
        outputs = jnp.asarray(values, jnp.float64)
        seen = jax.vmap(problems.seen_inputs(problem))(jnp.asarray(problem.replica_bits[some]))
        measured = measure(outputs, jnp.asarray(problem.truth), seen)
        measured["tracked_coefficients"] = jax.vmap(canonical.tracked_coefficients)(
            outputs, jnp.asarray(indices)
        )
        measured["finite"] = jnp.isfinite(outputs).all(axis=1)
        return jax.tree.map(np.asarray, measured)


def predict(
    config: ConfigDict, problem: problems.Problem, initial: Iterator[Group]
) -> dict[str, np.ndarray]:
    """Return the exact generalization errors [R] that theory predicts for these replicas, by name.

    None is defined for most models; the influence, which needs no network, is not among them.
    `initial` are the untrained networks' functions.
    """
    with jax.enable_x64(True):
        above_one = np.asarray(fourier.degree_profile(problem.coefficients))[2:]
    if config.model.name != "linear_regression" or problem.matched or np.any(above_one > 1e-20):
        return {}
    errors = []
    for some, values in initial:
        spectra = float64.spectrum(values)
        with jax.enable_x64(True):
            errors += [
                float(
                    theory.linear_regression_error(
                        problem.coefficients, spectrum, int(bit), problem.value
                    )
                )
                for spectrum, bit in zip(spectra, problem.replica_bits[some], strict=True)
            ]
    return {"linear_regression": np.array(errors)}
