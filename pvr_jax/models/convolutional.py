"""Convolutional classifiers of images: a ResNet and a VGG-style network.

Inputs are [b, height, width], one channel, 0 to 1; outputs are logits. Models are pure functions of
parameters and inputs, so batch normalization, whose running means are state, is replaced by group
normalization with 16 channels per group (Wu & He 2018), or as in `channels_per_group`.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax

from pvr_jax import checks
from pvr_jax.models.initialization import DRAWN
from pvr_jax.models.transformer import dense, readout
from pvr_jax.refusal import Refusal

CHANNELS_PER_GROUP = 16


def channels_per_group(channels: int) -> int:
    """Return the number of channels per normalization group.

    16, or the next larger divisor of `channels`: 40 channels are two groups of 20; 8, 17 or 24
    channels are one group.
    """
    larger = range(CHANNELS_PER_GROUP, channels)
    return next((size for size in larger if channels % size == 0), channels)


def as_convolution(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Convolve x [b, h, w, c] with a kernel [k, k, c, f], padded by k // 2, by XLA."""
    margin = kernel.shape[0] // 2
    layout = ("NHWC", "HWIO", "NHWC")
    padding = [(margin, margin)] * 2
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=layout)


def as_product(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Compute `as_convolution` as a matrix product with all patches of the image."""
    size, margin = kernel.shape[0], kernel.shape[0] // 2
    batch, height, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    rows, columns = ((length + 2 * margin - size) // stride + 1 for length in (height, width))
    shifted = [
        lax.slice(
            padded,
            (0, down, right, 0),
            (batch, down + (rows - 1) * stride + 1, right + (columns - 1) * stride + 1, channels),
            (1, stride, stride, 1),
        )
        for down in range(size)
        for right in range(size)
    ]
    return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Convolve x [b, h, w, c] with a kernel [k, k, c, f] -> [b, h / stride, w / stride, f].

    Uses a matrix product on a CPU, where XLA's convolutions are eight times slower inside a loop,
    as in training. On an accelerator the patches would not fit into memory.
    """
    return lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: as_product(x, kernel, stride),
        default=lambda x, kernel: as_convolution(x, kernel, stride),
    )


def _convolve_forwards(
    x: jax.Array, kernel: jax.Array, stride: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(x, kernel, stride), (x, kernel)


def _convolve_backwards(
    stride: int, operands: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # A custom gradient: JAX's would store the residuals of both branches.
    def gradients(form: object) -> object:
        def of(x: jax.Array, kernel: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, ...]:
            return jax.vjp(lambda *both: form(*both, stride), x, kernel)[1](cotangent)

        return of

    return lax.platform_dependent(
        *operands, cotangent, cpu=gradients(as_product), default=gradients(as_convolution)
    )


convolve.defvjp(_convolve_forwards, _convolve_backwards)


def max_pool(x: jax.Array) -> jax.Array:
    """Return the maxima of squares of 2 x 2 pixels, [b, h, w, c] -> [b, h // 2, w // 2, c]."""
    batch, height, width, channels = x.shape
    height, width = height // 2, width // 2
    even = x[:, : 2 * height, : 2 * width]
    return even.reshape(batch, height, 2, width, 2, channels).max(axis=(2, 4))


class Convolution(nn.Module):
    """A convolution without bias, He's normal initialization, and group normalization."""

    features: int
    size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, h, w, c] to [b, h / stride, w / stride, features]."""
        initializer = nn.initializers.variance_scaling(2.0, "fan_out", "normal", dtype=DRAWN)
        shape = (self.size, self.size, x.shape[-1], self.features)
        # A convolution, unlike a product, needs equal dtypes.
        x, kernel = promote_dtype(x, self.param("kernel", initializer, shape), dtype=None)
        hidden = convolve(x, kernel, self.stride)
        groups = self.features // channels_per_group(self.features)
        return nn.GroupNorm(groups, epsilon=1e-5, use_fast_variance=False, name="norm")(hidden)


class ResidualBlock(nn.Module):
    """Two convolutions with a skip connection, which has a convolution if shapes differ."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, h, w, c] to [b, h / stride, w / stride, features]."""
        hidden = nn.relu(Convolution(self.features, 3, self.stride, name="first")(x))
        hidden = Convolution(self.features, name="second")(hidden)
        if self.stride != 1 or x.shape[-1] != self.features:
            x = Convolution(self.features, 1, self.stride, name="shortcut")(x)
        return nn.relu(x + hidden)


class ResNet(nn.Module):
    """A stem, stages of residual blocks that halve the resolution after the first, and the mean."""

    widths: tuple[int, ...]
    blocks: int
    stem_size: int
    stem_stride: int
    stem_pool: bool
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, height, width] to the logits [b, outputs]."""
        stem = Convolution(self.widths[0], self.stem_size, self.stem_stride, name="stem")
        hidden = nn.relu(stem(x[..., None]))
        hidden = max_pool(hidden) if self.stem_pool else hidden
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks):
                stride = 2 if stage and not block else 1
                hidden = ResidualBlock(width, stride, name=f"stage{stage}_block{block}")(hidden)
        return readout(hidden.mean(axis=(1, 2)), self.outputs)


class VGG(nn.Module):
    """Stages of convolutions, each followed by 2 x 2 max pooling; dense layers."""

    widths: tuple[int, ...]
    convolutions: tuple[int, ...]
    head_widths: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [b, height, width] to the logits [b, outputs]."""
        hidden = x[..., None]
        for stage, (width, count) in enumerate(zip(self.widths, self.convolutions, strict=True)):
            for number in range(count):
                name = f"stage{stage}_convolution{number}"
                hidden = nn.relu(Convolution(width, name=name)(hidden))
            hidden = max_pool(hidden)
        hidden = hidden.reshape(x.shape[0], -1)
        for number, width in enumerate(self.head_widths):
            hidden = nn.relu(dense(hidden.shape[-1], width, f"dense{number}")(hidden))
        return readout(hidden, self.outputs)


def resnet(
    shape: tuple[int, ...],
    alphabet: None,
    classes: int,
    widths: Sequence[int] = (64, 128, 256, 512),
    blocks: int = 2,
    stem_size: int = 7,
    stem_stride: int = 2,
    stem_pool: bool = True,
) -> nn.Module:
    """Return the ResNet with `blocks` basic blocks per width; by default ResNet-18.

    11,175,370 parameters for 10 classes. The original has batch normalization, and 3 x 3 instead of
    2 x 2 max pooling (He et al. 2016).

    Raises:
        ValueError: a size out of range, an even `stem_size`, or `stem_pool` with less than 2 pixels
            after the stem.
    """
    widths = checks.shape("widths", widths, (64, 128, 256, 512))
    if not widths:
        raise Refusal("widths: given (); allowed one or more, such as (64, 128, 256, 512)")
    if checks.size("stem_size", stem_size) % 2 == 0:
        raise Refusal(f"stem_size: given {stem_size}; allowed odd numbers")
    stem_stride = checks.size("stem_stride", stem_stride)
    if checks.one_of(True, False).check("stem_pool", stem_pool) and min(shape) <= stem_stride:
        raise Refusal(
            f"stem_pool: given True; allowed False where the stem's stride of {stem_stride} leaves "
            f"1 pixel of {min(shape)}"
        )
    blocks = checks.size("blocks", blocks)
    return ResNet(widths, blocks, stem_size, stem_stride, stem_pool, classes)


def vgg(
    shape: tuple[int, ...],
    alphabet: None,
    classes: int,
    widths: Sequence[int] = (64, 128, 256, 512, 512),
    convolutions: Sequence[int] = (1, 1, 2, 2, 2),
    head_widths: Sequence[int] = (4096, 4096),
) -> nn.Module:
    """Return the VGG-style network; by default VGG-11 with normalization (Simonyan & Zisserman).

    `convolutions` is their number for each of the `widths`. There is no dropout, and the dense
    layers take the image at its final size, not at a fixed one: 34,437,066 parameters for images of
    80 x 80 and 10 classes.

    Raises:
        ValueError: a size out of range, or more stages than the image can be halved.
    """
    widths = checks.shape("widths", widths, (64, 128, 256))
    convolutions = checks.shape("convolutions", convolutions, (1, 1, 2))
    if len(widths) != len(convolutions):
        allowed = f"{len(widths)} numbers, one for each of widths"
        raise Refusal(f"convolutions: given {convolutions!r}; allowed {allowed}")
    max_stages = min(shape).bit_length() - 1
    if not 1 <= len(widths) <= max_stages:
        image = " x ".join(map(str, shape))
        raise Refusal(
            f"widths: given {widths!r}; allowed 1 to {max_stages} of them for images of {image}"
        )
    return VGG(widths, convolutions, checks.shape("head_widths", head_widths, (64,)), classes)
