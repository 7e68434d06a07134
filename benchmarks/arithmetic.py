"""Operations of a training step: its matrix products, counted from the shapes of the network.

A product [m, k] x [k, n] costs 2 m k n operations. Training needs it once in the forward pass, and
once for the gradient of each operand that depends on a parameter: three times in all, twice if the
input of a layer is data, once if nothing about it is trained. Sums, normalization, activations and
the optimizer are not counted: the floor of a step is the time of its products at the rate of large
ones.
"""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple


class Product(NamedTuple):
    """`count` products [rows, inner] x [inner, columns], and how often training makes each."""

    rows: int
    inner: int
    columns: int
    count: int = 1
    times: int = 3

    @property
    def forward(self) -> int:
        """Operations of the forward pass."""
        return 2 * self.rows * self.inner * self.columns * self.count

    @property
    def training(self) -> int:
        """Operations of the forward pass and the gradients."""
        return self.times * self.forward


def products(model: Mapping[str, Any], n: int, batch: int) -> list[Product]:
    """Return the matrix products of the forward pass on x [batch, n].

    `model` holds the name and all parameters of `pvr_jax.models.build`. Raises KeyError for a
    network that has no line here.
    """
    return _PRODUCTS[model["name"]](n, batch, model)


def training_flops(model: Mapping[str, Any], n: int, rows: int, batch_size: int) -> int:
    """Return the operations of one epoch over `rows` rows.

    Counts full batches, since the last one of an epoch is padded.
    """
    steps = -(-rows // batch_size)
    return steps * sum(product.training for product in products(model, n, batch_size))


def forward_flops(model: Mapping[str, Any], n: int, inputs: int) -> int:
    """Return the operations of the forward pass on some inputs, such as all 2^n."""
    return sum(product.forward for product in products(model, n, inputs))


def _dense(rows: int, sizes: tuple[int, ...]) -> list[Product]:
    """Dense layers on data [rows, sizes[0]], whose gradient is not needed."""
    return [
        Product(rows, fan_in, fan_out, times=2 if index == 0 else 3)
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes))
    ]


def _mlp(n: int, batch: int, model: Mapping[str, Any]) -> list[Product]:
    return _dense(batch, (n, *model["widths"], 1))


def _random_features(n: int, batch: int, model: Mapping[str, Any]) -> list[Product]:
    trained = model["trainable"]
    return [
        Product(batch, n, model["features"], times=2 if trained else 1),
        Product(batch, model["features"], 1, times=3 if trained else 2),
    ]


def _mean_field(n: int, batch: int, model: Mapping[str, Any]) -> list[Product]:
    return _dense(batch, (n, model["width"], 1))


def _transformer(n: int, batch: int, model: Mapping[str, Any]) -> list[Product]:
    width, depth, heads, head = (model[k] for k in ("width", "depth", "heads", "head_width"))
    hidden, tokens = model["feed_forward_width"], n + 1
    rows = tokens * batch
    return [
        Product(rows, width, 3 * heads * head, depth),
        Product(tokens, head, tokens, depth * batch * heads),  # scores
        Product(tokens, tokens, head, depth * batch * heads),  # mixed values
        Product(rows, heads * head, width, depth),
        Product(rows, width, hidden, depth),
        Product(rows, hidden, width, depth),
        Product(batch, width, 1),
    ]


def _mixer(n: int, batch: int, model: Mapping[str, Any]) -> list[Product]:
    width, depth, hidden = (model[k] for k in ("width", "depth", "channel_width"))
    wide = model["token_expansion"] * n
    return [
        Product(wide, n, batch * width, depth),
        Product(n, wide, batch * width, depth),
        Product(n * batch, width, hidden, depth),
        Product(n * batch, hidden, width, depth),
        Product(batch, width, 1),
    ]


_PRODUCTS = {
    "mlp": _mlp,
    "transformer": _transformer,
    "mixer": _mixer,
    "random_features": _random_features,
    "mean_field": _mean_field,
}
