"""Accuracy, loss and confusion against scikit-learn and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from pvr_jax.analysis.classification import confusion_counts, scores


def examples(count=50, classes=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, classes)).astype(np.float32), rng.integers(0, classes, count)


@pytest.mark.parametrize("chunk", [7, 50, 64])
@pytest.mark.parametrize("count", [50, 23])
def test_chunks_and_padding_do_not_change_what_is_counted(chunk, count):
    logits, labels = examples()
    held = jnp.asarray(logits)

    def rows(numbers):
        # Numbers past the end wrap around: what is there must not be counted.
        return {"x": held[numbers % 50], "y": jnp.asarray(labels)[numbers % 50]}

    found = jax.jit(
        lambda size: confusion_counts(lambda x: x, rows, size, max_count=50, chunk=chunk, classes=4)
    )(count)
    guessed = logits[:count].argmax(axis=1)
    expected = sklearn.metrics.confusion_matrix(labels[:count], guessed, labels=range(4))
    assert np.array_equal(found["confusion"], expected)
    nll = -scipy.special.log_softmax(logits, axis=1)[np.arange(50), labels][:count]
    score = scores(found)
    np.testing.assert_allclose(score["loss"], nll.mean(), rtol=1e-5)
    np.testing.assert_allclose(score["accuracy"], (guessed == labels[:count]).mean(), rtol=1e-6)


def test_what_is_not_finite_has_no_accuracy():
    logits = jnp.array([[jnp.nan, 0.0], [1.0, 0.0]])
    found = confusion_counts(
        lambda x: x,
        lambda numbers: {"x": logits[numbers], "y": jnp.zeros(2, jnp.int32)},
        2,
        max_count=2,
        chunk=2,
        classes=2,
    )
    assert np.isnan(scores(found)["accuracy"]) and np.isnan(scores(found)["loss"])
