"""Initialization and parametrization of dense layers; the results depend on both."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pvr_jax import checks

Initializer = Callable[..., jax.Array]

# Parameters are drawn in this dtype whatever the dtype of training: float64 uses other random bits
# and would give another network.
DRAWN = jnp.float32

NAMES = ("pytorch", "lecun", "scaled", "ntk", "mup", "mup_adam")

# Standard deviation of the biases in the NTK parametrization.
NTK_BIAS_SCALE = 0.1


class DenseParametrization(NamedTuple):
    """A dense layer y = weight_multiplier W x + bias_multiplier b: initializers, multipliers."""

    weights: Initializer
    biases: Initializer
    weight_multiplier: float = 1.0
    bias_multiplier: float = 1.0


def uniform_fan_in(fan_in: int, alpha: float = 0.5) -> Initializer:
    """Return an initializer that draws U(-fan_in^-alpha, +fan_in^-alpha).

    With alpha = 1/2 this is PyTorch's default for the weights AND the biases of a linear layer
    (`kaiming_uniform_` with a = sqrt(5)), which the networks of Abbe et al. 2022 use.
    """
    bound = fan_in**-alpha

    def initializer(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = DRAWN) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)

    return initializer


def normal(deviation: float) -> Initializer:
    """Return an initializer that draws from N(0, deviation^2)."""
    return jax.nn.initializers.normal(deviation, DRAWN)


def dense_initializers(
    name: str, fan_in: int, alpha: float = 0.5
) -> tuple[Initializer, Initializer]:
    """Return the initializers of (weights, biases) of a dense layer with `fan_in` inputs.

    "pytorch": both uniform in +-fan_in^-1/2, as in the authors' code. "scaled": both uniform in
    +-fan_in^-alpha. "lecun": Flax's default, truncated normal of variance 1/fan_in, biases zero.
    "zero": both zero.

    Raises:
        ValueError: another name.
    """
    zeros = jax.nn.initializers.zeros
    initializers = {
        "pytorch": (uniform_fan_in(fan_in), uniform_fan_in(fan_in)),
        "lecun": (jax.nn.initializers.lecun_normal(dtype=DRAWN), zeros),
        "scaled": (uniform_fan_in(fan_in, alpha), uniform_fan_in(fan_in, alpha)),
        "zero": (zeros, zeros),
    }
    return initializers[checks.one_of(*initializers).check("initialisation", name)]


def dense_parametrization(
    name: str, fan_in: int, fan_out: int, *, last: bool = False, alpha: float = 0.5
) -> DenseParametrization:
    """Return the parametrization of a dense layer fan_in -> fan_out; `last` is the readout.

    "pytorch", "lecun" and "scaled" (the only one with `alpha`): see `dense_initializers`; plain
    layers, both multipliers 1. The others have multipliers, and parameters drawn from normal
    distributions of mean 0:

    "ntk": W and b of variance 1, y = W x / sqrt(fan_in) + NTK_BIAS_SCALE b. The tangent kernel and
    the variance of the outputs at initialization converge as widths grow (Jacot et al. 2018).

    "mup" and "mup_adam": maximal update (Yang & Hu 2021). At a given learning rate of SGD ("mup")
    or Adam ("mup_adam", up to Adam's eps; see `mlp.mlp`), the output of every layer, and of the
    network, moves by the same amount at every width. The effective weights have variance 1/fan_in,
    in the last layer 1/fan_in^2, and biases are 0.

    In powers of one common width N, y = N^-a W x with W of variance N^-2b: "mup" has (a, b) =
    (-1/2, 1/2) in the first layer, (0, 1/2) in hidden layers, (1/2, 1/2) in the last; "mup_adam"
    (0, 0), (1, -1/2) and (1, 0).

    Raises:
        ValueError: another name.
    """
    zeros = jax.nn.initializers.zeros
    checks.one_of(*NAMES).check("initialisation", name)
    if name == "ntk":
        return DenseParametrization(normal(1.0), normal(1.0), fan_in**-0.5, NTK_BIAS_SCALE)
    if name in ("mup", "mup_adam"):
        # At learning rate 1 an effective weight m W moves by m^2 times its gradient under SGD and
        # by m under Adam. Each of the fan_out outputs should move by order 1. Its gradient is of
        # order 1/fan_out, and the fan_in inputs, of order 1, add up: m^2 fan_in / fan_out = 1 for
        # SGD and m fan_in = 1 for Adam. A bias is a weight with fan_in = 1.
        multiplier = (fan_out / fan_in) ** 0.5 if name == "mup" else 1 / fan_in
        deviation = 1 / fan_in if last else fan_in**-0.5
        return DenseParametrization(
            normal(deviation / multiplier),
            zeros,
            multiplier,
            fan_out**0.5 if name == "mup" else 1.0,
        )
    return DenseParametrization(*dense_initializers(name, fan_in, alpha))
