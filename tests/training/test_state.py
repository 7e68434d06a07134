"""One step of one replica against NumPy implementations of the published update rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax.training.optimizers import optimizer, warmup
from pvr_jax.training.state import initial_state, supervised, train_step


def apply(params, x):
    return x @ params["w"] + params["b"]


OBJECTIVE = supervised(apply)


def start(transformation):
    params = {"w": jnp.array([0.5, -1.0, 2.0]), "b": jnp.array(0.25)}
    return initial_state(params, transformation)


def batches(count, rows=4):
    rng = np.random.default_rng(0)
    for _ in range(count):
        x = rng.choice([-1.0, 1.0], (rows, 3))
        yield {"x": x, "y": x[:, 0] * x[:, 1], "weight": np.ones(rows)}


def gradient(w, b, batch):
    """The gradient of the mean FULL squared error."""
    residual = batch["x"] @ w + b - batch["y"]
    return 2 * np.mean(residual[:, None] * batch["x"], axis=0), 2 * np.mean(residual)


def run(name, rate, count):
    transformation = optimizer(name, rate, momentum=0.9)
    state = start(transformation)
    for batch in batches(count):
        state, metrics = train_step(
            state,
            jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), batch),
            objective=OBJECTIVE,
            transformation=transformation,
        )
    return state, metrics


def test_adam_is_pytorchs():
    # Kingma & Ba 2015 with eps outside the root after bias correction, as torch.optim.Adam.
    theta = np.array([0.5, -1.0, 2.0, 0.25])
    m, v, rate = np.zeros(4), np.zeros(4), 0.01
    for t, batch in enumerate(batches(5), start=1):
        g = np.append(*gradient(theta[:3], theta[3], batch))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    state, _ = run("adam", rate, 5)
    found = np.append(state.params["w"], state.params["b"])
    np.testing.assert_allclose(found, theta, rtol=1e-5)


def test_sgd_is_pytorchs():
    # torch.optim.SGD: buffer = momentum * buffer + gradient; no dampening, not Nesterov.
    theta = np.array([0.5, -1.0, 2.0, 0.25])
    buffer, rate = np.zeros(4), 0.02
    for batch in batches(5):
        buffer = 0.9 * buffer + np.append(*gradient(theta[:3], theta[3], batch))
        theta = theta - rate * buffer
    state, _ = run("sgd", rate, 5)
    found = np.append(state.params["w"], state.params["b"])
    np.testing.assert_allclose(found, theta, rtol=1e-5)


def test_golden_first_step_of_sgd():
    # x = (1, 1, 1), y = 1: prediction .5 - 1 + 2 + .25 = 1.75, loss .75^2 = .5625, gradient
    # 2 * .75 = 1.5 for every parameter; rate .1 takes .15 off each.
    transformation = optimizer("sgd", 0.1)
    batch = {"x": jnp.ones((1, 3)), "y": jnp.ones(1), "weight": jnp.ones(1)}
    state, metrics = train_step(
        start(transformation), batch, objective=OBJECTIVE, transformation=transformation
    )
    assert float(metrics["loss"]) == 0.5625
    np.testing.assert_allclose(state.params["w"], [0.35, -1.15, 1.85], rtol=1e-6)
    np.testing.assert_allclose(state.params["b"], 0.1, rtol=1e-6)
    assert int(state.step) == 1 and int(state.loss_count) == 1
    assert float(state.loss_sum) == 0.5625 and int(state.diverged_at) == -1


def test_a_schedule_multiplies_the_learning_rate():
    # Two steps of warm-up, then a cosine over four: the factors 1/2, 1, 1, .854, .5, .146, 0.
    shape = warmup(2, 4)
    factors = [0.5, 1, 1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0]
    np.testing.assert_allclose([shape(jnp.int32(step)) for step in range(7)], factors, atol=1e-6)
    transformation = optimizer("sgd", 0.1, momentum=0.0, schedule=shape)
    state = start(transformation)
    theta = np.array([0.5, -1.0, 2.0, 0.25])
    for step, batch in enumerate(batches(7)):
        theta = theta - 0.1 * factors[step] * np.append(*gradient(theta[:3], theta[3], batch))
        rows = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), batch)
        state, _ = train_step(state, rows, objective=OBJECTIVE, transformation=transformation)
    np.testing.assert_allclose(np.append(state.params["w"], state.params["b"]), theta, rtol=1e-5)


def test_without_decay_a_schedule_stays_at_one():
    shape = warmup(4)
    assert [float(shape(jnp.int32(step))) for step in (0, 3, 4, 1000)] == [0.25, 1, 1, 1]


def test_learning_rates_may_differ_within_one_program():
    transformation = optimizer("sgd", 0.0)
    batch = {"x": jnp.ones((1, 3)), "y": jnp.ones(1), "weight": jnp.ones(1)}

    def one(rate):
        state = initial_state(start(transformation).params, optimizer("sgd", rate))
        return train_step(state, batch, objective=OBJECTIVE, transformation=transformation)[
            0
        ].params["b"]

    moved = jax.vmap(one)(jnp.array([0.0, 0.1, 0.2]))
    np.testing.assert_allclose(moved, [0.25, 0.1, -0.05], atol=1e-6)


def test_the_first_step_that_is_not_finite_is_remembered():
    transformation = optimizer("sgd", 0.1)
    state = start(transformation)
    good = {"x": jnp.ones((1, 3)), "y": jnp.ones(1), "weight": jnp.ones(1)}
    for batch in (good, {**good, "y": jnp.array([jnp.inf])}, good):
        state, _ = train_step(state, batch, objective=OBJECTIVE, transformation=transformation)
    assert int(state.diverged_at) == 1


def test_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match="optimizer: given 'adma'; allowed adabelief, adadelta"):
        optimizer("adma", 0.1)
