"""Losses against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from pvr_jax.training.losses import cross_entropy, negative_log_likelihood, squared_error


def test_rows_of_weight_zero_do_not_count():
    predictions = jnp.array([1.0, 2.0, 99.0])
    batch = {"y": jnp.array([0.0, 0.0, 5.0]), "weight": jnp.array([1.0, 1.0, 0.0])}
    assert float(squared_error(predictions, batch)) == 2.5


def test_cross_entropy_is_the_weighted_mean_of_the_negative_log_softmax():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 30, (5, 7))  # large ones, where a careless softmax overflows
    labels = np.array([0, 6, 3, 3, 1])
    weight = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    expected = -scipy.special.log_softmax(logits, axis=1)[np.arange(5), labels]
    batch = {"y": jnp.asarray(labels), "weight": jnp.asarray(weight, jnp.float32)}
    found = cross_entropy(jnp.asarray(logits, jnp.float32), batch)
    np.testing.assert_allclose(found, (weight * expected).sum() / weight.sum(), rtol=1e-5)
    np.testing.assert_allclose(
        negative_log_likelihood(jnp.asarray(logits, jnp.float32), jnp.asarray(labels)),
        expected,
        rtol=1e-5,
    )


def test_the_gradient_of_cross_entropy_is_softmax_minus_one_hot():
    logits = jnp.array([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    batch = {"y": jnp.array([1, 2]), "weight": jnp.array([1.0, 1.0])}
    found = jax.grad(cross_entropy)(logits, batch)
    expected = (scipy.special.softmax(logits, axis=1) - np.eye(3)[[1, 2]]) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_logit_that_is_not_finite_shows_in_the_loss():
    batch = {"y": jnp.array([0]), "weight": jnp.array([1.0])}
    assert not np.isfinite(cross_entropy(jnp.array([[jnp.nan, 0.0]]), batch))
    assert not np.isfinite(cross_entropy(jnp.array([[0.0, jnp.inf]]), batch))
