"""Measure what the replicas learned, from the checkpoints alone."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.canonical_holdout import pack as packs
from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout import settings
from experiments.canonical_holdout.measures import labeled
from experiments.canonical_holdout.spectra import SpectraFile
from experiments.canonical_holdout.train import build_ensemble, schedule
from pvr_jax import results, stages, theory
from pvr_jax.analysis import canonical, learned, measure
from pvr_jax.boolean import float64, fourier
from pvr_jax.training import run
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.run import Group

STAGE = run.Stage("analyse", after=run.STAGE, product=results.MEASURES_FILE)
# Numbers of learned functions that are measured together: 2^22 in float64 are 32 MB.
GROUP = 1 << 22


def analyse(config: ConfigDict, workdir: Path) -> Path:
    """Write measures.nc and spectra.npz of a trained run; returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not trained to its end.
        RunError: the directory is in use, or its last checkpoint cannot be read.
    """
    return stages.follow(settings, config, workdir, STAGE, _analyse)


def _analyse(config: ConfigDict, directory: Path) -> None:
    write_results((config,), directory, settings.identity(config), (directory,))


def write_results(
    configs: Sequence[ConfigDict], directory: Path, identity: str, outputs: Sequence[Path]
) -> list[list[int | None]]:
    """Measure what was trained in `directory`; write each configuration's results to its output.

    Returns, for each configuration, the steps at which its replicas diverged, None for the others.
    """
    pack = packs.join(problems.assemble_all(configs))
    config = configs[0]
    members = build_ensemble(config, pack)
    plan = schedule(config, pack.first.training_set.steps_per_epoch)
    functions = functions_program(members, pack.first)
    with (
        Checkpoints(directory / "checkpoints", identity, read_only=True) as checkpoints,
        contextlib.ExitStack() as files,
    ):
        found = [
            _Results(
                problem, files.enter_context(SpectraFile(output, problem.count, problem.task.n))
            )
            for problem, output in zip(pack.problems, outputs, strict=True)
        ]
        for step, params in run.kept_parameters(checkpoints, members, plan, directory):
            keep = config.evaluation.spectra == "all" or step == plan.total
            for some, values in functions(params):
                for part in pack.parts(some):
                    found[part.problem].add(step, values[part.given], part.own, keep)
        for own in found:
            own.finish_spectra()
    finite = np.concatenate([own.measured()[-1]["finite"] for own in found])
    diverged = run.diverged_steps(directory, finite)
    of_each = [diverged[own] for own in pack.slices()]
    for config, output, own, steps in zip(configs, outputs, found, of_each, strict=True):
        measures = labeled(config, own.problem, own.steps, own.measured(), own.predictions(), steps)
        results.write(output / results.MEASURES_FILE, measures)
    return of_each


class _Results:
    """What is measured of the replicas of one problem, step after step, part after part."""

    def __init__(self, problem: problems.Problem, spectra: SpectraFile) -> None:
        self.problem = problem
        self.steps: list[int] = []
        self._spectra = spectra
        self._measured: list[list[dict[str, np.ndarray]]] = []  # [steps][parts]
        self._predicted: list[dict[str, np.ndarray]] = []  # [parts]

    def add(self, step: int, values: np.ndarray, some: slice, keep: bool) -> None:
        """Measure the learned functions [r, 2^n] of the next replicas at a step."""
        if step not in self.steps:
            self.steps.append(step)
            self._measured.append([])
        self._measured[-1].append(measure_values(values, self.problem, some))
        if keep:
            self._spectra.append(step, float64.spectrum(values))
        if step == 0:
            self._predicted.append(predict(self.problem, values, some))

    def measured(self) -> list[dict[str, np.ndarray]]:
        """Return, for each step, the measures of all replicas by name."""
        return [_concatenated(parts) for parts in self._measured]

    def predictions(self) -> dict[str, np.ndarray]:
        """Return the predicted errors [R] by the name of their measure."""
        return _concatenated(self._predicted)

    def finish_spectra(self) -> None:
        """Write spectra.npz."""
        problem = self.problem
        self._spectra.finish(
            target=problem.coefficients, bit=problem.replica_bits, seed=problem.replica_seeds
        )


def _concatenated(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]} if parts else {}


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
    indices = problems.pair_indices(problem, problem.most_pairs)[some]
    with float64.exact():
        outputs = jnp.asarray(values, jnp.float64)
        seen = jax.vmap(problems.seen_inputs(problem))(jnp.asarray(problem.replica_bits[some]))
        measured = measure(outputs, jnp.asarray(problem.truth), seen)
        measured["tracked_coefficients"] = jax.vmap(canonical.tracked_coefficients)(
            outputs, jnp.asarray(indices)
        )
        measured["finite"] = jnp.isfinite(outputs).all(axis=1)
        return jax.tree.map(np.asarray, measured)


def predict(problem: problems.Problem, initial: np.ndarray, some: slice) -> dict[str, np.ndarray]:
    """Return the exact generalization errors that theory predicts for some replicas, by name.

    None is defined for most models; the influence, which needs no network, is not among them.
    `initial` [r, 2^n] are the untrained networks' functions.
    """
    with float64.exact():
        above_one = np.asarray(fourier.degree_profile(problem.coefficients))[2:]
    if problem.model_name != "linear_regression" or problem.matched or np.any(above_one > 1e-20):
        return {}
    errors = []
    for spectrum, bit in zip(float64.spectrum(initial), problem.replica_bits[some], strict=True):
        with float64.exact():
            error = theory.linear_regression_error(
                problem.coefficients, spectrum, int(bit), problem.value
            )
        errors.append(float(error))
    return {"linear_regression_error": np.array(errors)}
