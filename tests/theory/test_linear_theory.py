"""The exact error of linear regression against gradient descent that was really run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from slow_cases import slow_but

from pvr_jax import models
from pvr_jax.boolean import cube, fourier
from pvr_jax.theory import conserved_quantity, linear_regression_error

N = 5


def trained(coefficients, start, bit, value, momentum=0.0, steps=4000):
    """Return (bias, weights) after batched descent on random rows with x_bit = value, in float64.

    Written in NumPy from the definition, with a learning rate that changes from step to step.
    """
    random = np.random.default_rng(1)
    bias, weights = start
    velocity = np.zeros(N + 1)
    for step in range(steps):
        x = random.choice([-1.0, 1.0], (16, N))
        x[:, bit] = value
        y = coefficients[0] + x @ coefficients[1:]
        residual = bias + x @ weights - y
        gradient = np.append(residual.mean(), residual @ x / 16)
        velocity = momentum * velocity + gradient
        rate = 0.02 * (1 + step % 3)
        bias, weights = bias - rate * velocity[0], weights - rate * velocity[1:]
    return bias, weights


def spectrum(bias, weights):
    """Return the coefficients [2^N] of the linear function."""
    points = np.asarray(cube.points(N), np.float64)
    return fourier.walsh_hadamard(jnp.asarray(bias + points @ weights))


@pytest.mark.parametrize("value", [1, -1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("bit", [0, 3])
def test_prediction_equals_the_error_of_trained_regression(bit, momentum, value):
    random = np.random.default_rng(bit)
    with jax.enable_x64(True):
        target = random.normal(size=N + 1) * 3
        start = random.normal(), random.normal(size=N)
        bias, weights = trained(target, start, bit, value, momentum)
        points = np.asarray(cube.points(N), np.float64)
        difference = (bias - target[0]) + points @ (weights - target[1:])
        measured = np.mean(difference**2) / 2
        predicted = linear_regression_error(
            spectrum(target[0], target[1:]), spectrum(*start), bit, value
        )
        assert float(predicted) == pytest.approx(measured, rel=1e-9)
        seen = points[:, bit] == value
        assert np.mean(difference[seen] ** 2) < 1e-18  # trained to zero loss, as the theorem asks


def test_from_zero_it_is_the_table_of_the_paper_s_linear_function():
    # f = 1 + 2 x0 - 3 x1 + ...: a quarter of (1 - f^_k)^2.
    weights = [(-1) ** k * (k + 2) for k in range(11)]
    points = np.asarray(cube.points(11), np.float64)
    with jax.enable_x64(True):
        target = fourier.walsh_hadamard(jnp.asarray(1 + points @ np.array(weights, np.float64)))
        found = [float(linear_regression_error(target, jnp.zeros(2**11), bit)) for bit in range(11)]
    assert found == [0.25, 4, 2.25, 9, 6.25, 16, 12.25, 25, 20.25, 36, 30.25]


def test_starts_may_be_stacked():
    target = jnp.zeros(2**N).at[0].set(1.0)
    starts = jnp.zeros((3, 2**N)).at[:, 0].set(jnp.arange(3.0))
    np.testing.assert_allclose(linear_regression_error(target, starts, 2), [0.25, 0, 0.25])


def test_a_bit_out_of_range_is_refused():
    with pytest.raises(ValueError, match="given"):
        linear_regression_error(jnp.zeros(2**N), jnp.zeros(2**N), N)


@pytest.mark.parametrize("optimizer", [optax.sgd(0.01, momentum=0.5), optax.adam(1e-2)])
@pytest.mark.parametrize("value", slow_but([-1], [1, -1]))
@pytest.mark.parametrize("name", ["linear_regression", "deep_linear", "mlp"])
def test_the_first_layer_conserves_its_quantity(name, value, optimizer):
    # Adam's updates of b and v W_k are equal too, as both start without moments.
    sizes = {"deep_linear": {"width": 8}, "mlp": {"widths": (8, 4)}, "linear_regression": {}}
    model = models.build(name, N, **sizes[name])
    bit = 2
    with jax.enable_x64(True):
        x = jnp.asarray(cube.points(N), jnp.float64)
        x = x[x[:, bit] == value]
        y = x[:, 0] * x[:, 1] + 2 * x[:, bit]
        params = model.init(jax.random.key(0), x)
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)

        def loss(params, rows):
            return jnp.mean(jnp.square(model.apply(params, x[rows]) - y[rows]))

        def step(carry, rows):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params, rows), state, params)
            return (optax.apply_updates(params, updates), state), None

        rows = jax.random.randint(jax.random.key(1), (100, 4), 0, len(x))
        (trained_params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), rows)
        before, after = (
            conserved_quantity(tree["Dense_0"]["kernel"], tree["Dense_0"]["bias"], bit, value)
            for tree in (params, trained_params)
        )
        moved = float(jnp.abs(trained_params["Dense_0"]["bias"] - params["Dense_0"]["bias"]).max())
    assert moved > 1e-2
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)


def test_conserved_quantity_refuses_what_is_no_first_layer():
    with pytest.raises(ValueError, match="weights: given shape"):
        conserved_quantity(jnp.zeros((3, 2)), jnp.zeros(3), 0)
    with pytest.raises(ValueError, match="bit: given 3; allowed 0 to 2"):
        conserved_quantity(jnp.zeros((3, 2)), jnp.zeros(2), 3)
