"""Predictions of theories off the seen set, and distances of learned functions to them."""

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
from pvr_jax import lazy_training, theory
from pvr_jax.boolean import float64
from pvr_jax.experiment import Arrays, Learned, task_of
from pvr_jax.refusal import Refusal
from pvr_jax.theory.empirical_kernel import LARGEST_N


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
        limit = lazy_training.wide_eigenvalues(config, n)
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
    predicted = lazy_training.regression(config, n).function(reference.truth, reference.seen)
    return compared(config, reference, predicted, len(replicas), learned)


def _enumerated(config: ConfigDict) -> Reference:
    """Return the reference; refuse one without a seen set."""
    reference = reference_of(config)
    if reference.seen is None:
        raise Refusal(reference.not_computed)
    return reference


def _check_lazy(config: ConfigDict, what: str) -> None:
    try:
        lazy_training.check(config)
    except Refusal as error:
        raise Refusal(f"{what} does not describe this training: {error}") from error


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
