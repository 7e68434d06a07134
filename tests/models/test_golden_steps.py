"""One step of every registered model: stored numbers of PyTorch in float64, and PyTorch anew.

Parameters come from a formula and not from a generator of random numbers, so the numbers hold for
every version of JAX.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax import models
from pvr_jax.training.optimizers import optimizer
from pvr_jax.training.state import initial_state, supervised, train_step

N = 6
TOLERANCE = 1e-5

# Case -> (model, its parameters, learning rate of Adam, of SGD).
CASES = {
    "mlp": ("mlp", {"widths": (8, 6)}, 0.01, 0.05),
    "mlp mup": ("mlp", {"widths": (8, 6), "initialisation": "mup"}, 0.01, 0.05),
    "transformer": (
        "transformer",
        {"width": 16, "depth": 2, "heads": 2, "head_width": 8, "feed_forward_width": 16},
        0.01,
        0.05,
    ),
    "mixer": ("mixer", {"width": 16, "depth": 2, "channel_width": 8}, 0.01, 0.05),
    "linear_regression": ("linear_regression", {}, 0.01, 0.05),
    "deep_linear": ("deep_linear", {"width": 8}, 0.01, 0.05),
    "random_features": ("random_features", {"features": 64}, 0.01, 0.05),
    "random_features polynomial": (
        "random_features",
        {"features": 64, "kind": "polynomial", "trainable": True, "scale": "inverse_sqrt"},
        0.3,
        20.0,
    ),
    "mean_field": ("mean_field", {"width": 64}, 0.5, 50.0),
}

# Case -> (loss before, outputs at POINTS after one step of Adam, of SGD): PyTorch float64 of the
# same formulas (`pytorch_references.step`), computed anew below where PyTorch is installed.
GOLDEN = {
    "mlp": (
        1.233938750768,
        (-0.171459499498, 0.040741496383, 0.121177146246),
        (-0.190038817747, 0.042942214125, 0.123128669292),
    ),
    "mlp mup": (
        1.244744739738,
        (-0.083727899236, 0.078676716329, 0.069325366304),
        (-0.085781344325, 0.064788982441, 0.059983204123),
    ),
    "transformer": (
        2.308137804756,
        (-0.640539584167, -0.620563683805, -0.654311602326),
        (-0.271134724604, -0.250067713788, -0.284867116703),
    ),
    "mixer": (
        2.454691541912,
        (-0.803875952971, -0.865193563409, -0.776045334282),
        (-0.400867212208, -0.426330003757, -0.381416652294),
    ),
    "linear_regression": (
        1.383895039738,
        (-0.242518674878, 1.063989631877, -0.587744637219),
        (-0.327788625192, 1.067569503654, -0.575509580318),
    ),
    "deep_linear": (
        1.826274247935,
        (-0.909045065951, 1.578888689703, 0.138098197225),
        (-0.766018333285, 1.335583759708, 0.098476460261),
    ),
    "random_features": (
        1.307988092216,
        (-0.055112073707, 0.214122893957, 0.096993671245),
        (-0.136181828332, 0.128800236452, 0.003821159730),
    ),
    "random_features polynomial": (
        1.238649992358,
        (-0.072799914589, 0.088427701470, 0.009959590049),
        (-0.278145274197, -0.002031790240, -0.048470931206),
    ),
    "mean_field": (
        1.249524915372,
        (0.012470438316, 0.044072666680, -0.061583000889),
        (-0.003915179989, 0.005539562448, -0.014287358451),
    ),
}


def cube_points(numbers):
    """Return the points of the cube with these numbers, float32 [len, N]."""
    return np.array([[(number >> i & 1) * 2 - 1 for i in range(N)] for number in numbers], "f4")


# 37 is odd: the points are all different, and those of POINTS are not in the batch.
X = cube_points([(37 * i + 5) % 2**N for i in range(8)])
POINTS = cube_points([(37 * i + 5) % 2**N for i in range(8, 11)])
BATCH = {"x": X, "y": X[:, 0] * X[:, 1] - 0.5 * X[:, 2], "weight": np.ones(8, np.float32)}


def formula_parameters(model):
    """Return parameters filled with the sine of a running index squared, over sqrt(fan_in).

    The square keeps kernels of full rank, and its residue keeps the sine's argument small.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, N)))
    leaves, structure = jax.tree.flatten(shapes)
    filled, start = [], 1
    for leaf in leaves:
        index = np.arange(start, start + leaf.size)
        scale = leaf.shape[-2] ** -0.5 if leaf.ndim > 1 else 0.5
        filled.append((scale * np.sin(index**2 % 1009)).reshape(leaf.shape).astype(np.float32))
        start += leaf.size
    return jax.tree.unflatten(structure, filled)


def jax_step(case, optimizer_name):
    name, parameters, *rates = CASES[case]
    model = models.build(name, N, **parameters)
    transformation = optimizer(optimizer_name, rates[optimizer_name == "sgd"])

    @jax.jit
    def run(params, batch):
        state = initial_state(params, transformation)
        state, metrics = train_step(
            state, batch, objective=supervised(model.apply), transformation=transformation
        )
        return metrics["loss"], model.apply(state.params, POINTS)

    return run(jax.tree.map(jnp.asarray, formula_parameters(model)), BATCH)


def pytorch_step(case, optimizer_name):
    import pytorch_references

    name, parameters, *rates = CASES[case]
    return pytorch_references.step(
        name,
        formula_parameters(models.build(name, N, **parameters)),
        BATCH,
        POINTS,
        optimizer_name,
        rates[optimizer_name == "sgd"],
        **parameters,
    )


def golden(case, optimizer_name):
    loss, adam, sgd = GOLDEN[case]
    return loss, {"adam": adam, "sgd": sgd}[optimizer_name]


LONG = [(name, rule) for name in ("transformer", "mixer") for rule in ("adam", "sgd")]  # to compile


def test_every_registered_model_has_golden_numbers():
    assert {name for name, *_ in CASES.values()} == set(models.names())
    assert set(GOLDEN) == set(CASES)


@pytest.mark.parametrize(
    "case, optimizer_name",
    slow_but(
        [(case, name) for case in CASES for name in ("adam", "sgd") if (case, name) not in LONG],
        itertools.product(CASES, ("adam", "sgd")),
    ),
)
def test_one_step_gives_the_golden_numbers(case, optimizer_name):
    loss, outputs = jax_step(case, optimizer_name)
    expected_loss, expected = golden(case, optimizer_name)
    np.testing.assert_allclose(loss, expected_loss, rtol=TOLERANCE)
    np.testing.assert_allclose(outputs, expected, atol=TOLERANCE)


@pytest.mark.parametrize("optimizer_name", ["adam", "sgd"])
@pytest.mark.parametrize("case", CASES)
def test_the_golden_numbers_are_pytorchs(case, optimizer_name):
    pytest.importorskip("torch", reason="torch is not installed (extra: torch)")
    loss, outputs = pytorch_step(case, optimizer_name)
    expected_loss, expected = golden(case, optimizer_name)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-9)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-9)
