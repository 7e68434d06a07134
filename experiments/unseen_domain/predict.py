"""What theory says of a run off the seen set, and how far what was learned lies from it."""

import math
from pathlib import Path

import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments.unseen_domain import analyse, settings
from experiments.unseen_domain import problem as problems
from pvr_jax import results, stages, theory
from pvr_jax.boolean import cube, float64
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure
from pvr_jax.theory import wide_networks
from pvr_jax.training import run, run_log

STAGE = run.Stage("predict", after="analyse", product=results.PREDICTIONS_FILE)
ACTIVATIONS = {"relu": wide_networks.RELU, "polynomial": wide_networks.POLYNOMIAL}
THEORIES = ("min_degree", "wide_ntk")
_OF_THEORY = {"kind": "prediction", "units": "half squared error", "bounds": (0, math.inf)}
MEASURES = {
    "predicted_generalization_error": Measure(
        "predicted generalization error",
        "½E(h − f)², h what the theory says is learned.",
        domain="whole cube",
        dims=("theory",),
        **_OF_THEORY,
    ),
    "predicted_unseen_error": Measure(
        "predicted unseen error",
        "½E(h − f)² over the inputs held out, h what the theory says is learned.",
        domain="unseen inputs",
        dims=("theory",),
        **_OF_THEORY,
    ),
    "predicted_coefficients": Measure(
        "predicted coefficient",
        "Fourier coefficient of what the theory says is learned.",
        kind="prediction",
        dims=("theory", "monomial"),
    ),
    "residual": Measure(
        "distance to the theory",
        "½E(g − h)² over the inputs held out, h what the theory says is learned.",
        units="half squared error",
        domain="unseen inputs",
        bounds=(0, math.inf),
        dims=("theory",),
    ),
    "not_defined": Measure(
        "not computed because",
        "Why a theory says nothing of a run; empty where it does.",
        kind="exact",
        dims=("theory",),
    ),
}


def predict(config: ConfigDict, workdir: Path) -> Path:
    """Write predictions.nc of an analyzed run; returns the run directory.

    It holds, per theory, the predicted errors and tracked coefficients and, for each replica,
    ½E over the unseen inputs of the squared distance between what it learned and the prediction.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not analyzed.
        RunError: the directory is in use.
    """
    return stages.follow(settings, config, workdir, STAGE, _predict)


def _predict(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    path = directory / analyse.LEARNED_FILE
    with (
        run_log.damage_named(path, run.remedy(directory, "analyse")),
        np.load(path, allow_pickle=False) as arrays,
    ):
        learned = arrays["values"].astype(np.float64)
    measured = results.read(directory / results.MEASURES_FILE)
    predicted, not_defined = functions(config, problem.reference)
    results.write(
        directory / results.PREDICTIONS_FILE,
        labeled(problem, measured, learned, predicted, not_defined),
    )


def functions(
    config: ConfigDict, reference: problems.Reference
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return what theories say is learned, [2^r] each, and of the others why they say nothing."""
    predicted, not_defined = {}, {}
    if reference.not_computed:
        given = reference.not_computed.partition("given ")[2].replace("; allowed", ", and for now")
        not_defined["min_degree"] = f"too large a problem: {given}"
    else:
        predicted["min_degree"] = reference.interpolator
    model, n = config.model.name, config.task.n
    if model not in ("mlp", "random_features"):
        not_defined["wide_ntk"] = (
            "the limit of infinite width is known here for the MLP and for random features, not "
            f"for the model {model}"
        )
    elif any(scale != 1 for scale in config.train.init_scales):
        not_defined["wide_ntk"] = (
            "the limit of infinite width is that of an initialization that is not scaled"
        )
    else:
        try:
            limit = kernel_limit(config, n)[: reference.n + 1]
            predicted["wide_ntk"] = theory.kernel_interpolator(
                limit, reference.truth, reference.seen
            )
        except (Refusal, np.linalg.LinAlgError) as error:
            not_defined["wide_ntk"] = _why_not(str(error), n)
    return predicted, not_defined


def _why_not(refusal: str, n: int) -> str:
    """Return in words what the regression of a kernel refuses."""
    field, _, rest = refusal.partition(": given ")
    if field == "n":
        return (
            f"its kernel is not computed for n = {n}; it is for n {rest.partition('allowed ')[2]}"
        )
    if field == "seen":
        return f"its regression is too large: {rest.replace('; allowed', ', and at most')} can be"
    return "no function of its kernel takes the values of the target on the seen inputs"


def kernel_limit(config: ConfigDict, n: int) -> np.ndarray:
    """Return the eigenvalues [n + 1] of the kernel with which a very wide network regresses.

    The tangent kernel of the MLP; that of random features, of which only the readout moves at
    first, since it starts at 0.
    """
    model = config.model
    if model.name == "mlp":
        layers = wide_networks.mlp_layers(
            n, model.widths, model.initialisation, model.alpha, model.get("biases", True)
        )
        return wide_networks.wide_eigenvalues(n, layers, wide_networks.RELU)
    layers = wide_networks.random_features_layers(n)
    return wide_networks.wide_eigenvalues(n, layers, ACTIVATIONS[model.kind], kind="nngp")


def labeled(
    problem: problems.Problem,
    measured: xr.Dataset,
    learned: np.ndarray,
    predicted: dict[str, np.ndarray],
    not_defined: dict[str, str],
) -> xr.Dataset:
    """Return the predictions of a run; `learned` are the last functions [R, P].

    Predictions do not depend on the seed, and are the same for all replicas.
    """
    count, followed = len(learned), len(problem.monomials)
    values = {
        "predicted_generalization_error": np.full((count, len(THEORIES)), np.nan),
        "predicted_unseen_error": np.full((count, len(THEORIES)), np.nan),
        "predicted_coefficients": np.full((count, len(THEORIES), followed), np.nan),
        "residual": np.full((count, len(THEORIES)), np.nan),
        "not_defined": [not_defined.get(name, "") for name in THEORIES],
    }
    reference = problem.reference
    for i, name in enumerate(THEORIES):
        if name in predicted:
            whole, unseen = errors(reference, predicted[name])
            values["predicted_generalization_error"][:, i] = whole
            values["predicted_unseen_error"][:, i] = unseen
            values["predicted_coefficients"][:, i] = coefficients(problem, predicted[name])
            values["residual"][:, i] = residual(problem, learned, predicted[name])
    # Without the rounding of its spectrum.
    values["predicted_coefficients"][:, 0] = [m["min_degree"] for m in problem.monomials]
    replicas = measured["replica"].to_dataframe(name="name").reset_index(drop=True)
    return results.dataset(
        replicas,
        values,
        MEASURES,
        coordinates={"theory": THEORIES, "monomial": measured["monomial"].values},
        **{name: measured.attrs[name] for name in ("experiment", "run", "task", "model")},
    )


def errors(reference: problems.Reference, predicted: np.ndarray) -> tuple[float, float]:
    """Return the half errors over the cube and over the unseen inputs of a function [2^r]."""
    halves = np.square(predicted - reference.truth) / 2
    unseen = halves[~reference.seen]
    return float(halves.mean()), float(unseen.mean()) if len(unseen) else math.nan


def coefficients(problem: problems.Problem, predicted: np.ndarray) -> np.ndarray:
    """Return the tracked coefficients [M] of a function [2^r]."""
    indices = [cube.index(m["coordinates"], problem.reference.n) for m in problem.monomials]
    return float64.spectrum(predicted)[indices]


def residual(problem: problems.Problem, learned: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return ½E over the unseen test points of (g - prediction)² [R]; learned is [R, P]."""
    if problem.seen.all():
        return np.full(len(learned), np.nan)
    if problem.points is None:
        values = np.repeat(predicted, len(problem.truth) // len(predicted))
    else:
        values = predicted[problem.reference.numbers(problem.points)]
    return np.square(learned - values)[:, ~problem.seen].mean(axis=1) / 2
