"""What lazy training learns: regression with the tangent kernel of a configured network.

Near its initialization a network is linear in its parameters, so training it on the square loss is
regression with this kernel. At infinite width it is known; of the network itself it is computed.
"""

import json
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from pvr_jax import models, theory
from pvr_jax.experiment import is_plain_training
from pvr_jax.refusal import Refusal
from pvr_jax.theory import kernel_features, wide_networks
from pvr_jax.training.environment import machine_bytes

INITIALIZATIONS = 4  # over which the kernel of a network is averaged
# Kernels of different networks that stay in memory, shared by the targets of a study.
MAX_KERNELS = 4
# The gradients of a large network at two blocks of points take this share each of the memory of the
# device that computes them.
MEMORY_SHARE = 1 / 6
ACTIVATIONS = {"relu": wide_networks.RELU, "polynomial": wide_networks.POLYNOMIAL}

# Maps the target's values [2^n], read where seen bool [2^n], to predicted values [2^n].
Function = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Regression(NamedTuple):
    """Regression with a kernel.

    `without_one` are its versions without one of the initializations; their spread gives the
    standard error of `function`.
    """

    function: Function
    without_one: tuple[Function, ...]


def check(config: ConfigDict) -> None:
    """Refuse training that kernels do not describe, scaled initializations among it."""
    is_plain, why = is_plain_training(config)
    if not is_plain:
        raise Refusal(why)
    if any(scale != 1 for scale in config.train.init_scales):
        raise Refusal(
            f"init_scales: given {', '.join(f'{s:g}' for s in config.train.init_scales)}; allowed 1"
        )


def wide_eigenvalues(config: ConfigDict, n: int) -> np.ndarray:
    """Return the eigenvalues by degree [n + 1] of the kernel of a network of infinite width.

    The tangent kernel of an MLP; of random features the kernel of the readout, which moves first,
    since it starts at 0.

    Raises:
        Refusal: another model, or an MLP under maximal update, which is not lazy at any width.
    """
    parameters = config.model.to_dict()
    if (model := parameters.pop("name")) not in ("mlp", "random_features"):
        raise Refusal(f"model: given {model}; allowed mlp, random_features")
    if model == "random_features":
        layers = wide_networks.random_features_layers(n)
        return wide_networks.wide_eigenvalues(n, layers, ACTIVATIONS[config.model.kind], "nngp")
    layers = wide_networks.mlp_layers(n, **parameters)
    return wide_networks.wide_eigenvalues(n, layers, wide_networks.RELU)


def regression(config: ConfigDict, n: int) -> Regression:
    """Return regression with the mean tangent kernel of a network at its initialization.

    The mean is over a few initializations, permutations of the coordinates and x -> -x.

    Raises:
        Refusal: the cube is too large.
    """
    model = json.dumps(config.model.to_dict(), sort_keys=True)
    return _regression(model, n, config.train.dtype)


@lru_cache(maxsize=MAX_KERNELS)
def _regression(model: str, n: int, dtype: str) -> Regression:
    """Return regression with the mean of kernels, one per initialization.

    `model` has its parameters as JSON; `dtype` is the current one of JAX, for the cache. Kernels of
    small networks are factorized, since those of Transformers fall below rounding otherwise; the
    gradients of large networks do not fit into memory.
    """
    network = models.build(n=n, **json.loads(model))
    keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(INITIALIZATIONS)]
    own = network.init, network.apply, n
    fits = kernel_features.fits(network.init, n)
    with jax.default_matmul_precision("highest"):
        if fits:
            kernels = [theory.symmetric_kernel(*own, key) for key in keys]
            regress = theory.symmetric_interpolator
            # Rounding, checked for all of them, is far below the differences between
            # initializations.
            regress_with_fewer = partial(regress, check_rounding=False)
        else:
            kernel_of = partial(
                theory.mean_empirical_kernel,
                *own,
                symmetrize=True,
                block_bytes=_block_bytes(),
            )
            kernels = [kernel_of(keys=[key]) for key in keys]
            regress = regress_with_fewer = theory.kernel_interpolator
    fewer = [kernels[:i] + kernels[i + 1 :] for i in range(len(kernels))]
    if not fits:
        kernels, *fewer = (np.mean(some, axis=0) for some in (kernels, *fewer))
    return Regression(
        partial(regress, kernels), tuple(partial(regress_with_fewer, some) for some in fewer)
    )


def _block_bytes() -> int:
    """Return how many bytes the gradients at a block of points may take."""
    of_device = jax.local_devices()[0].memory_stats() or {}  # a CPU has none
    return int(MEMORY_SHARE * of_device.get("bytes_limit", machine_bytes()))
