"""The token Mixer of Abbe et al. 2022: alternating layers over tokens and over channels.

Internally, arrays are [tokens, batch, width] (see `transformer`).
"""

import flax.linen as nn
import jax

from pvr_jax import checks
from pvr_jax.models.initialization import dense_initializers
from pvr_jax.models.transformer import TokenEmbedding, dense, gelu, layer_norm, readout, repeated


@jax.custom_vjp
def over_tokens(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """Return the sums over the tokens: kernel [n, f] and x [n, b, width] to [f, b, width].

    The kernel is on the left of every product, also in the gradients, so the order of axes is
    preserved; JAX's own gradient transposes arrays as large as x.
    """
    return jax.lax.dot_general(kernel, x, (((0,), (0,)), ((), ())))


def _over_tokens_forwards(
    kernel: jax.Array, x: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return over_tokens(kernel, x), (kernel, x)


def _over_tokens_backwards(
    operands: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    kernel, x = operands
    of_kernel = jax.lax.dot_general(x, cotangent, (((1, 2), (1, 2)), ((), ())))
    return of_kernel, jax.lax.dot_general(kernel, cotangent, (((1,), (0,)), ((), ())))


over_tokens.defvjp(_over_tokens_forwards, _over_tokens_backwards)


class TokenDense(nn.Module):
    """A dense layer over the tokens, the same for every channel; PyTorch's initialization."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map the tokens [n, b, width] to [features, b, width]."""
        weights, biases = dense_initializers("pytorch", x.shape[0])
        kernel = self.param("kernel", weights, (x.shape[0], self.features))
        bias = self.param("bias", biases, (self.features,))
        return over_tokens(kernel, x) + bias[:, None, None]


class MixerLayer(nn.Module):
    """Token mixing, then channel mixing, each with pre-normalization and a skip connection."""

    token_expansion: int
    channel_width: int

    @nn.compact
    def __call__(self, x: jax.Array, _: None) -> tuple[jax.Array, None]:
        """Map the tokens [n, b, width] to [n, b, width], in the form that `nn.scan` needs."""
        n, _, width = x.shape
        hidden = layer_norm("token_norm")(x)
        hidden = gelu(TokenDense(self.token_expansion * n, name="token_in")(hidden))
        x = x + TokenDense(n, name="token_out")(hidden)
        hidden = layer_norm("channel_norm")(x)
        hidden = gelu(dense(width, self.channel_width, "channel_in")(hidden))
        return x + dense(self.channel_width, width, "channel_out")(hidden), None


class Mixer(nn.Module):
    """An MLP-Mixer over tokens, whose readout is on their mean.

    `embedding` maps inputs x [b, ...] to tokens [n, b, width]; `outputs` None: a scalar output.
    """

    depth: int
    token_expansion: int
    channel_width: int
    embedding: nn.Module
    outputs: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, ...] to the outputs [b], or [b, outputs]."""
        tokens = self.embedding(x)
        layers = repeated(MixerLayer, self.depth)(self.token_expansion, self.channel_width)
        tokens, _ = layers(tokens, None)
        return readout(layer_norm("head_norm")(tokens).mean(axis=0), self.outputs)


def mixer(
    n: int, width: int = 256, depth: int = 12, token_expansion: int = 4, channel_width: int = 128
) -> nn.Module:
    """Return the token Mixer (816,885 parameters at n = 11); Abbe et al. 2022, the authors' code.

    Bits become tokens (one embedding per value, drawn from N(0, 1), without positions); `depth`
    layers that mix the tokens, n -> token_expansion * n -> n, and then the channels, width ->
    channel_width -> width; layer normalization, the mean over the tokens and a linear map. Linear
    layers start with PyTorch's uniform initialization. The inputs are bits: the output depends on x
    only through the sign of each entry, so x has no gradient.

    Raises:
        ValueError: a size that is not a positive integer.
    """
    sizes = {"depth": depth, "token_expansion": token_expansion, "channel_width": channel_width}
    width = checks.size("width", width)
    return Mixer(**checks.sizes(sizes), embedding=TokenEmbedding(width))
