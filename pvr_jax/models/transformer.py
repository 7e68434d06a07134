"""The token Transformer of Abbe et al. 2022, and parts shared with the Mixer.

Internally, arrays are [tokens, batch, width]: with tokens first, layers over channels and layers
over tokens are both single matrix products without transpositions.
"""

import math
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from pvr_jax import checks
from pvr_jax.models.initialization import dense_initializers, normal

# As in the authors' code: PyTorch's value, ten times Flax's.
LAYER_NORM_EPSILON = 1e-5
REPEATED = "layers"  # the name of repeated layers


@jax.custom_vjp
def gelu(x: jax.Array) -> jax.Array:
    """Return x Φ(x), Φ the standard normal distribution function (the exact form)."""
    return x * _normal_distribution(x)


def _normal_distribution(x: jax.Array) -> jax.Array:
    # `jax.nn.gelu` uses erfc, which costs more and differs by rounding only.
    return 0.5 + 0.5 * jax.lax.erf(x * 0.5**0.5)


def _gelu_forwards(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return gelu(x), x


def _gelu_backwards(x: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    # Recomputed from x: JAX would store three arrays of the size of x per layer, which cost more to
    # write and read than to compute again.
    density = jnp.exp(-0.5 * jnp.square(x)) * (0.5 / math.pi) ** 0.5
    return (cotangent * (_normal_distribution(x) + x * density),)


gelu.defvjp(_gelu_forwards, _gelu_backwards)


def repeated(layer: type[nn.Module], depth: int) -> Callable[..., nn.Module]:
    """Stack `depth` layers as one module, constructed like `layer` and named REPEATED.

    One layer is traced, whatever the depth, so compile time does not grow. For the gradient, only
    the results of matrix products are stored; recomputing the rest, in cache, takes less time and
    memory.
    """
    kept = nn.remat(layer, prevent_cse=False, policy=jax.checkpoint_policies.dots_saveable)
    # "intermediates" exist only when they are captured.
    axes = {"params": 0, "intermediates": 0}
    layers = nn.scan(kept, variable_axes=axes, split_rngs={"params": True}, length=depth)
    return partial(layers, name=REPEATED)


def layer_norm(name: str) -> nn.Module:
    """Return a layer normalization with scale and bias, as PyTorch computes it."""
    return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, use_fast_variance=False, name=name)


def dense(fan_in: int, features: int, name: str, use_bias: bool = True) -> nn.Module:
    """Return a dense layer [..., fan_in] -> [..., features] with PyTorch's initialization."""
    weights, biases = dense_initializers("pytorch", fan_in)
    return nn.Dense(features, use_bias, kernel_init=weights, bias_init=biases, name=name)


def readout(x: jax.Array, outputs: int | None) -> jax.Array:
    """Map x [b, width] by the dense layer "head" to [b, outputs]; to [b] if outputs is None."""
    found = dense(x.shape[-1], outputs or 1, "head")(x)
    return found[:, 0] if outputs is None else found


class TokenEmbedding(nn.Module):
    """One vector for each of the two values of a bit, drawn from N(0, 1)."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] in {-1, +1} to the tokens [n, b, width]."""
        rows = self.param("rows", normal(1.0), (2, self.width))
        # Selecting one of two rows needs no gather; its gradient is a sum, not a scatter.
        return jnp.where(x.T[:, :, None] > 0, rows[1], rows[0])


class Attention(nn.Module):
    """Softmax attention over all tokens; queries, keys and values have no bias."""

    heads: int
    head_width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map the tokens [t, b, width] to [t, b, width]."""
        width, inner = x.shape[-1], self.heads * self.head_width
        projected = dense(width, 3 * inner, "queries_keys_values", use_bias=False)(x)
        split = projected.reshape(*x.shape[:2], 3, self.heads, self.head_width)
        queries, keys, values = (split[:, :, part] for part in range(3))
        scores = jnp.einsum("tbhd,sbhd->bhts", queries, keys) * self.head_width**-0.5
        mixed = jnp.einsum("bhts,sbhd->tbhd", nn.softmax(scores, axis=-1), values)
        return dense(inner, width, "output")(mixed.reshape(*x.shape[:2], inner))


class TransformerLayer(nn.Module):
    """Attention, then a feed-forward network, each with pre-normalization and a skip connection."""

    heads: int
    head_width: int
    feed_forward_width: int

    @nn.compact
    def __call__(self, x: jax.Array, _: None) -> tuple[jax.Array, None]:
        """Map the tokens [t, b, width] to [t, b, width], in the form that `nn.scan` needs."""
        width = x.shape[-1]
        attention = Attention(self.heads, self.head_width, name="attention")
        x = x + attention(layer_norm("attention_norm")(x))
        hidden = layer_norm("feed_forward_norm")(x)
        hidden = gelu(dense(width, self.feed_forward_width, "feed_forward_in")(hidden))
        return x + dense(self.feed_forward_width, width, "feed_forward_out")(hidden), None


class Transformer(nn.Module):
    """A Transformer over tokens, whose readout is on an additional first token.

    `embedding` maps inputs x [b, ...] to tokens [n, b, width]; `outputs` None: a scalar output.
    """

    width: int
    depth: int
    heads: int
    head_width: int
    feed_forward_width: int
    embedding: nn.Module
    outputs: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, ...] to the outputs [b], or [b, outputs]."""
        tokens = self.embedding(x)
        n, batch, _ = tokens.shape
        start = self.param("start_token", normal(1.0), (self.width,))
        positions = self.param("positions", normal(1.0), (n + 1, self.width))
        first = jnp.broadcast_to(start, (1, batch, self.width))
        tokens = jnp.concatenate([first, tokens]) + positions[:, None, :]
        layers = repeated(TransformerLayer, self.depth)(
            self.heads, self.head_width, self.feed_forward_width
        )
        tokens, _ = layers(tokens, None)
        return readout(layer_norm("head_norm")(tokens[0]), self.outputs)


def transformer_over(embedding: nn.Module, outputs: int | None, **sizes: int) -> Transformer:
    """Return the Transformer over the tokens of `embedding`, after checking sizes.

    Raises:
        ValueError: a size that is not a positive integer.
    """
    return Transformer(**checks.sizes(sizes), embedding=embedding, outputs=outputs)


def transformer(
    n: int,
    width: int = 256,
    depth: int = 12,
    heads: int = 6,
    head_width: int = 64,
    feed_forward_width: int = 256,
) -> nn.Module:
    """Return the token Transformer (6,317,569 parameters at n = 11); Abbe et al. 2022, the
    authors' code.

    Bits become tokens (one embedding per value), with learned positions and a start token, all
    drawn from N(0, 1); `depth` layers that normalize first, without dropout and without a
    normalization after the last; the output is layer normalization and a linear map of the start
    token. Linear layers start with PyTorch's uniform initialization. The inputs are bits: the
    output depends on x only through the sign of each entry, so x has no gradient.

    Attention always ends in a linear map, "output". The authors' code omits it for a single head as
    wide as the tokens (heads = 1, head_width = width), which none of their settings has.

    Raises:
        ValueError: a size that is not a positive integer.
    """
    return transformer_over(
        TokenEmbedding(width),
        None,
        width=width,
        depth=depth,
        heads=heads,
        head_width=head_width,
        feed_forward_width=feed_forward_width,
    )
