"""The multi-layer perceptron of Abbe et al. 2022."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from pvr_jax import checks
from pvr_jax.models.initialization import NAMES, dense_parametrization
from pvr_jax.refusal import Refusal

PAPER_WIDTHS = (512, 1024, 512, 64)
PYTORCH_ALPHA = 0.5


class MLP(nn.Module):
    """n -> widths -> outputs with ReLU between the layers, no normalization.

    `outputs` None: a scalar output.
    """

    widths: tuple[int, ...]
    initialisation: str
    alpha: float
    biases: bool = True
    outputs: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to the outputs [b], or [b, outputs]."""
        for index, width in enumerate((*self.widths, self.outputs or 1)):
            dense = dense_parametrization(
                self.initialisation,
                x.shape[-1],
                width,
                last=index == len(self.widths),
                alpha=self.alpha,
            )
            layer = nn.Dense(width, self.biases, kernel_init=dense.weights, bias_init=dense.biases)
            # Apply both multipliers without changing the parameters; they are 1 in plain layers.
            inputs = dense.weight_multiplier / dense.bias_multiplier * x
            hidden = dense.bias_multiplier * layer(inputs)
            x = nn.relu(hidden)
        return hidden[..., 0] if self.outputs is None else hidden


def mlp(
    n: int,
    widths: Sequence[int] = PAPER_WIDTHS,
    initialisation: str = "pytorch",
    alpha: float = PYTORCH_ALPHA,
    biases: bool = True,
) -> nn.Module:
    """Return the MLP n -> 512 -> 1024 -> 512 -> 64 -> 1 (1,089,153 parameters at n = 11).

    Args:
        n: bits of the input.
        widths: widths of the hidden layers, any number of them.
        initialisation: "pytorch", the authors'; "scaled", uniform in +-fan_in^-alpha; "lecun",
            Flax's; "ntk", "mup" (learning rates of SGD), "mup_adam" (of Adam): parametrizations,
            see `initialization.dense_parametrization`.
        alpha: exponent of "scaled" (2 in the authors' code of 2023, which does not use it).
        biases: whether layers have biases. Without them, a network with one hidden layer is a
            linear plus an even function: it has no monomials of odd degree from 3 on.

    With "mup" and "mup_adam" the learning rate transfers between widths, but not from "pytorch":
    Adam moves an effective weight by 1/fan_in of the learning rate. The gradients of "mup_adam"
    between hidden layers are of order 1/width^2, and Adam's eps of 1e-8 more than halves the steps
    of gradients below it: 3 % of them at width 256, 7 % at 512, 20 % at 1,024, half at 2,048, 85 %
    at 4,096 and all but 0.5 % at 8,192 (at initialization, two equal hidden layers, pvr_majority,
    one batch of 64). So its learning rate transfers only between widths up to about 1,000.

    Raises:
        ValueError: a width below 1, an unknown initialization, an `alpha` that is not finite, or
            that is set but not used.

    Source: Abbe et al. 2022, the authors' code.
    """
    widths = checks.shape("widths", widths, PAPER_WIDTHS)
    checks.one_of(*NAMES).check("initialisation", initialisation)
    alpha = checks.finite("alpha", alpha, "finite numbers")
    if initialisation != "scaled" and alpha != PYTORCH_ALPHA:
        raise Refusal(
            f"alpha: given {alpha!r}; allowed {PYTORCH_ALPHA} unless initialisation is scaled"
        )
    return MLP(widths, initialisation, alpha, checks.one_of(True, False).check("biases", biases))
