"""Losses: plain functions of a batch's predictions, chosen by the experiment.

`loss(predictions, batch, axis) -> scalar`, `batch` {x [b, ...], y [b], weight [b]}. Rows of weight
0 (the padding of a last, smaller batch) do not count. Where the rows are shared out over the
devices of the mesh axis `axis`, the result is this device's part of the loss.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def squared_error(
    predictions: jax.Array, batch: dict[str, jax.Array], axis: str | None = None
) -> jax.Array:
    """Return the weighted mean of (prediction - y)^2 over a batch, predictions [b].

    This is the FULL squared error, as in the authors' training; reported errors are halves of it.
    """
    return _weighted_mean(jnp.square(predictions - batch["y"]), batch, axis)


def cross_entropy(
    predictions: jax.Array, batch: dict[str, jax.Array], axis: str | None = None
) -> jax.Array:
    """Return the weighted mean of -log p(y) over a batch, in nats; predictions are logits [b, c].

    p is their softmax, and the labels y are integers in 0 .. c - 1.
    """
    return _weighted_mean(negative_log_likelihood(predictions, batch["y"]), batch, axis)


def negative_log_likelihood(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return -log p(label) [...] in nats, p being the softmax of the logits [..., c]."""
    shifted = logits - lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    # Selected by comparison: the gradient of indexing is a scatter, slow on accelerators.
    chosen = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    of_label = jnp.sum(jnp.where(chosen, shifted, 0), axis=-1)
    return jnp.log(jnp.sum(jnp.exp(shifted), axis=-1)) - of_label


def over_devices(axis: str | None, tree: Any) -> Any:
    """Return the sum over the devices of a mesh axis; `tree` itself if `axis` is None."""
    return tree if axis is None else lax.psum(tree, axis)


def _weighted_mean(losses: jax.Array, batch: dict[str, jax.Array], axis: str | None) -> jax.Array:
    weight = batch["weight"]
    return jnp.sum(weight * losses) / over_devices(axis, jnp.sum(weight))
