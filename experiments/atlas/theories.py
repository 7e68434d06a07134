"""Theories of the learned unseen half: functions from seen values to learned functions."""

import math
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from pvr_jax import lazy_training, theory
from pvr_jax.analysis import canonical
from pvr_jax.boolean import classes, float64
from pvr_jax.experiment import Arrays, Learned
from pvr_jax.lazy_training import Function
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure

_OF_THEORY = {"kind": "prediction", "dims": ("theory",)}
PREDICTIONS = {
    "predicted_share": Measure(
        "predicted share",
        "The share that a theory predicts. Interpolator: the min-degree interpolator, which does "
        "not use the frozen bit. Wide NTK: regression with the tangent kernel of the network at "
        "infinite width. Empirical NTK: the same with the network's own tangent kernel at "
        f"initialization, a mean over {lazy_training.INITIALIZATIONS} initializations, "
        "permutations of the bits and x → −x. Noise kernel: regression with Π(1 + ρ xᵢxᵢ'), ρ "
        "fitted to all replicas of the run.",
        **_OF_THEORY,
    ),
    "predicted_share_by_degree": Measure(
        "predicted share by degree",
        "The predicted share over the monomials T of one degree.",
        kind="prediction",
        dims=("theory", "degree"),
    ),
    "predicted_error_without_influence": Measure(
        "predicted error without influence",
        "The error that a theory predicts for the function that does not use the frozen bit.",
        units="half squared error",
        bounds=(0, math.inf),
        **_OF_THEORY,
    ),
    "residual": Measure(
        "residual",
        "½ E(u − h)², u the learned unseen half and h the one that a theory predicts.",
        units="half squared error",
        domain="unseen half",
        bounds=(0, math.inf),
        dims=("theory",),
    ),
}


def interpolator(config: ConfigDict, projection: float) -> Function:
    """Return the min-degree interpolator."""
    return theory.min_degree_interpolator


def wide_ntk(config: ConfigDict, projection: float) -> Function:
    """Return regression with the tangent kernel of a run's network at infinite width.

    Raises:
        Refusal: the network is not an MLP.
    """
    lazy_training.check(config)
    if config.model.name != "mlp":
        raise Refusal(f"model: given {config.model.name}; allowed mlp")
    eigenvalues = lazy_training.wide_eigenvalues(config, config.task.n)
    return partial(theory.kernel_interpolator, eigenvalues)


def empirical_ntk(config: ConfigDict, projection: float) -> Function:
    """Return regression with the mean tangent kernel of a run's network at initialization."""
    lazy_training.check(config)
    return lazy_training.regression(config, config.task.n).function


def noise_kernel(config: ConfigDict, projection: float) -> Function:
    """Return regression with the noise kernel that explains the mean projection of all replicas."""
    rho = min(max((1 - projection) / (1 + projection), 0.0), 1.0)
    return partial(theory.noise_kernel_interpolator, rho=rho)


THEORIES = {
    "interpolator": interpolator,
    "wide NTK": wide_ntk,
    "empirical NTK": empirical_ntk,
    "noise kernel": noise_kernel,
}


def predicted(
    make: Callable[[ConfigDict, float], Function],
    seen_halves: Callable[[ConfigDict, pd.DataFrame], np.ndarray],
    config: ConfigDict,
    replicas: pd.DataFrame,
    learned: Learned,
) -> Arrays:
    """Return the shares that a theory predicts for every replica, and how far it is from each."""
    n = config.task.n
    unseen = np.array([outputs[::2] for outputs in learned()])
    halves, seen = seen_halves(config, replicas), np.arange(2**n) % 2 == 1
    weights, known = replicas["functions"].to_numpy(float), np.isfinite(unseen).all(axis=1)
    projections = np.mean(unseen * classes.values_of(halves, n - 1), axis=1)
    function = make(config, np.average(projections[known], weights=weights[known]))
    different, of = np.unique(halves, return_inverse=True)
    targets = np.repeat(classes.values_of(different, n - 1), 2, axis=1)
    found = np.array([function(target, seen) for target in targets])
    without = np.mean((found - targets) ** 2, axis=1) / 2
    with float64.exact():
        share = jax.vmap(partial(canonical.low_degree_share, seen=seen))
        shares = {name: np.asarray(own) for name, own in share(found, targets).items()}
    return {
        "predicted_share": shares["share"][of],
        "predicted_share_by_degree": shares["share_by_degree"][of],
        "predicted_error_without_influence": without[of],
        # Networks are float32, and so is what is kept of them.
        "residual": (np.mean((unseen - found[of, ::2]) ** 2, axis=1) / 2).astype(np.float32),
    }
