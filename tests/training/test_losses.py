"""Losses against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from pvr_jax.refusal import Refusal
from pvr_jax.training import losses
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


PREDICTIONS, LABELS = np.array([0.5, -2.0, 3.0, 9.0]), np.array([1.0, 1.0, -1.0, 1.0])
WEIGHT = np.array([1.0, 2.0, 1.0, 0.0])
NAMED = {
    "squared_error": (PREDICTIONS - LABELS) ** 2,
    "absolute_error": np.abs(PREDICTIONS - LABELS),
    "hinge": np.maximum(0, 1 - PREDICTIONS * LABELS),
    "logistic": np.log(1 + np.exp(-PREDICTIONS * LABELS)),
}


def batch_of(labels):
    return {"y": jnp.asarray(labels, jnp.float32), "weight": jnp.asarray(WEIGHT, jnp.float32)}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_loss_is_the_weighted_mean_of_that_of_rows(name):
    loss = losses.of_rows(losses.for_predictions(name, ()))
    found = loss(jnp.asarray(PREDICTIONS, jnp.float32), batch_of(LABELS))
    np.testing.assert_allclose(found, np.average(NAMED[name], weights=WEIGHT), rtol=1e-6)


def test_the_names_of_the_experiments_own_losses_are_these():
    random = np.random.default_rng(0)
    numbers, logits = (jnp.asarray(random.normal(size=s), jnp.float32) for s in (4, (4, 3)))
    classes = {**batch_of(LABELS), "y": jnp.array([0, 2, 1, 1])}
    for name, own, predictions, batch in (
        ("squared_error", squared_error, numbers, batch_of(LABELS)),
        ("cross_entropy", cross_entropy, logits, classes),
    ):
        named = losses.of_rows(losses.by_name(name))
        assert named(predictions, batch) == own(predictions, batch)
    assert set(losses.OF_A_ROW) == {*NAMED, "cross_entropy"}


def test_rows_are_shared_out_over_devices():
    loss = losses.of_rows(losses.by_name("absolute_error"))
    split = {name: values.reshape(2, 2) for name, values in batch_of(LABELS).items()}
    parts = jax.vmap(lambda p, b: loss(p, b, "rows"), axis_name="rows")(
        jnp.asarray(PREDICTIONS, jnp.float32).reshape(2, 2), split
    )
    np.testing.assert_allclose(
        parts.sum(), np.average(NAMED["absolute_error"], weights=WEIGHT), rtol=1e-6
    )


@pytest.fixture
def own_losses(tmp_path, monkeypatch):
    (tmp_path / "losses_of_mine.py").write_text(
        "import jax.numpy as jnp\n"
        "def pair(p, y):\n    return jnp.stack([p, y])\n"
        "def focal(logits, label):\n    return -logits[label]\n"
        "def whole(p, y):\n    return p > y\n"
        "def nothing(p, y):\n    return None\n"
        "def fourth(p, y):\n    return (p - y) ** 4\n"
    )
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "shape", "complaint"),
    [
        ("hing", (), r"allowed squared_error, .*module:function' \(did you mean 'hinge'\?\)$"),
        ("cross_entropy", (), r"allowed squared_error, absolute_error, hinge, logistic, or your"),
        ("squared_error", (3,), r"allowed cross_entropy, or your own .* here 3 logits and a class"),
        ("losses_of_mine:pair", (), r"here two numbers, .* \(it returns float32\[2\]\)$"),
        ("losses_of_mine:focal", (), r"a function of one prediction and its label.*TypeError"),
        ("losses_of_mine:whole", (), r"\(it returns bool\[\]\)$"),
        ("losses_of_mine:nothing", (), r"\(it returns NoneType\)$"),
        ("losses_of_mine:fourth", (3,), r"here 3 logits and a class.*returns float32\[3\]"),
        ("losses_of_mine:none", (), r"'none' is not there"),
        ("losses_of_nobody:none", (), r"no module named 'losses_of_nobody'"),
    ],
)
def test_what_is_no_loss_of_a_prediction_is_refused(own_losses, name, shape, complaint):
    with pytest.raises(Refusal, match=f"^loss: given '{name}'; .*{complaint}") as raised:
        losses.for_predictions(name, shape)
    assert "\n" not in str(raised.value)


def test_a_loss_of_ones_own_is_told_of_one_row(own_losses):
    loss = losses.of_rows(losses.for_predictions("losses_of_mine:fourth", ()))
    found = loss(jnp.asarray(PREDICTIONS, jnp.float32), batch_of(LABELS))
    np.testing.assert_allclose(found, np.average((PREDICTIONS - LABELS) ** 4, weights=WEIGHT))
    assert losses.for_predictions("losses_of_mine:focal", (3,))(jnp.ones(3), 2) == -1
