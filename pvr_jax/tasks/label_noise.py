"""Label noise: labels -1 and +1, flipped with a probability."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.tasks.seen_draws import signs

LABELS_LOOKED_AT = 4096

Target = Callable[[jax.Array], jax.Array]


def other_label(labels: Target | np.ndarray, n: int) -> float | None:
    """Return a label that is neither -1 nor +1, if any is; of a target, at random points [m, n]."""
    if callable(labels):
        labels = labels(signs(jax.random.key(0), (LABELS_LOOKED_AT, n)))
    return next((float(label) for label in np.unique(labels) if abs(label) != 1), None)


def check(probability: float, labels: Target | np.ndarray, n: int) -> None:
    """Refuse a value that is no probability, and noise of labels that are not -1 and +1.

    Raises:
        Refusal: as above; starts with "label_noise".
    """
    probability = checks.nonnegative(1).check("label_noise", probability)
    if probability and (other := other_label(labels, n)) is not None:
        allowed = f"0 for labels other than -1 and +1, as a label here is {other:g}"
        raise checks.invalid("label_noise", probability, allowed)


def flipped(y: jax.Array, probability: float, stream: jax.Array, rows: jax.Array) -> jax.Array:
    """Return labels y [b] of rows int32[b], each flipped with a probability.

    Whether a row's label is flipped depends on the stream and the row's number alone.
    """
    if not probability:
        return y

    def is_flipped(row: jax.Array) -> jax.Array:
        return jax.random.bernoulli(jax.random.fold_in(stream, row), jnp.float32(probability))

    return jnp.where(jax.vmap(is_flipped)(rows), -y, y)
