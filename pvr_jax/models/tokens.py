"""Classifiers of tokens: inputs int32[b, n] in 0 .. alphabet - 1, outputs are logits.

The networks are those for bits, with an embedding of tokens instead.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from pvr_jax import checks
from pvr_jax.models.initialization import normal
from pvr_jax.models.mixer import Mixer
from pvr_jax.models.mlp import MLP, PAPER_WIDTHS, PYTORCH_ALPHA
from pvr_jax.models.transformer import transformer_over


class TableEmbedding(nn.Module):
    """One vector for each token of an alphabet, drawn from N(0, 1), the same at all positions."""

    alphabet: int
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to the tokens [n, b, width]."""
        rows = self.param("rows", normal(1.0), (self.alphabet, self.width))
        # A product with one-hot vectors: its gradient is a product too, not a scatter.
        return jax.nn.one_hot(x.T, self.alphabet, dtype=rows.dtype) @ rows


class ConcatenatedMLP(nn.Module):
    """An MLP over the concatenated embeddings of the tokens."""

    embedding: nn.Module
    mlp: nn.Module

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, n] to the logits [b, classes]."""
        tokens = jnp.swapaxes(self.embedding(x), 0, 1)
        return self.mlp(tokens.reshape(x.shape[0], -1))


def token_mlp(
    shape: tuple[int, ...],
    alphabet: int,
    classes: int,
    embedding_width: int = 64,
    widths: Sequence[int] = PAPER_WIDTHS,
) -> nn.Module:
    """Return the MLP over embedded tokens, 11 * 64 = 704 -> 512 -> 1024 -> 512 -> 64 -> classes.

    1,445,194 parameters for 11 tokens, an alphabet of 10 and 10 classes. Dense layers start with
    PyTorch's uniform initialization, the embedding with N(0, 1). Source: published code that
    reproduces Zhang et al. 2021.

    Raises:
        ValueError: a size that is not a positive integer.
    """
    width = checks.size("embedding_width", embedding_width)
    widths = checks.shape("widths", widths, PAPER_WIDTHS)
    mlp = MLP(widths, "pytorch", PYTORCH_ALPHA, outputs=classes)
    return ConcatenatedMLP(TableEmbedding(alphabet, width), mlp)


def token_transformer(
    shape: tuple[int, ...],
    alphabet: int,
    classes: int,
    width: int = 256,
    depth: int = 12,
    heads: int = 6,
    head_width: int = 64,
    feed_forward_width: int = 256,
) -> nn.Module:
    """Return the Transformer of `transformer.transformer` over tokens of an alphabet.

    Raises:
        ValueError: a size that is not a positive integer.
    """
    return transformer_over(
        TableEmbedding(alphabet, width),
        classes,
        width=width,
        depth=depth,
        heads=heads,
        head_width=head_width,
        feed_forward_width=feed_forward_width,
    )


def token_mixer(
    shape: tuple[int, ...],
    alphabet: int,
    classes: int,
    width: int = 256,
    depth: int = 12,
    token_expansion: int = 4,
    channel_width: int = 128,
) -> nn.Module:
    """Return the Mixer of `mixer.mixer` over tokens of an alphabet.

    Raises:
        ValueError: a size that is not a positive integer.
    """
    sizes = {"depth": depth, "token_expansion": token_expansion, "channel_width": channel_width}
    embedding = TableEmbedding(alphabet, checks.size("width", width))
    return Mixer(**checks.sizes(sizes), embedding=embedding, outputs=classes)
