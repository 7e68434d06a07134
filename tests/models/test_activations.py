"""What layers return, of every registered model and classifier."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_classifiers
import test_models
from slow_cases import slow_but

from pvr_jax import models
from pvr_jax.models.activations import captured

NAMES = [*models.names(), *models.classifier_names()]
REPLICAS = 2
# What a few of them are called; a rename would break what users have written.
KNOWN = {
    "mlp": ["Dense_0", "Dense_1", "Dense_2", "output"],
    "random_features": ["output", "random_layer", "readout"],
    "token_mlp": ["embedding", "mlp", "mlp/Dense_0", "mlp/Dense_1", "mlp/Dense_2", "output"],
    "transformer": [
        "embedding",
        "head",
        "head_norm",
        *(
            f"layers/{number}{part}"
            for number in range(2)
            for part in (
                "",
                "/attention",
                "/attention/output",
                "/attention/queries_keys_values",
                "/attention_norm",
                "/feed_forward_in",
                "/feed_forward_norm",
                "/feed_forward_out",
            )
        ),
        "output",
    ],
}


def small(name):
    """Return (model, five inputs) of a small network of the registry."""
    if name in models.names():
        model = models.build(name, 6, **test_models.SMALL[name])
        return model, test_models.inputs(6, 5)
    tokens = name in test_classifiers.TOKENS
    task = test_classifiers.TOKEN_TASK if tokens else test_classifiers.IMAGE_TASK
    model = models.build_classifier(name, *task, **test_classifiers.SMALL[name])
    return model, test_classifiers.inputs(*task[:2], count=5)


def replicas(model, x):
    keys = jax.random.split(jax.random.key(0), REPLICAS)
    drawn = jax.jit(jax.vmap(model.init, in_axes=(0, None)))(keys, x[:1])
    return test_models.moved(drawn)


@pytest.mark.parametrize("name", NAMES)
def test_paths_and_shapes(name):
    """Traced, not computed: unique and stable paths, the batch first, an output like that."""
    model, x = small(name)
    params = jax.eval_shape(model.init, jax.random.key(0), x)
    found = jax.eval_shape(model.activations, params, x)
    assert list(found) == sorted(jax.eval_shape(model.activations, params, x[:3]))
    assert all(leaf.shape[0] == len(x) for leaf in found.values())
    assert found["output"].shape == jax.eval_shape(model.apply, params, x).shape
    assert sorted(found) == KNOWN.get(name, sorted(found))
    # A layer with parameters returns something: every kernel's layer is there.
    for path, _ in jax.tree_util.tree_leaves_with_path(params):
        layers = [key.key for key in path[:-1]]
        if "layers" in layers:
            layers.insert(layers.index("layers") + 1, "0")
        assert not layers or "/".join(layers) in found


@pytest.mark.parametrize("name", slow_but(["mlp", "linear_regression"], NAMES))
def test_jit_and_vmap_over_replicas(name):
    model, x = small(name)
    params = replicas(model, x)

    def both(params):
        return model.activations(params, x), model.apply(params, x)

    together, outputs = jax.jit(jax.vmap(both))(params)
    np.testing.assert_allclose(together["output"], outputs, rtol=1e-5, atol=1e-5)
    alone, output = jax.jit(both)(jax.tree.map(lambda leaf: leaf[0], params))
    np.testing.assert_allclose(alone["output"], output, rtol=1e-6, atol=1e-6)
    assert list(alone) == list(together)
    for path, value in alone.items():
        assert together[path].shape == (REPLICAS, *value.shape)
        np.testing.assert_allclose(together[path][0], value, rtol=1e-4, atol=1e-4, err_msg=path)


def test_the_first_hidden_layer_of_the_mlp_by_hand():
    model, x = small("mlp")
    params = jax.tree.map(lambda leaf: leaf[0], replicas(model, x))
    found = model.activations(params, x)
    assert list(found) == sorted(found)  # as a function that is jitted returns it
    weights, biases = (np.asarray(params["Dense_0"][part]) for part in ("kernel", "bias"))
    first = np.asarray(x) @ weights + biases  # before the nonlinearity
    assert (first < 0).any()
    np.testing.assert_allclose(found["Dense_0"], first, rtol=1e-5, atol=1e-6)
    weights, biases = (np.asarray(params["Dense_1"][part]) for part in ("kernel", "bias"))
    second = np.maximum(first, 0) @ weights + biases
    np.testing.assert_allclose(found["Dense_1"], second, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_repeated_layers_are_in_order():
    """Every layer adds its two parts to what the layer before it returned."""
    model, x = small("transformer")
    params = jax.tree.map(lambda leaf: leaf[0], replicas(model, x))
    found = jax.jit(model.activations)(params, x)
    added = [found[f"layers/1/{part}"] for part in ("attention", "feed_forward_out")]
    np.testing.assert_allclose(found["layers/1"], found["layers/0"] + sum(added), atol=1e-4)
    assert found["layers/0"].shape == (5, 7, 16)  # the batch, the tokens, the width


def test_calls_of_one_submodule_are_numbered():
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x):
            dense = nn.Dense(x.shape[-1], name="dense")
            return dense(dense(x))

    x = jnp.ones((4, 3))
    params = Twice().init(jax.random.key(0), x)["params"]
    found = captured(Twice(), params, x)
    assert list(found) == ["dense/0", "dense/1", "output"]
    kernel = np.asarray(params["dense"]["kernel"])
    np.testing.assert_allclose(found["dense/0"], x @ kernel, rtol=1e-5)
    np.testing.assert_allclose(found["output"], x @ kernel @ kernel, rtol=1e-5)


def test_inputs_of_no_use_are_refused():
    model, x = small("mlp")
    params = jax.tree.map(lambda leaf: leaf[0], replicas(model, x))
    with pytest.raises(ValueError, match="allowed"):
        model.activations(params, x > 0)
