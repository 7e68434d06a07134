"""Every replica is trained at its own rate by whatever is a function of a rate."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from slow_cases import slow_but

from pvr_jax.refusal import Refusal
from pvr_jax.training.ensemble import ensemble
from pvr_jax.training.optimizers import optimizer, parsed
from pvr_jax.training.replicas import Replicas, device_mesh, to_host

RATES, STEPS, ROWS = (0.03, 0.003), 12, 4
CASES = {
    "adam": optax.adam,
    "sgd": optax.sgd,
    "adamw": partial(optax.adamw, weight_decay=0.1),
    "lion": optax.lion,
    "momentum": partial(optax.sgd, momentum=0.9, nesterov=True),
    "cosine": lambda rate: optax.adam(optax.cosine_decay_schedule(rate, STEPS)),
    "piecewise": lambda rate: optax.sgd(optax.piecewise_constant_schedule(rate, {5: 0.1})),
    # This schedule compares its peak with 0, so it needs the number.
    "warmup": lambda rate: optax.adam(optax.warmup_cosine_decay_schedule(0.0, rate, 3, STEPS)),
    "float": lambda rate: optax.sgd(float(rate)),
    "numpy": lambda rate: optax.sgd(np.asarray(rate) / 2),
    "chain": lambda rate: optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate)),
    "scale": lambda rate: optax.chain(optax.scale_by_rms(), optax.scale(-rate)),
    "injected": lambda rate: optax.inject_hyperparams(optax.adam)(learning_rate=rate),
    "injected schedule": lambda rate: optax.inject_hyperparams(optax.sgd)(
        learning_rate=optax.linear_schedule(rate, 0.0, STEPS)
    ),
    "of the loss": optax.polyak_sgd,
    "of the loss, by number": lambda rate: optax.polyak_sgd(float(rate)),
    "plateau": lambda rate: optax.chain(
        optax.adam(rate), optax.contrib.reduce_on_plateau(patience=1, rtol=0.5)
    ),
    "every second step": lambda rate: optax.MultiSteps(optax.adam(rate), 2),
    "built-in adam": partial(optimizer, "adam"),
    "by name": partial(optimizer, "adamw(weight_decay=0.1, b2=0.95)"),
    "built-in sgd": partial(optimizer, "sgd", weight_decay=0.1),
}


def batch(key, step):
    x = jax.random.normal(jax.random.fold_in(key, step), (ROWS, 3))
    return {"x": x, "y": x[:, 0] * x[:, 1], "weight": jnp.ones(ROWS)}


def init(key):
    return {"w": jax.random.normal(key, (3,)), "b": jnp.float32(0.25)}


def apply(params, x):
    return jnp.tanh(x @ params["w"] + params["b"])


def build(make, execution, rates=RATES):
    keys = jax.vmap(jax.random.key)(jnp.zeros(len(rates), jnp.uint32))
    rates = jnp.asarray(rates, jnp.float32)
    return ensemble(
        Replicas(keys, keys, rates, jnp.ones_like(rates), {}),
        init=init,
        apply=apply,
        batch=batch,
        optimizer=make,
        evaluate=lambda params: {},
        mesh=device_mesh(jax.devices()[:1]),
        execution=execution,
    )


def plain_loop(make, rate, steps=STEPS):
    """Train one network as the documentation of Optax does."""
    key = jax.random.key(0)
    params = init(key)
    transformation = optax.with_extra_args_support(make(rate))
    state = transformation.init(params)
    update = jax.jit(transformation.update)

    @jax.jit
    def losses(params, rows):
        return jax.value_and_grad(lambda p: jnp.mean((apply(p, rows["x"]) - rows["y"]) ** 2))(
            params
        )

    for step in range(steps):
        value, gradients = losses(params, batch(key, step))
        updates, state = update(gradients, state, params, value=value)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize(
    "name, execution",
    slow_but(
        [("adam", "vmap"), ("chain", "vmap")],
        [*((name, "vmap") for name in CASES), ("adam", "map"), ("warmup", "map")],
    ),
)
def test_an_ensemble_equals_a_plain_loop_per_rate(name, execution):
    make = CASES[name]
    built = build(make, execution)
    trained = to_host(built.advance(built.start(), 0, STEPS).params, 2)
    for replica, rate in enumerate(RATES):
        expected = plain_loop(make, rate)
        moved = np.abs(expected["w"] - init(jax.random.key(0))["w"]).max()
        assert moved > 1e-3, "the comparison needs a network that moves"
        np.testing.assert_allclose(trained["w"][replica], expected["w"], rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(trained["b"][replica], expected["b"], rtol=2e-5, atol=2e-6)
    assert np.abs(trained["w"][0] - trained["w"][1]).max() > 1e-3


@pytest.mark.slow
def test_a_replica_with_a_rate_that_needs_its_number_is_the_same_alone():
    together = build(CASES["warmup"], "vmap", rates=(0.01, 0.03, 0.003, 0.03))
    trained = to_host(together.advance(together.start(), 0, STEPS).params, 4)
    alone = build(CASES["warmup"], "vmap", rates=(0.03,))
    lonely = to_host(alone.advance(alone.start(), 0, STEPS).params, 1)
    np.testing.assert_array_equal(trained["w"][1], trained["w"][3])
    np.testing.assert_allclose(trained["w"][1], lonely["w"][0], rtol=1e-6)


def test_a_schedule_goes_on_where_a_segment_ended():
    built = build(CASES["cosine"], "map")
    whole = built.advance(built.start(), 0, STEPS)
    cut = built.start()
    for first, last in ((0, 1), (1, 7), (7, STEPS)):
        cut = built.advance(cut, first, last)
    jax.tree.map(np.testing.assert_array_equal, to_host(cut, 2), to_host(whole, 2))


def test_the_first_step_of_plain_gradient_descent_is_rate_times_gradient():
    built = build(optax.sgd, "vmap")
    trained = to_host(built.advance(built.start(), 0, 1).params, 2)
    x, y = (np.asarray(batch(jax.random.key(0), 0)[name], np.float64) for name in ("x", "y"))
    start = np.asarray(init(jax.random.key(0))["w"], np.float64)
    outputs = np.tanh(x @ start + 0.25)
    gradient = np.mean((2 * (outputs - y) * (1 - outputs**2))[:, None] * x, axis=0)
    for replica, rate in enumerate(RATES):
        np.testing.assert_allclose(trained["w"][replica], start - rate * gradient, rtol=1e-5)


# Of lookahead kinds and those that need more than gradients there is no name.
@pytest.mark.parametrize("name", ["adam", "sgd", "adamw", "lion", "adafactor", "radam", "sm3"])
def test_optimizers_of_optax_are_had_by_name(name):
    params, gradient = {"w": jnp.arange(1.0, 4.0)}, {"w": jnp.array([0.5, -1.0, 2.0])}
    mine, theirs = optimizer(name, 0.1, momentum=0.0), getattr(optax, name)(0.1)
    found, expected = mine.init(params), theirs.init(params)
    for _ in range(3):
        ours, found = mine.update(gradient, found, params)
        reference, expected = theirs.update(gradient, expected, params)
        np.testing.assert_allclose(ours["w"], reference["w"], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("adma", "optimizer: given 'adma'; allowed adabelief, "),
        ("adamw(b3=1)", "optimizer: given 'adamw(b3=1)'; allowed of adamw: b1, b2, "),
        (
            "lion(lr=1)",
            "optimizer: given 'lion(lr=1)'; allowed of lion: b1, b2, mu_dtype, "
            "weight_decay, mask; the rate goes into learning_rates",
        ),
        ("adamw(0.9)", "optimizer: given 'adamw(0.9)'; allowed a name of optax, with numbers"),
        ("adamw(b2=print())", "optimizer: given 'adamw(b2=print())'; allowed a name of optax"),
        ("os.system('x')", "optimizer: given \"os.system('x')\"; allowed a name of optax"),
    ],
)
def test_an_unknown_optimizer_is_one_line(text, complaint):
    with pytest.raises(Refusal) as error:
        parsed(text)
    assert str(error.value).startswith(complaint) and "\n" not in str(error.value)
