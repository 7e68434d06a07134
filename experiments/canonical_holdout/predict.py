"""What theory says of a run: the error it predicts, and how far what was learned lies from it."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments import stages
from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout import settings
from experiments.canonical_holdout.theories import theories_of
from pvr_jax.boolean import float64
from pvr_jax.refusal import Refusal
from pvr_jax.results import statistics
from pvr_jax.training import run, run_log

PREDICTIONS_FILE = "predictions.json"
# The second is in files of earlier versions.
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
STAGE = run.Stage("predict", after="analyse", product=PREDICTIONS_FILE)


def predict(config: ConfigDict, workdir: Path) -> Path:
    """Write predictions.json of an analyzed run; returns the run directory.

    It holds, per theory, the generalization error predicted for each frozen bit, its jackknife
    standard error where it is a mean over initializations and, for each replica, the half squared
    distance over the whole cube between what it learned and what the theory predicts
    ("unexplained"); and of the other theories why they are not defined.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not analyzed.
        RunError: the directory is in use.
    """
    return stages.follow(settings, config, workdir, STAGE, _predict)


def _predict(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    theories, not_defined = ({}, {}) if problem.matched else theories_of(config, problem)
    errors: dict[str, dict[int, float]] = {name: {} for name in theories}
    uncertain: dict[str, dict[int, float]] = {name: {} for name in theories}
    unexplained: dict[str, list[float]] = {name: [] for name in theories}
    spectra = last_spectra(directory)
    for bit in problem.bits:
        predicted = {}
        seen = seen_by(problem, bit)
        for name, theory in list(theories.items()):
            try:
                values = theory.function(problem.truth, seen)
                others = [error_of(f(problem.truth, seen), problem) for f in theory.without_one]
            except (Refusal, np.linalg.LinAlgError) as error:  # the kernel cannot hold this target
                not_defined[name] = str(error)
                del theories[name]
                continue
            errors[name][bit] = error_of(values, problem)
            if others:
                uncertain[name][bit] = statistics.jackknife_error(others)
            predicted[name] = float64.spectrum(values)
        # Replicas are ordered by their frozen bits.
        for _ in range(int(np.sum(problem.replica_bits == bit))):
            learned = next(spectra)
            for name, spectrum in predicted.items():
                distance = float(np.square(learned - spectrum).sum() / 2)
                unexplained[name].append(distance)
    document = {
        "theories": {
            name: {"error": errors[name]}
            | ({"standard_error": uncertain[name]} if theory.without_one else {})
            for name, theory in theories.items()
        },
        "unexplained": {name: unexplained[name] for name in theories},
        "not_defined": not_defined,
    }
    run_log.write_json(directory / PREDICTIONS_FILE, document)


def error_of(values: np.ndarray, problem: problems.Problem) -> float:
    """Return the generalization error of a function [2^n]: half its squared error on the cube."""
    return float(np.square(values - problem.truth).mean() / 2)


def seen_by(problem: problems.Problem, bit: int) -> np.ndarray:
    """Return the seen set bool [2^n] with a bit frozen."""
    return np.asarray(problems.seen_inputs(problem)(bit))


def last_spectra(directory: Path) -> Iterator[np.ndarray]:
    """Yield what each replica had learned at the last step, [2^n] in float64, from spectra.npz.

    One at a time: at n = 20 a hundred of them are 800 MB.
    """
    path = directory / "spectra.npz"
    with (
        run_log.damage_named(path, run.remedy(directory, "analyse")),
        zipfile.ZipFile(path) as archive,
        archive.open("coefficients.npy") as numbers,
    ):
        version = np.lib.format.read_magic(numbers)
        (steps, replicas, size), _, dtype = HEADERS[version](numbers)
        bytes_each = size * dtype.itemsize
        numbers.seek((steps - 1) * replicas * bytes_each, 1)
        for _ in range(replicas):
            yield np.frombuffer(numbers.read(bytes_each), dtype).astype(np.float64)
