"""Linear networks under the canonical holdout: conserved quantities and final errors.

Training shows x_k = v only, so the gradient of the weight w_k is v times that of the bias b, and
b - v w_k never changes, whatever the batches and step sizes (Abbe et al. 2022, linear regression).
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pvr_jax.boolean import cube
from pvr_jax.refusal import Refusal


def conserved_quantity(
    weights: ArrayLike, biases: ArrayLike, bit: int, value: int = 1
) -> jax.Array:
    """Return b - v W_k of a first layer W x + b, which training with x_k = v conserves.

    weights [n, m] and biases [m] of any network's first dense layer (of linear regression m = 1)
    -> [m]. At every input with x_k = v the gradient of W_k is v times that of b, whatever the later
    layers. Holds for SGD, momentum and Adam, without weight decay.

    Raises ValueError for shapes that do not match or a bit that is not in 0..n-1.
    Source: Abbe et al. 2022, linear networks.
    """
    weights, biases = jnp.asarray(weights), jnp.asarray(biases)
    if weights.ndim != 2 or biases.shape != weights.shape[1:]:
        raise Refusal(
            f"weights: given shape {weights.shape} with biases {biases.shape}; allowed [n, m] "
            "and [m]"
        )
    if not 0 <= bit < len(weights):
        raise Refusal(f"bit: given {bit}; allowed 0 to {len(weights) - 1}")
    return biases - value * weights[bit]


def linear_regression_error(
    target: ArrayLike, initial: ArrayLike, bit: int, value: int = 1
) -> jax.Array:
    """Return the exact generalization error of linear regression trained to zero loss.

    ¼ (f^(∅) - v f^({k}) - b⁰ + v w_k⁰)², the half squared error over the whole cube, when
    x_k = v in training. It is not the influence f^({k})², since linear regression cannot
    distinguish the bias from a constant coordinate. Holds for SGD, momentum and Adam, whose updates
    of b and v w_k are equal.

    Args:
        target: coefficients [2^n] of the target, of degree at most 1.
        initial: coefficients [..., 2^n] of the untrained model: b⁰ at ∅, w_k⁰ at {k}.
        bit: the frozen coordinate k.
        value: the value v it is frozen to.

    Returns:
        [...].

    Source: Abbe et al. 2022, theorem on linear regression; v = -1 by symmetry.
    """
    target, initial = jnp.asarray(target), jnp.asarray(initial)
    k = cube.index((bit,), cube.dimension(target, "target"))
    conserved = initial[..., 0] - value * initial[..., k]
    return jnp.square(target[0] - value * target[k] - conserved) / 4
