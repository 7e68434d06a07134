"""Initialisers, explicit, because the authors' results depend on them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Initializer = Callable[..., jax.Array]

NAMES = ("pytorch", "lecun")


def uniform_fan_in(fan_in: int) -> Initializer:
    """Return an initialiser that draws U(-1/sqrt(fan_in), +1/sqrt(fan_in)).

    This is PyTorch's default for the weights AND the biases of a linear layer
    (`kaiming_uniform_` with a = sqrt(5)), which the networks of Abbe et al. 2022 use.
    """
    bound = fan_in**-0.5

    def initializer(
        key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32
    ) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)

    return initializer


def dense_initializers(name: str, fan_in: int) -> tuple[Initializer, Initializer]:
    """Return the initialisers of (weights, biases) of a dense layer with `fan_in` inputs.

    "pytorch": both uniform in +-1/sqrt(fan_in), as in the authors' code. "lecun": Flax's default,
    truncated normal of variance 1/fan_in, biases zero.

    Raises:
        ValueError: another name.
    """
    if name == "pytorch":
        return uniform_fan_in(fan_in), uniform_fan_in(fan_in)
    if name == "lecun":
        return jax.nn.initializers.lecun_normal(), jax.nn.initializers.zeros
    raise ValueError(f"initialisation: given {name!r}; allowed {', '.join(NAMES)}")
