"""Losses: plain functions of a batch's predictions; a run has its experiment's own, or a named one.

`loss(predictions, batch, axis) -> scalar`, `batch` {x [b, ...], y [b], weight [b]}. Rows of weight
0 (the padding of a last, smaller batch) do not count. Where the rows are shared out over the
devices of the mesh axis `axis`, the result is this device's part of the loss.

A named loss, built-in or the user's own, is a function of ONE row, `loss(prediction, label) ->
scalar`; weights and devices are the business of `of_rows`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pvr_jax import own_function
from pvr_jax.refusal import Refusal, did_you_mean

Loss = Callable[..., jax.Array]
RowLoss = Callable[[jax.Array, jax.Array], jax.Array]


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


# Of one row. Hinge and logistic loss are for the labels -1 and +1; the prediction of the cross
# entropy is the logits [c] of as many classes.
OF_A_ROW: dict[str, RowLoss] = {
    "squared_error": lambda prediction, label: jnp.square(prediction - label),
    "absolute_error": lambda prediction, label: jnp.abs(prediction - label),
    "hinge": lambda prediction, label: jnp.maximum(0, 1 - label * prediction),
    "logistic": lambda prediction, label: jax.nn.softplus(-label * prediction),
    "cross_entropy": negative_log_likelihood,
}


OF_SIGNS = ("hinge", "logistic")


def of_rows(loss: RowLoss) -> Loss:
    """Return the weighted mean over a batch of a loss of one row."""

    def of_batch(
        predictions: jax.Array, batch: dict[str, jax.Array], axis: str | None = None
    ) -> jax.Array:
        return _weighted_mean(jax.vmap(loss)(predictions, batch["y"]), batch, axis)

    return of_batch


def by_name(name: str) -> RowLoss:
    """Return the loss of one row that is built in, or the user's own, 'module:function'.

    Raises:
        Refusal: there is none; begins with "loss".
    """
    if name in OF_A_ROW:
        return OF_A_ROW[name]
    if ":" in name:
        with own_function.working_directory_importable():
            return own_function.find(name, "loss")
    hint = did_you_mean(name, OF_A_ROW)
    allowed = f"{', '.join(OF_A_ROW)}, or your own 'module:function'{hint}"
    raise Refusal(f"loss: given {name!r}; allowed {allowed}")


def for_predictions(name: str, shape: tuple[int, ...]) -> RowLoss:
    """Return the loss `by_name` of predictions of this shape, () or [c]; labels of [c] are classes.

    Raises:
        Refusal: there is none, or it is no function of such a prediction; begins with "loss".
    """
    loss = by_name(name)
    if complaint := _complaint(loss, shape):
        kind = f"{shape[0]} logits and a class" if shape else "two numbers"
        own = f"a function of one prediction and its label, here {kind}, that returns a number"
        fitting = ", ".join(known for known, own in OF_A_ROW.items() if not _complaint(own, shape))
        allowed = own if ":" in name else f"{fitting}, or your own 'module:function', {own}"
        raise Refusal(f"loss: given {name!r}; allowed {allowed} ({complaint})")
    return loss


def _complaint(loss: RowLoss, shape: tuple[int, ...]) -> str:
    """Return why a function is no loss of a prediction of this shape, "" where it is one."""
    label = jax.ShapeDtypeStruct((), jnp.int32 if shape else jnp.float32)
    try:
        found = jax.eval_shape(loss, jax.ShapeDtypeStruct(shape, jnp.float32), label)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's function raises is told in one line
        return own_function.one_line(error)
    if not isinstance(found, jax.ShapeDtypeStruct):
        return f"it returns {type(found).__name__}"
    is_number = found.shape == () and jnp.issubdtype(found.dtype, jnp.floating)
    return "" if is_number else f"it returns {found.dtype}{list(found.shape)}"
