"""Predictions of theories off the seen set, and distances of learned functions to them."""

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from experiments.unseen_domain.reference import (
    Points,
    Reference,
    points_of,
    reference_of,
    tracked_monomials,
)
from pvr_jax import theory
from pvr_jax.boolean import float64
from pvr_jax.experiment import Arrays, Learned, is_plain_training, model_of, task_of
from pvr_jax.refusal import Refusal
from pvr_jax.theory import kernel_features, wide_networks
from pvr_jax.theory.empirical_kernel import LARGEST_N

INITIALIZATIONS = 4  # over which the empirical kernel is averaged
ACTIVATIONS = {"relu": wide_networks.RELU, "polynomial": wide_networks.POLYNOMIAL}


def min_degree(config: ConfigDict, replicas: pd.DataFrame, learned: Learned) -> Arrays:
    """Return the predictions of the min-degree interpolator, for R replicas.

    Raises:
        Refusal: the interpolator is too large a problem.
    """
    reference = reference_of(config)
    if reference.seen is None:
        points = points_of(config, reference)
        if np.isfinite(points.interpolator).all():
            return _compared_at(points, len(replicas), learned)
    reference = _enumerated(config)
    if reference.not_computed:
        given = reference.not_computed.partition("given ")[2].replace("; allowed", ", and for now")
        raise Refusal(f"too large a problem: {given}")
    found = compared(config, reference, reference.interpolator, len(replicas), learned)
    # Without rounding of its spectrum.
    followed = tracked_monomials(reference, config.evaluation.monomials)
    return found | {"predicted_coefficients": np.tile(followed.min_degree, (len(replicas), 1))}


def wide_ntk(config: ConfigDict, replicas: pd.DataFrame, learned: Learned) -> Arrays:
    """Return the predictions of regression with the infinite-width kernel, for R replicas.

    Raises:
        Refusal: the kernel, or regression with it, is not known.
    """
    model, n = config.model.name, task_of(config).n
    if model not in ("mlp", "random_features"):
        raise Refusal(
            "the limit of infinite width is known here for the MLP and for random features, not "
            f"for the model {model}"
        )
    _check_lazy(config, "the limit of infinite width")
    try:
        limit = kernel_limit(config, n)
    except Refusal as error:
        raise Refusal(_why_not(str(error), n)) from error
    reference = _enumerated(config)
    if reference.other_share < 1:
        raise Refusal(
            "regression is computed where target and seen set depend on few coordinates, all parts "
            "of the seen set together"
        )
    limit = limit[: reference.n + 1]
    if np.isnan(limit).any():
        raise Refusal(
            f"its kernel is known at n = {n} for degrees below {np.isnan(limit).argmax()} alone"
        )
    try:
        predicted = theory.kernel_interpolator(limit, reference.truth, reference.seen)
    except (Refusal, np.linalg.LinAlgError) as error:
        raise Refusal(_why_not(str(error), n)) from error
    return compared(config, reference, predicted, len(replicas), learned)


def empirical_ntk(config: ConfigDict, replicas: pd.DataFrame, learned: Learned) -> Arrays:
    """Return the predictions of regression with the empirical kernel, for R replicas.

    The kernel is the mean over a few initializations, averaged over the cube's symmetries.

    Raises:
        Refusal: the cube is not small, not all coordinates are evaluated, or regression with the
            kernel is not known.
    """
    _check_lazy(config, "the kernel of the network itself")
    n = task_of(config).n
    if n > LARGEST_N:
        raise Refusal(
            f"the kernel of the network itself is not computed for n = {n}; it is for n up to "
            f"{LARGEST_N}"
        )
    reference = reference_of(config)
    if reference.n < n:
        raise Refusal(
            "the kernel of the network itself is computed where evaluation.relevant is 0, all "
            "coordinates"
        )
    network = model_of(config, n)
    own = (network.init, network.apply, n)
    keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(INITIALIZATIONS)]
    with jax.default_matmul_precision("highest"):
        if kernel_features.fits(network.init, n):
            roots = [theory.symmetric_kernel(*own, key) for key in keys]
            predicted = theory.symmetric_interpolator(roots, reference.truth, reference.seen)
        else:
            kernel = theory.mean_empirical_kernel(*own, keys, symmetrize=True)
            predicted = theory.kernel_interpolator(kernel, reference.truth, reference.seen)
    return compared(config, reference, predicted, len(replicas), learned)


def _enumerated(config: ConfigDict) -> Reference:
    """Return the reference; refuse one without a seen set."""
    reference = reference_of(config)
    if reference.seen is None:
        raise Refusal(reference.not_computed)
    return reference


def _check_lazy(config: ConfigDict, what: str) -> None:
    is_plain, why = is_plain_training(config)
    if not is_plain:
        raise Refusal(f"{what} does not describe this training: {why}")
    if any(scale != 1 for scale in config.train.init_scales):
        raise Refusal(f"{what} is that of an initialization that is not scaled")


def _why_not(refusal: str, n: int) -> str:
    """Explain in words why regression with a kernel was refused."""
    field, _, rest = refusal.partition(": given ")
    if field == "n":
        return (
            f"its kernel is not computed for n = {n}; it is for n {rest.partition('allowed ')[2]}"
        )
    if field == "seen":
        return f"its regression is too large: {rest.replace('; allowed', ', and at most')} can be"
    return "no function of its kernel takes the values of the target on the seen inputs"


def kernel_limit(config: ConfigDict, n: int) -> np.ndarray:
    """Return the eigenvalues [n + 1] of the infinite-width kernel of a network.

    The tangent kernel of the MLP; for random features the kernel of the readout, which moves first,
    since it starts at 0.
    """
    model = config.model
    if model.name == "mlp":
        layers = wide_networks.mlp_layers(
            n, model.widths, model.initialisation, model.alpha, model.get("biases", True)
        )
        return wide_networks.wide_eigenvalues(n, layers, wide_networks.RELU)
    layers = wide_networks.random_features_layers(n)
    return wide_networks.wide_eigenvalues(n, layers, ACTIVATIONS[model.kind], kind="nngp")


def compared(
    config: ConfigDict, reference: Reference, predicted: np.ndarray, count: int, learned: Learned
) -> Arrays:
    """Return errors and coefficients of a predicted function [2^r], and residuals of replicas.

    All are [R = `count`, ...]; predictions do not depend on the seed.
    """
    points = points_of(config, reference)
    followed = tracked_monomials(reference, config.evaluation.monomials)
    halves = np.square(predicted - reference.truth) / 2
    is_unseen, at_points = ~points.seen, predicted[points.indices]
    return {
        "predicted_generalization_error": np.full(count, halves.mean()),
        "predicted_unseen_error": np.full(count, reference.mean_unseen(halves)),
        "predicted_coefficients": np.tile(
            float64.spectrum(predicted)[followed.indices], (count, 1)
        ),
        "residual": np.array(
            [_mean(np.square(values - at_points)[is_unseen]) / 2 for values in learned()]
        ),
    }


def _compared_at(points: Points, count: int, learned: Learned) -> Arrays:
    """Return errors of the interpolator at sampled points, and residuals, as `compared`."""
    halves = np.square(points.interpolator - points.truth) / 2
    whole, unseen = halves[: points.uniform], ~points.seen
    off = [np.square(values - points.interpolator)[unseen] for values in learned()]
    return {
        "predicted_generalization_error": np.full(count, whole.mean()),
        "predicted_unseen_error": np.full(count, _mean(halves[unseen])),
        "residual": np.array([_mean(own) / 2 for own in off]),
    }


def _mean(values: np.ndarray) -> float:
    return values.mean() if len(values) else np.nan
