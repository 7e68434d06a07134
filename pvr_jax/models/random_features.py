"""The random features models of Abbe et al. 2023: a linear readout of a random layer."""

import flax.linen as nn
import jax

from pvr_jax import checks
from pvr_jax.models.initialization import normal

KINDS = ("relu", "polynomial")
SCALES = ("none", "inverse_sqrt")
DEGREE = 6
# As in the authors' code: keeps the sixth power at order 1.
POLYNOMIAL_DIVISOR = 1000


def relu(x: jax.Array) -> jax.Array:
    """Return max(x, 0)."""
    return nn.relu(x)


def polynomial(x: jax.Array) -> jax.Array:
    """Return (1 + x)^6 / 1000."""
    return (1 + x) ** DEGREE / POLYNOMIAL_DIVISOR


class RandomLayer(nn.Module):
    """W x + b with W and b drawn from N(0, 1/n); they have gradients only if `trainable`."""

    features: int
    trainable: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to [b, features]."""
        n = x.shape[-1]
        initializer = normal(n**-0.5)
        kernel = self.param("kernel", initializer, (n, self.features))
        bias = self.param("bias", initializer, (self.features,))
        if not self.trainable:
            # Stop the gradient of the parameters, not of the features: x keeps its gradient.
            kernel, bias = jax.lax.stop_gradient((kernel, bias))
        return x @ kernel + bias[None, :]


class RandomFeatures(nn.Module):
    """A readout without bias, initially zero, of the activations of a random layer."""

    features: int
    kind: str
    trainable: bool
    scale: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to the outputs [b]."""
        activation = {"relu": relu, "polynomial": polynomial}[self.kind]
        hidden = activation(RandomLayer(self.features, self.trainable, name="random_layer")(x))
        readout = nn.Dense(1, False, kernel_init=nn.initializers.zeros, name="readout")
        outputs = readout(hidden)[..., 0]
        return outputs * self.features**-0.5 if self.scale == "inverse_sqrt" else outputs


def random_features(
    n: int,
    features: int = 8192,
    kind: str = "relu",
    trainable: bool = False,
    scale: str = "none",
) -> nn.Module:
    """Return sum_i a_i phi(w_i x + b_i) with w_i, b_i from N(0, 1/n) and initially a_i = 0.

    The random layer is part of the parameters, and of checkpoints, but has no gradient: SGD and
    Adam leave it unchanged, bit for bit.

    Args:
        n: bits of the input.
        features: number N of features.
        kind: "relu", phi(h) = max(h, 0); or "polynomial", phi(h) = (1 + h)^6 / 1000.
        trainable: whether to train the random layer too, as the authors' code does: it tries to
            freeze the layer by a misspelt attribute, without effect.
        scale: "none", as in the authors' code; or "inverse_sqrt", which divides outputs by sqrt(N),
            so that learning rates transfer between N.

    Raises:
        ValueError: a value out of range.

    Source: Abbe et al. 2023 (generalization on the unseen), the authors' code.
    """
    return RandomFeatures(
        checks.size("features", features),
        checks.one_of(*KINDS).check("kind", kind),
        checks.one_of(False, True).check("trainable", trainable),
        checks.one_of(*SCALES).check("scale", scale),
    )
