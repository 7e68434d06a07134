"""Contracts of every registered model, and the MLP against independent computations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pvr_jax import models
from pvr_jax.models import initialisation

SIZES = (5, 11, 14)


def inputs(n, count=7, seed=0):
    return jnp.asarray(np.random.default_rng(seed).choice([-1.0, 1.0], (count, n)), jnp.float32)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", models.names())
class TestEveryModel:
    def test_shapes_and_dtypes(self, name, n):
        model = models.build(name, n)
        params = model.init(jax.random.key(0), inputs(n, 1))
        outputs = model.apply(params, inputs(n))
        assert outputs.shape == (7,)
        assert outputs.dtype == jnp.float32

    def test_jit_changes_nothing(self, name, n):
        model = models.build(name, n)
        params = model.init(jax.random.key(0), inputs(n, 1))
        np.testing.assert_allclose(
            jax.jit(model.apply)(params, inputs(n)), model.apply(params, inputs(n)), atol=1e-5
        )

    def test_vmap_is_the_loop(self, name, n):
        model = models.build(name, n)
        keys = jax.random.split(jax.random.key(1), 3)
        x = inputs(n)
        stacked = jax.vmap(lambda key: model.init(key, x[:1]))(keys)
        together = jax.vmap(model.apply, in_axes=(0, None))(stacked, x)
        for index, key in enumerate(keys):
            alone = model.apply(model.init(key, x[:1]), x)
            np.testing.assert_allclose(together[index], alone, atol=1e-5)

    def test_gradients_are_finite_and_reach_every_parameter(self, name, n):
        model = models.build(name, n)
        params = model.init(jax.random.key(0), inputs(n, 1))
        x = inputs(n, 64)
        gradients = jax.grad(lambda p: jnp.mean(jnp.square(model.apply(p, x) - x[:, 0])))(params)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
            assert jnp.isfinite(leaf).all(), path
            assert jnp.any(leaf != 0), path

    def test_initialisation_depends_on_the_key(self, name, n):
        model = models.build(name, n)
        first = model.init(jax.random.key(0), inputs(n, 1))
        other = model.init(jax.random.key(1), inputs(n, 1))
        assert not np.allclose(model.apply(first, inputs(n)), model.apply(other, inputs(n)))


def test_the_papers_mlp_has_1_089_153_parameters():
    # (11+1)*512 + (512+1)*1024 + (1024+1)*512 + (512+1)*64 + (64+1)*1
    model = models.build("mlp", 11)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 11)))
    assert models.parameter_count(params) == 1_089_153


def test_mlp_equals_its_formula_in_numpy():
    model = models.build("mlp", 11, widths=(13, 7))
    x = inputs(11)
    params = model.init(jax.random.key(3), x)
    layers = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    hidden = np.asarray(x, np.float64)
    for name in ("Dense_0", "Dense_1"):
        hidden = np.maximum(hidden @ layers[name]["kernel"] + layers[name]["bias"], 0)
    expected = hidden @ layers["Dense_2"]["kernel"] + layers["Dense_2"]["bias"]
    with jax.default_matmul_precision("highest"):
        np.testing.assert_allclose(model.apply(params, x), expected[:, 0], atol=1e-6)


def test_mlp_equals_pytorch_with_the_same_weights():
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: bench)")
    model = models.build("mlp", 11)
    x = inputs(11, 64)
    params = model.init(jax.random.key(3), x)
    layers = []
    for index in range(5):
        layer = params[f"Dense_{index}"]
        linear = torch.nn.Linear(*layer["kernel"].shape)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(np.asarray(layer["kernel"]).T))
            linear.bias.copy_(torch.tensor(np.asarray(layer["bias"])))
        layers += [linear, torch.nn.ReLU()]
    with torch.no_grad():
        expected = torch.nn.Sequential(*layers[:-1])(torch.tensor(np.asarray(x)))[:, 0].numpy()
    np.testing.assert_allclose(model.apply(params, x), expected, atol=1e-5)


@pytest.mark.parametrize("layer, fan_in", [("Dense_0", 11), ("Dense_1", 512), ("Dense_4", 64)])
@pytest.mark.parametrize("leaf", ["kernel", "bias"])
def test_mlp_starts_with_pytorchs_uniform_law(layer, fan_in, leaf):
    model = models.build("mlp", 11)
    keys = jax.random.split(jax.random.key(5), 40 if leaf == "bias" else 4)
    values = np.concatenate(
        [np.ravel(model.init(key, inputs(11, 1))[layer][leaf])[:4000] for key in keys]
    )
    bound = fan_in**-0.5
    assert np.abs(values).max() <= bound
    law = scipy.stats.uniform(loc=-bound, scale=2 * bound)
    # The keys are fixed, so this either always holds or never: the law is right or it is not.
    assert scipy.stats.kstest(values, law.cdf).pvalue > 1e-3


def test_lecun_initialisation_has_zero_biases_and_unit_gain():
    weights, biases = initialisation.dense_initializers("lecun", 400)
    drawn = weights(jax.random.key(0), (400, 300), jnp.float32)
    assert np.var(np.asarray(drawn)) == pytest.approx(1 / 400, rel=0.02)
    assert not np.any(np.asarray(biases(jax.random.key(0), (300,), jnp.float32)))


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("mlpp", {}, "name: given 'mlpp'; allowed mlp (did you mean 'mlp'?)"),
        ("mlp", {"width": 3}, "width: given 3; allowed parameters of mlp are widths, init"),
        ("mlp", {"widths": (3, 0)}, "widths: given (3, 0); allowed whole numbers"),
        ("mlp", {"widths": 3}, "widths: given 3; allowed whole numbers"),
        ("mlp", {"initialisation": "he"}, "initialisation: given 'he'; allowed pytorch, lecun"),
    ],
)
def test_bad_choices_are_named(name, parameters, message):
    with pytest.raises(ValueError) as raised:
        models.build(name, 11, **parameters)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
