"""What theory says of a run off the seen set, and how far what was learned lies from it."""

from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments import stages
from experiments.unseen_domain import analyse, settings
from experiments.unseen_domain import problem as problems
from pvr_jax import theory
from pvr_jax.boolean import cube, float64
from pvr_jax.refusal import Refusal
from pvr_jax.theory import wide_networks
from pvr_jax.training import run, run_log

PREDICTIONS_FILE = "predictions.json"
STAGE = run.Stage("predict", after="analyse", product=PREDICTIONS_FILE)
ACTIVATIONS = {"relu": wide_networks.RELU, "polynomial": wide_networks.POLYNOMIAL}


def predict(config: ConfigDict, workdir: Path) -> Path:
    """Write predictions.json of an analyzed run; returns the run directory.

    It holds, per theory, the predicted half errors and tracked coefficients and, for each replica,
    ½E over the unseen inputs of the squared distance between what it learned and the prediction.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not analyzed.
        RunError: the directory is in use.
    """
    return stages.follow(settings, config, workdir, STAGE, _predict)


def _predict(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    reference = problem.reference
    path = directory / analyse.LEARNED_FILE
    with (
        run_log.damage_named(path, run.remedy(directory, "analyse")),
        np.load(path, allow_pickle=False) as arrays,
    ):
        learned = arrays["values"].astype(np.float64)
    predicted, not_defined = {}, {}
    if reference.not_computed:
        not_defined["min_degree"] = reference.not_computed
    else:
        predicted["min_degree"] = reference.interpolator
    try:
        predicted["wide_ntk"] = theory.kernel_interpolator(
            kernel_limit(config, problem.task.n)[: reference.n + 1],
            reference.truth,
            reference.seen,
        )
    except (Refusal, np.linalg.LinAlgError) as error:
        not_defined["wide_ntk"] = str(error)
    run_log.write_json(
        directory / PREDICTIONS_FILE,
        {
            "theories": {name: summary(problem, f) for name, f in predicted.items()},
            "unexplained": {
                name: unexplained(problem, learned, f) for name, f in predicted.items()
            },
            "not_defined": not_defined,
        },
    )


def kernel_limit(config: ConfigDict, n: int) -> np.ndarray:
    """Return the eigenvalues [n + 1] of the kernel with which a very wide network regresses.

    The tangent kernel of the MLP; that of random features, of which only the readout moves at
    first, since it starts at 0. Raises ValueError for networks without such a limit.
    """
    if any(scale != 1 for scale in config.train.init_scales):
        raise Refusal(f"init_scales: given {config.train.init_scales}; allowed 1")
    model = config.model
    if model.name == "mlp":
        layers = wide_networks.mlp_layers(
            n, model.widths, model.initialisation, model.alpha, model.get("biases", True)
        )
        return wide_networks.wide_eigenvalues(n, layers, wide_networks.RELU)
    if model.name == "random_features":
        layers = wide_networks.random_features_layers(n)
        return wide_networks.wide_eigenvalues(n, layers, ACTIVATIONS[model.kind], kind="nngp")
    raise Refusal(f"model: given {model.name}; allowed mlp, random_features")


def summary(problem: problems.Problem, predicted: np.ndarray) -> dict[str, Any]:
    """Return half errors over cube and unseen inputs, and coefficients, of a function [2^r]."""
    reference = problem.reference
    halves = np.square(predicted - reference.truth) / 2
    spectrum = float64.spectrum(predicted)
    indices = [cube.index(m["coordinates"], reference.n) for m in problem.monomials]
    return {
        "generalization_error": float(halves.mean()),
        "unseen_error": float(halves[~reference.seen].mean()) if not reference.seen.all() else None,
        "coefficients": spectrum[indices],
    }


def unexplained(
    problem: problems.Problem, learned: np.ndarray, predicted: np.ndarray
) -> np.ndarray:
    """Return ½E over the unseen test points of (g - prediction)² [R]; learned is [R, P]."""
    if problem.seen.all():
        return np.full(len(learned), np.nan)
    if problem.points is None:
        values = np.repeat(predicted, len(problem.truth) // len(predicted))
    else:
        values = predicted[problem.reference.numbers(problem.points)]
    return np.square(learned - values)[:, ~problem.seen].mean(axis=1) / 2
