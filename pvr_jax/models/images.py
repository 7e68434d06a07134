"""Classifiers of images without convolutions: patches as tokens, or all pixels at once.

Inputs are [b, height, width], one channel, 0 to 1; outputs are logits.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from pvr_jax import checks
from pvr_jax.models.mixer import Mixer
from pvr_jax.models.mlp import MLP, PAPER_WIDTHS, PYTORCH_ALPHA
from pvr_jax.models.transformer import dense, transformer_over
from pvr_jax.refusal import Refusal


class PatchEmbedding(nn.Module):
    """A linear map of every square patch of an image, row by row."""

    patch: int
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, height, width] to the tokens [n, b, self.width]."""
        batch, rows, columns = x.shape[0], x.shape[1] // self.patch, x.shape[2] // self.patch
        parts = x.reshape(batch, rows, self.patch, columns, self.patch)
        tokens = parts.transpose(1, 3, 0, 2, 4).reshape(rows * columns, batch, self.patch**2)
        return dense(self.patch**2, self.width, "projection")(tokens)


class FlatMLP(nn.Module):
    """An MLP over all pixels."""

    mlp: nn.Module

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, height, width] to the logits [b, classes]."""
        return self.mlp(x.reshape(x.shape[0], -1))


def picture_mlp(
    shape: tuple[int, ...],
    alphabet: None,
    classes: int,
    widths: Sequence[int] = PAPER_WIDTHS,
) -> nn.Module:
    """Return the MLP pixels -> 512 -> 1024 -> 512 -> 64 -> classes, with PyTorch's initialization.

    Raises:
        ValueError: a width that is not a positive integer.
    """
    widths = checks.shape("widths", widths, PAPER_WIDTHS)
    return FlatMLP(MLP(widths, "pytorch", PYTORCH_ALPHA, outputs=classes))


def vit(
    shape: tuple[int, ...],
    alphabet: None,
    classes: int,
    patch: int = 8,
    width: int = 256,
    depth: int = 12,
    heads: int = 6,
    head_width: int = 64,
    feed_forward_width: int = 256,
) -> nn.Module:
    """Return the Transformer of `transformer.transformer` over the patches of an image.

    6,358,794 parameters for images of 80 x 80 and 10 classes.

    Raises:
        ValueError: a size that is not a positive integer, or a patch that does not divide
            the image.
    """
    return transformer_over(
        PatchEmbedding(_patch(patch, shape), width),
        classes,
        width=width,
        depth=depth,
        heads=heads,
        head_width=head_width,
        feed_forward_width=feed_forward_width,
    )


def picture_mixer(
    shape: tuple[int, ...],
    alphabet: None,
    classes: int,
    patch: int = 8,
    width: int = 256,
    depth: int = 12,
    token_expansion: int = 4,
    channel_width: int = 128,
) -> nn.Module:
    """Return the Mixer of `mixer.mixer` over the patches of an image.

    1,789,050 parameters for images of 80 x 80 and 10 classes.

    Raises:
        ValueError: a size that is not a positive integer, or a patch that does not divide
            the image.
    """
    sizes = {"depth": depth, "token_expansion": token_expansion, "channel_width": channel_width}
    width = checks.size("width", width)
    embedding = PatchEmbedding(_patch(patch, shape), width)
    return Mixer(**checks.sizes(sizes), embedding=embedding, outputs=classes)


def _patch(patch: int, shape: tuple[int, ...]) -> int:
    fitting = [size for size in range(1, min(shape) + 1) if not any(s % size for s in shape)]
    if type(patch) is not int or patch not in fitting:
        allowed = ", ".join(map(str, fitting))
        image = " x ".join(map(str, shape))
        raise Refusal(f"patch: given {patch!r}; allowed {allowed} for images of {image}")
    return patch
