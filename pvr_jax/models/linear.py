"""Linear regression and deep linear networks of Abbe et al. 2022.

Both learn linear functions only; they differ in which function that fits the data they learn.
"""

import flax.linen as nn
import jax

from pvr_jax import checks
from pvr_jax.models.initialization import dense_initializers


class Linear(nn.Module):
    """n -> widths -> 1 without activations, biases everywhere."""

    widths: tuple[int, ...]
    initialisation: str
    alpha: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to the outputs [b]."""
        for width in (*self.widths, 1):
            weights, biases = dense_initializers(self.initialisation, x.shape[-1], self.alpha)
            x = nn.Dense(width, kernel_init=weights, bias_init=biases)(x)
        return x[..., 0]


def linear_regression(n: int, initialisation: str = "pytorch") -> nn.Module:
    """Return w x + b, with n + 1 parameters.

    If training shows x_k = v only, b and v w_k have equal gradients, so SGD, momentum and Adam
    conserve b - v w_k, whatever the batches and step sizes.

    Args:
        n: bits of the input.
        initialisation: "pytorch", w and b uniform in +-n^-1/2; or "zero".

    Raises:
        ValueError: another initialization.

    Source: Abbe et al. 2022.
    """
    return Linear((), checks.one_of("pytorch", "zero").check("initialisation", initialisation))


def deep_linear(n: int, depth: int = 3, width: int = 256, alpha: float = 0.5) -> nn.Module:
    """Return the deep linear network n -> width -> ... -> width -> 1.

    If training shows x_k = v only, SGD, momentum and Adam conserve, in every unit of the first
    layer, the bias minus v times the weight of x_k. With PyTorch's alpha = 1/2 the generalization
    error is close to that of linear regression; with a small initialization (depth 3, width 64,
    alpha = 2.5) it is within 2 % of the influence.

    Args:
        n: bits of the input.
        depth: number of linear layers; 1 is linear regression (the authors' code has 2 or more).
        width: width of all hidden layers.
        alpha: weights and biases are initialized uniformly in +-fan_in^-alpha.

    Raises:
        ValueError: a depth or width that is not a positive integer, or an `alpha` that is
            not a finite number.

    Source: Abbe et al. 2022, the authors' code. The numbers above are our own, from population
    gradient descent on the paper's linear function.
    """
    widths = (checks.size("width", width),) * (checks.size("depth", depth) - 1)
    return Linear(widths, "scaled", checks.finite("alpha", alpha, "finite numbers"))
