"""The two-layer network in mean-field scaling of Abbe et al. 2023."""

import flax.linen as nn
import jax

from pvr_jax.models.checks import real_number, whole_number
from pvr_jax.models.initialisation import dense_initializers


class MeanField(nn.Module):
    """n -> width -> 1 with ReLU, the output divided by the width."""

    width: int
    alpha: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to the outputs [b]."""
        weights, biases = dense_initializers("pytorch", x.shape[-1])
        hidden = nn.relu(nn.Dense(self.width, kernel_init=weights, bias_init=biases)(x))
        weights, biases = dense_initializers("scaled", self.width, self.alpha)
        return nn.Dense(1, kernel_init=weights, bias_init=biases)(hidden)[..., 0] / self.width


def mean_field(n: int, width: int = 65536, alpha: float = 0.0) -> nn.Module:
    """Return (sum_i a_i relu(w_i x + b_i) + c) / width.

    w_i and b_i start uniform in +-n^-1/2, a_i and c in +-width^-alpha. Each unit's gradient is
    about 1/width of what it is without the division, so the learning rate grows with the width:
    the authors train with SGD without momentum at 1,000.

    Args:
        n: bits of the input.
        width: number of hidden units.
        alpha: exponent of the output layer's start.

    Raises:
        ValueError: a width that is not a whole number of at least 1, or an `alpha` that is not a
            finite number.

    Source: Abbe et al. 2023 (generalization on the unseen), the authors' code.
    """
    return MeanField(whole_number("width", width, 1), real_number("alpha", alpha))
