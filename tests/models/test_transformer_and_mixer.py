"""The two token models: their sizes, outputs against PyTorch, starts and compiled size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from slow_cases import slow_but

from pvr_jax import models

SMALL = {
    "transformer": {
        "width": 16,
        "depth": 3,
        "heads": 2,
        "head_width": 8,
        "feed_forward_width": 24,
    },
    "mixer": {"width": 16, "depth": 3, "token_expansion": 2, "channel_width": 8},
}


def inputs(n, count=6, seed=0):
    return jnp.asarray(np.random.default_rng(seed).choice([-1.0, 1.0], (count, n)), jnp.float32)


def drawn(name, n, **parameters):
    model = models.build(name, n, **parameters)
    return model, jax.jit(model.init)(jax.random.key(0), inputs(n, 1))


def expected_count(name, n, width=256, depth=12):
    """The parameters of the authors' networks, layer by layer (bias and norm included)."""
    norm = 2 * width
    if name == "transformer":
        inner, hidden = 6 * 64, 256
        attention = width * 3 * inner + inner * width + width
        feed_forward = width * hidden + hidden + hidden * width + width
        layers = depth * (attention + feed_forward + 2 * norm)
        return 2 * width + (n + 1) * width + width + layers + norm + width + 1
    tokens = n * 4 * n + 4 * n + 4 * n * n + n
    channels = width * 128 + 128 + 128 * width + width
    return 2 * width + depth * (tokens + channels + 2 * norm) + norm + width + 1


@pytest.mark.parametrize("n", [5, 11, 14, 20])
@pytest.mark.parametrize("name", SMALL)
def test_parameter_counts_are_those_of_the_authors(name, n):
    model = models.build(name, n)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, n)))
    assert models.parameter_count(params) == expected_count(name, n)
    if n == 11:
        assert models.parameter_count(params) == {"transformer": 6_317_569, "mixer": 816_885}[name]


def test_one_head_as_wide_as_the_tokens_is_projected_too():
    # The authors' code leaves this layer out; here the number of heads changes nothing else.
    shapes = {}
    for heads, head_width in ((1, 8), (2, 4)):
        sizes = {"width": 8, "depth": 1, "heads": heads, "head_width": head_width}
        model = models.build("transformer", 5, feed_forward_width=8, **sizes)
        params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 5)))
        shapes[heads] = jax.tree.map(lambda leaf: leaf.shape, params)
    assert shapes[1] == shapes[2]
    assert shapes[1]["layers"]["attention"]["output"] == {"kernel": (1, 8, 8), "bias": (1, 8)}


@pytest.mark.parametrize("n", [5, 11, 14])
@pytest.mark.parametrize("size", ["small", "paper"])
@pytest.mark.parametrize("name", SMALL)
def test_outputs_equal_pytorchs(name, size, n):
    pytest.importorskip("torch", reason="torch is not installed (extra: torch)")
    import pytorch_references

    parameters = SMALL[name] if size == "small" else {}
    model, params = drawn(name, n, **parameters)
    expected = pytorch_references.outputs(
        name, jax.tree.map(np.asarray, params), inputs(n), **parameters
    )
    with jax.default_matmul_precision("highest"):
        outputs = jax.jit(model.apply)(params, inputs(n))
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_a_program_has_one_layer_whatever_the_depth(name):
    def size(depth):
        model = models.build(name, 11, **SMALL[name] | {"depth": depth})
        params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 11)))
        loss = jax.grad(lambda p: model.apply(p, jnp.ones((2, 11))).sum())
        return str(jax.make_jaxpr(loss)(params)).count(" = ")  # one per equation

    # With one layer alone there would be nothing to repeat.
    assert size(2) == size(12)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_order_of_the_bits_matters(name):
    model, params = drawn(name, 5, **SMALL[name])
    x = jnp.array([[1.0, -1, -1, -1, 1], [-1.0, 1, -1, -1, 1]])
    outputs = model.apply(params, x)
    assert abs(float(outputs[0] - outputs[1])) > 1e-4


@pytest.mark.parametrize("name", slow_but(["mixer"], SMALL))
def test_inputs_count_by_their_sign_alone(name):
    model, params = drawn(name, 5, **SMALL[name])
    np.testing.assert_array_equal(
        model.apply(params, inputs(5)), model.apply(params, inputs(5) / 2)
    )


def uniform(fan_in):
    return scipy.stats.uniform(-(fan_in**-0.5), 2 * fan_in**-0.5)


NORMAL = scipy.stats.norm()


@pytest.mark.parametrize(
    "name, path, distribution",
    [
        pytest.param("transformer", "embedding.rows", NORMAL, marks=pytest.mark.slow),
        ("transformer", "positions", NORMAL),
        ("transformer", "start_token", NORMAL),
        ("transformer", "layers.attention.queries_keys_values.kernel", uniform(256)),
        ("transformer", "layers.attention.output.kernel", uniform(384)),
        ("transformer", "layers.attention.output.bias", uniform(384)),
        ("transformer", "layers.feed_forward_in.bias", uniform(256)),
        ("transformer", "layers.feed_forward_out.kernel", uniform(256)),
        ("transformer", "head.kernel", uniform(256)),
        pytest.param("mixer", "embedding.rows", NORMAL, marks=pytest.mark.slow),
        ("mixer", "layers.token_in.kernel", uniform(11)),
        ("mixer", "layers.token_in.bias", uniform(11)),
        ("mixer", "layers.token_out.kernel", uniform(44)),
        ("mixer", "layers.channel_in.kernel", uniform(256)),
        ("mixer", "layers.channel_out.kernel", uniform(128)),
        ("mixer", "layers.channel_out.bias", uniform(128)),
        ("mixer", "head.kernel", uniform(256)),
    ],
)
def test_parameters_start_from_their_distribution(name, path, distribution):
    _, params = drawn(name, 11, depth=2)
    values = params
    for key in path.split("."):
        values = values[key]
    values = np.ravel(values)[:: max(1, values.size // 4000)]
    assert np.abs(values).max() <= distribution.support()[1]
    assert scipy.stats.kstest(values, distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", SMALL)
def test_layers_start_differently(name):
    _, params = drawn(name, 5, **SMALL[name])
    for path, leaf in jax.tree_util.tree_leaves_with_path(params["layers"]):
        assert leaf.shape[0] == 3
        if "norm" not in jax.tree_util.keystr(path):
            assert not np.array_equal(leaf[0], leaf[1]), path


@pytest.mark.parametrize(
    "name, parameter, value",
    [
        *(("transformer", parameter, 0) for parameter in SMALL["transformer"]),
        *(("mixer", parameter, 0) for parameter in SMALL["mixer"]),
        ("transformer", "depth", 2.5),
        ("mixer", "width", "wide"),
    ],
)
def test_sizes_are_whole_numbers_of_at_least_one(name, parameter, value):
    with pytest.raises(ValueError, match=rf"^{parameter}: given {value!r}; allowed") as error:
        models.build(name, 11, **{parameter: value})
    assert "\n" not in str(error.value)
