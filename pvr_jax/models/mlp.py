"""The multi-layer perceptron of Abbe et al. 2022."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from pvr_jax.models.initialisation import NAMES, dense_initializers


class MLP(nn.Module):
    """n -> widths -> 1 with ReLU between the layers, biases everywhere, no normalisation."""

    widths: tuple[int, ...]
    initialisation: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to the outputs [b]."""
        for width in (*self.widths, 1):
            weights, biases = dense_initializers(self.initialisation, x.shape[-1])
            hidden = nn.Dense(width, kernel_init=weights, bias_init=biases)(x)
            x = nn.relu(hidden)
        return hidden[..., 0]


def mlp(
    n: int, widths: Sequence[int] = (512, 1024, 512, 64), initialisation: str = "pytorch"
) -> nn.Module:
    """Return the MLP n -> 512 -> 1024 -> 512 -> 64 -> 1 (1,089,153 parameters at n = 11).

    Raises:
        ValueError: a width below 1, or an unknown initialisation.
    """
    allowed = "whole numbers of at least 1, such as (512, 1024, 512, 64)"
    if not isinstance(widths, Sequence) or isinstance(widths, str):
        raise ValueError(f"widths: given {widths!r}; allowed {allowed}")
    if any(not isinstance(width, int) or isinstance(width, bool) or width < 1 for width in widths):
        raise ValueError(f"widths: given {tuple(widths)!r}; allowed {allowed}")
    if initialisation not in NAMES:
        raise ValueError(f"initialisation: given {initialisation!r}; allowed {', '.join(NAMES)}")
    return MLP(tuple(widths), initialisation)
