"""What theory says of a run: the error it predicts, and how far what was learned lies from it."""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from ml_collections import ConfigDict

from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout import settings
from experiments.canonical_holdout.theories import theories_of
from pvr_jax import results, stages
from pvr_jax.boolean import float64
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure, statistics
from pvr_jax.training import run, run_log

# The second is in files of earlier versions.
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
STAGE = run.Stage("predict", after="analyse", product=results.PREDICTIONS_FILE)
# The linear regression's is an error of every replica, without a function to compare with.
THEORIES = ("influence", "linear_regression", "wide_ntk", "empirical_ntk")
_OF_THEORY = {"dims": ("theory",), "kind": "prediction"}
MEASURES = {
    "predicted_generalization_error": Measure(
        "predicted error",
        "The generalization error that a theory predicts. Wide NTK: regression with the tangent "
        "kernel of the network at infinite width. Empirical NTK: regression with the network's own "
        "tangent kernel at initialization, a mean over four initializations, permutations of the "
        "coordinates and x → −x. Both are what lazy training learns, without free parameters.",
        units="half squared error",
        bounds=(0, math.inf),
        **_OF_THEORY,
    ),
    "predicted_generalization_error_se": Measure(
        "standard error of the predicted error",
        "Jackknife standard error over the initializations of a kernel; where it is large, so few "
        "networks do not agree on what their kernel says.",
        **_OF_THEORY,
    ),
    "residual": Measure(
        "left by a theory",
        "½ E(g − h)², h the function that a theory predicts: what it leaves unexplained of the "
        "learned function g. Two theories may predict one error with different functions; this "
        "tells them apart.",
        units="half squared error",
        domain="whole cube",
        bounds=(0, math.inf),
        dims=("theory",),
    ),
    "not_defined": Measure(
        "not defined", "Why a theory predicts nothing here; empty where it does.", **_OF_THEORY
    ),
}


def predict(config: ConfigDict, workdir: Path) -> Path:
    """Write predictions.nc of an analyzed run; returns the run directory.

    It holds, per theory and replica, the predicted generalization error, its jackknife standard
    error where it is a mean over initializations, and the half squared distance over the whole cube
    between what was learned and what the theory predicts; and of the other theories why they are
    not defined.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not analyzed.
        RunError: the directory is in use.
    """
    return stages.follow(settings, config, workdir, STAGE, _predict)


def _predict(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    measures = results.read(directory / results.MEASURES_FILE)
    theories, not_defined = theories_of(config, problem)
    count = problem.count
    found = {
        name: {key: np.full(count, np.nan) for key in ("error", "standard_error", "residual")}
        for name in THEORIES
    }
    if "linear_regression_error" in measures:
        found["linear_regression"]["error"] = measures["linear_regression_error"].values
    spectra = last_spectra(directory)
    for bit in problem.bits:
        predicted = {}
        seen = seen_by(problem, bit)
        own = problem.replica_bits == bit
        for name, theory in list(theories.items()):
            try:
                values = theory.function(problem.truth, seen)
                others = [error_of(f(problem.truth, seen), problem) for f in theory.without_one]
            except (Refusal, np.linalg.LinAlgError) as error:  # the kernel cannot hold this target
                not_defined[name] = str(error)
                del theories[name]
                for key in found[name]:
                    found[name][key][:] = np.nan
                continue
            found[name]["error"][own] = error_of(values, problem)
            if others:
                found[name]["standard_error"][own] = statistics.jackknife_error(others)
            predicted[name] = float64.spectrum(values)
        for replica in np.flatnonzero(own):  # replicas are ordered by their frozen bits
            learned = next(spectra)
            for name, spectrum in predicted.items():
                distance = float(np.square(learned - spectrum).sum() / 2)
                found[name]["residual"][replica] = distance
    results.write(directory / results.PREDICTIONS_FILE, labeled(measures, found, not_defined))


def labeled(
    measures: xr.Dataset, found: dict[str, dict[str, np.ndarray]], not_defined: dict[str, str]
) -> xr.Dataset:
    """Return predictions.nc, with the replicas and the attributes of the measures.

    Args:
        measures: measures.nc.
        found: "error", "standard_error" and "residual" [R] by theory.
        not_defined: why a theory says nothing, by theory.
    """
    columns = [str(name) for name, own in measures.coords.items() if own.dims == ("replica",)]
    replicas = pd.DataFrame({name: measures[name].values for name in columns})
    keys = {
        "predicted_generalization_error": "error",
        "predicted_generalization_error_se": "standard_error",
        "residual": "residual",
    }
    values = {n: np.stack([own[key] for own in found.values()], 1) for n, key in keys.items()}
    values["not_defined"] = np.array([not_defined.get(name, "") for name in found])
    return results.dataset(
        replicas.rename(columns={"replica": "name"}),
        values,
        MEASURES,
        coordinates={"theory": list(found)},
        **{name: value for name, value in measures.attrs.items() if name != "schema"},
    )


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
