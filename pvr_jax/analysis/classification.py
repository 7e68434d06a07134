"""Scores of classifiers: accuracy, negative log-likelihood, confusion counts."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Counts = dict[str, jax.Array]


def confusion_counts(
    predict: Callable[[jax.Array], jax.Array],
    rows: Callable[[jax.Array], dict[str, jax.Array]],
    count: int | jax.Array,
    *,
    max_count: int,
    chunk: int,
    classes: int,
) -> Counts:
    """Count over the examples 0 .. count - 1, `chunk` at a time.

    Args:
        predict: x [b, ...] -> logits [b, classes].
        rows: indices int32[b] -> {"x": [b, ...], "y": int32[b]}.
        count: number of examples; may be traced.
        max_count: upper bound of `count`; this many are computed.
        chunk: examples in memory at once.
        classes: number of classes.

    Returns:
        `confusion` int32[classes, classes], true class by predicted class (that of the first
        largest logit), and `negative_log_likelihood`, the sum of -log p(y) in nats.
    """
    chunk = min(chunk, max_count)

    def some(total: Counts, first: jax.Array) -> tuple[Counts, None]:
        numbers = first + jnp.arange(chunk, dtype=jnp.int32)
        inside = numbers < jnp.minimum(count, max_count)
        examples = rows(numbers)
        logits = predict(examples["x"])
        true = _one_hot(examples["y"], classes) * inside[:, None]
        guessed = _one_hot(jnp.argmax(logits, axis=-1), classes)
        of_label = jnp.sum(jax.nn.log_softmax(logits) * true.astype(logits.dtype))
        found = {
            "confusion": jnp.einsum("bt,bg->tg", true, guessed, preferred_element_type=jnp.int32),
            "negative_log_likelihood": -of_label,
        }
        return jax.tree.map(jnp.add, total, found), None

    logits = jax.eval_shape(lambda numbers: predict(rows(numbers)["x"]), jnp.arange(chunk))
    nothing = {
        "confusion": jnp.zeros((classes, classes), jnp.int32),
        "negative_log_likelihood": jnp.zeros((), logits.dtype),
    }
    return lax.scan(some, nothing, jnp.arange(0, max_count, chunk, dtype=jnp.int32))[0]


def scores(counts: Counts) -> dict[str, jax.Array]:
    """Return `accuracy` (top-1, 0 to 1) and `loss`, the mean negative log-likelihood in nats.

    Both are NaN without examples, or if a logit was not finite.
    """
    confusion, summed = counts["confusion"], counts["negative_log_likelihood"]
    total = jnp.sum(confusion).astype(summed.dtype)
    accuracy = jnp.trace(confusion) / total
    return {
        "accuracy": jnp.where(jnp.isfinite(summed), accuracy, jnp.nan),
        "loss": summed / total,
    }


def _one_hot(labels: Any, classes: int) -> jax.Array:
    return (labels[:, None] == jnp.arange(classes)[None, :]).astype(jnp.int32)
