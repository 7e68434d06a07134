"""The two-layer network in mean-field scaling of Abbe et al. 2023."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from pvr_jax import checks
from pvr_jax.models.initialization import dense_initializers


class WideLayer(nn.Module):
    """A dense layer with PyTorch's initialization, with the bias as a row of the kernel.

    With n inputs and tens of thousands of outputs, adding the bias and summing its gradient take
    longer than a product with n + 1 rows.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to [b, features]."""
        weights, biases = dense_initializers("pytorch", x.shape[-1])
        kernel = self.param("kernel", weights, (x.shape[-1], self.features))
        bias = self.param("bias", biases, (self.features,))
        ones = jnp.ones((*x.shape[:-1], 1), x.dtype)
        return jnp.concatenate([x, ones], -1) @ jnp.concatenate([kernel, bias[None]])


class MeanField(nn.Module):
    """n -> width -> 1 with ReLU, the output divided by the width."""

    width: int
    alpha: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to the outputs [b]."""
        hidden = nn.relu(WideLayer(self.width, name="Dense_0")(x))
        weights, biases = dense_initializers("scaled", self.width, self.alpha)
        readout = nn.Dense(1, kernel_init=weights, bias_init=biases, name="Dense_1")
        return readout(hidden)[..., 0] / self.width


def mean_field(n: int, width: int = 65536, alpha: float = 0.0) -> nn.Module:
    """Return (sum_i a_i relu(w_i x + b_i) + c) / width.

    w_i and b_i are initialized uniformly in +-n^-1/2, a_i and c in +-width^-alpha. The division
    scales gradients by 1/width, so learning rates are proportional to the width: the authors use
    SGD without momentum at 1,000.

    Args:
        n: bits of the input.
        width: number of hidden units.
        alpha: exponent of the output layer's initialization.

    Raises:
        ValueError: a width that is not a positive integer, or an `alpha` that is not a
            finite number.

    Source: Abbe et al. 2023 (generalization on the unseen), the authors' code.
    """
    return MeanField(checks.size("width", width), checks.finite("alpha", alpha, "finite numbers"))
