"""Contracts of every registered model; the networks' formulas, starts and parametrizations."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from slow_cases import slow_but

from pvr_jax import models
from pvr_jax.models import initialization
from pvr_jax.training.optimizers import optimizer
from pvr_jax.training.state import initial_state, supervised, train_step

SIZES = (5, *(pytest.param(n, marks=pytest.mark.slow) for n in (11, 14)))

# Every registered model, small enough to compile in no time.
SMALL = {
    "mlp": {"widths": (32, 16)},
    "transformer": {
        "width": 16,
        "depth": 2,
        "heads": 2,
        "head_width": 8,
        "feed_forward_width": 16,
    },
    "mixer": {"width": 16, "depth": 2, "channel_width": 8},
    "linear_regression": {},
    "deep_linear": {"width": 16},
    "random_features": {"features": 64},
    "mean_field": {"width": 64},
}
# These take seconds to compile; by default the golden steps have their numbers.
DEEP = ("transformer", "mixer")
# Parameters that are never trained: their gradient is exactly zero.
FROZEN = {"random_features": ("['random_layer']",)}
# Parameters that the outputs do not depend on, in exact arithmetic: what the Mixer adds to all
# channels of a token alike is taken out by every layer normalization.
INVISIBLE = {"mixer": ("['layers']['token_out']['bias']",)}


def inputs(n, count=7, seed=0):
    return jnp.asarray(np.random.default_rng(seed).choice([-1.0, 1.0], (count, n)), jnp.float32)


@cache
def small(name, n):
    """Return (model, its functions compiled once, parameters away from any zero start)."""
    model = models.build(name, n, **SMALL[name])
    compiled = model._replace(init=jax.jit(model.init), apply=jax.jit(model.apply))
    return model, compiled, moved(compiled.init(jax.random.key(0), inputs(n, 1)))


def moved(params, seed=0):
    """Return the parameters plus noise: a readout that starts at 0 would hide everything."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: leaf + jnp.asarray(0.1 * generator.standard_normal(leaf.shape), leaf.dtype),
        params,
    )


def path_of(path, table, name):
    return jax.tree_util.keystr(path).startswith(table.get(name, ("nothing",)))


def steps(model, params, x, y, name, rate, count):
    """Return the parameters after `count` steps on one batch."""
    transformation = optimizer(name, rate)
    batch = {"x": x, "y": y, "weight": jnp.ones_like(y)}

    def step(state, _):
        return train_step(
            state, batch, objective=supervised(model.apply), transformation=transformation
        )

    start = initial_state(params, transformation)
    return jax.lax.scan(step, start, None, length=count)[0].params


def test_every_registered_model_is_tested():
    assert set(SMALL) == set(models.names())


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in DEEP else ()) for name in SMALL]
)
class TestEveryModel:
    def test_shapes_and_dtypes(self, name, n):
        _, compiled, params = small(name, n)
        outputs = compiled.apply(params, inputs(n))
        assert outputs.shape == (7,)
        assert outputs.dtype == jnp.float32
        assert np.ptp(outputs) > 1e-3

    def test_jit_changes_nothing(self, name, n):
        model, compiled, params = small(name, n)
        np.testing.assert_allclose(
            compiled.apply(params, inputs(n)), model.apply(params, inputs(n)), atol=1e-5
        )

    @pytest.mark.slow
    def test_vmap_is_the_loop(self, name, n):
        model, compiled, _ = small(name, n)
        keys = jax.random.split(jax.random.key(1), 3)
        x = inputs(n)
        drawn = jax.jit(jax.vmap(model.init, in_axes=(0, None)))(keys, x[:1])
        stacked = moved(drawn)
        together = jax.jit(jax.vmap(model.apply, in_axes=(0, None)))(stacked, x)
        for index, key in enumerate(keys):
            alone = compiled.init(key, x[:1])
            jax.tree.map(
                lambda leaf, other, i=index: np.testing.assert_allclose(leaf, other[i], rtol=1e-6),
                alone,
                drawn,
            )
            params = jax.tree.map(lambda leaf, i=index: leaf[i], stacked)
            np.testing.assert_allclose(together[index], compiled.apply(params, x), atol=1e-5)

    def test_gradients_are_finite_and_reach_every_trainable_parameter(self, name, n):
        model, _, params = small(name, n)
        x = inputs(n, 64)
        gradients = jax.jit(
            jax.grad(lambda p: jnp.mean(jnp.square(model.apply(p, x) - x[:, 0] * x[:, 1])))
        )(params)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
            largest = float(jnp.abs(leaf).max())
            assert np.isfinite(largest), path
            if path_of(path, FROZEN, name):
                assert largest == 0, path
            elif path_of(path, INVISIBLE, name):
                assert largest < 1e-6, path
            else:
                assert largest > 1e-5, path

    def test_initialisation_is_the_same_in_both_types_of_training(self, name, n):
        model, compiled, _ = small(name, n)
        key, x = jax.random.key(2), inputs(n, 1)
        drawn = compiled.init(key, x)
        with jax.enable_x64(True):
            again = jax.jit(model.init)(key, x)
        for leaf, other in zip(jax.tree.leaves(drawn), jax.tree.leaves(again), strict=True):
            np.testing.assert_array_equal(leaf, other)
            assert other.dtype == jnp.float32

    def test_initialisation_depends_on_the_key(self, name, n):
        # On the parameters: a readout that starts at zero makes all outputs equal.
        _, compiled, _ = small(name, n)
        first, again, other = (
            jax.tree.leaves(compiled.init(jax.random.key(seed), inputs(n, 1))) for seed in (0, 0, 1)
        )
        assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
        for leaf, different in zip(first, other, strict=True):
            assert np.ptp(leaf) == 0 or not np.array_equal(leaf, different)
        assert any(np.ptp(leaf) > 0 for leaf in first)


@pytest.mark.parametrize(
    "name, parameters, count",
    [
        # (11+1)*512 + (512+1)*1024 + (1024+1)*512 + (512+1)*64 + (64+1)*1
        ("mlp", {}, 1_089_153),
        ("linear_regression", {}, 12),
        ("deep_linear", {}, 12 * 256 + 257 * 256 + 257),
        ("deep_linear", {"depth": 1}, 12),
        ("random_features", {}, 12 * 8192 + 8192),
        ("mean_field", {}, 12 * 65536 + 65537),
    ],
)
def test_parameter_counts_at_11_bits(name, parameters, count):
    model = models.build(name, 11, **parameters)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 11)))
    assert models.parameter_count(params) == count


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


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("mlp", {}),
        ("mlp", {"widths": (40, 24), "initialisation": "ntk"}),
        ("mlp", {"widths": (40, 24), "initialisation": "mup"}),
        ("mlp", {"widths": (40, 24), "initialisation": "mup_adam"}),
        ("mlp", {"widths": (40, 24), "initialisation": "scaled", "alpha": 1.0}),
        ("linear_regression", {}),
        ("deep_linear", {"depth": 4, "width": 32, "alpha": 0.25}),
        ("random_features", {"features": 64}),
        ("random_features", {"features": 64, "kind": "polynomial"}),
        ("random_features", {"features": 64, "scale": "inverse_sqrt", "trainable": True}),
        ("mean_field", {"width": 64}),
    ],
)
def test_outputs_equal_pytorchs(name, parameters):
    pytest.importorskip("torch", reason="torch is not installed (extra: torch)")
    import pytorch_references

    model = models.build(name, 11, **parameters)
    x = inputs(11, 64)
    params = moved(jax.jit(model.init)(jax.random.key(3), x))
    expected = pytorch_references.outputs(name, jax.tree.map(np.asarray, params), x, **parameters)
    with jax.default_matmul_precision("highest"):
        np.testing.assert_allclose(jax.jit(model.apply)(params, x), expected, atol=1e-5)


def uniform(bound):
    return scipy.stats.uniform(loc=-bound, scale=2 * bound)


MLP_TEN = {"widths": (10,), "initialisation": "scaled", "alpha": 1.5}


@pytest.mark.parametrize(
    "name, parameters, layer, distribution",
    [
        ("mlp", {}, "Dense_0", uniform(11**-0.5)),
        ("mlp", {}, "Dense_1", uniform(512**-0.5)),
        ("mlp", {}, "Dense_4", uniform(64**-0.5)),
        ("mlp", MLP_TEN, "Dense_0", uniform(11**-1.5)),
        ("mlp", MLP_TEN, "Dense_1", uniform(10**-1.5)),
        ("mlp", {"widths": (30,), "initialisation": "ntk"}, "Dense_1", scipy.stats.norm()),
        ("linear_regression", {}, "Dense_0", uniform(11**-0.5)),
        ("deep_linear", {}, "Dense_0", uniform(11**-0.5)),
        ("deep_linear", {"alpha": 2.5, "width": 64}, "Dense_1", uniform(64**-2.5)),
        ("random_features", {}, "random_layer", scipy.stats.norm(scale=11**-0.5)),
        ("mean_field", {"width": 500}, "Dense_0", uniform(11**-0.5)),
        ("mean_field", {"width": 500}, "Dense_1", uniform(1)),
        ("mean_field", {"width": 500, "alpha": 0.5}, "Dense_1", uniform(500**-0.5)),
    ],
)
@pytest.mark.parametrize("leaf", slow_but(["kernel"], ["kernel", "bias"]))
def test_parameters_start_from_their_distribution(name, parameters, layer, distribution, leaf):
    model = models.build(name, 11, **parameters)
    draw = jax.jit(lambda key: model.init(key, inputs(11, 1))[layer][leaf])
    keys = jax.random.split(jax.random.key(5), 40 if leaf == "bias" else 4)
    values = np.concatenate([np.ravel(draw(key))[:4000] for key in keys])
    assert np.abs(values).max() <= distribution.support()[1]
    # The keys are fixed, so this either always holds or never: the distribution is right or it is
    # not.
    assert scipy.stats.kstest(values, distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_inputs_that_cannot_be_minus_one_are_refused(name, dtype):
    model, compiled, params = small(name, SIZES[0])
    x = np.ones((2, SIZES[0]), dtype)
    message = rf"^x: given {np.dtype(dtype)}; allowed -1 and \+1, for bits 2.0 \* x - 1"
    for call in (model.init, compiled.init):
        with pytest.raises(ValueError, match=message):
            call(jax.random.key(0), x)
    for call in (model.apply, compiled.apply):
        with pytest.raises(ValueError, match=message):
            call(params, x)


@pytest.mark.parametrize("name", slow_but(["scaled", "mup"], initialization.NAMES))
def test_every_initialization_draws_the_same_in_both_types_of_training(name):
    init = jax.jit(models.build("mlp", 5, widths=(8,), initialisation=name).init)
    drawn = init(jax.random.key(0), jnp.ones((1, 5)))
    with jax.enable_x64(True):
        again = init(jax.random.key(0), jnp.ones((1, 5)))
    for leaf, other in zip(jax.tree.leaves(drawn), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(leaf, other)


def test_lecun_initialisation_has_zero_biases_and_unit_gain():
    weights, biases = initialization.dense_initializers("lecun", 400)
    drawn = weights(jax.random.key(0), (400, 300), jnp.float32)
    assert np.var(np.asarray(drawn)) == pytest.approx(1 / 400, rel=0.02)
    assert not np.any(np.asarray(biases(jax.random.key(0), (300,), jnp.float32)))


@pytest.mark.parametrize(
    "name, parameters",
    [("linear_regression", {"initialisation": "zero"}), ("random_features", {"features": 8})],
)
def test_models_that_start_at_zero(name, parameters):
    model = models.build(name, 11, **parameters)
    assert not np.any(model.apply(model.init(jax.random.key(0), inputs(11)), inputs(11)))


def test_a_deep_linear_network_of_depth_1_is_linear_regression():
    deep, shallow = models.build("deep_linear", 11, depth=1), models.build("linear_regression", 11)
    params = deep.init(jax.random.key(2), inputs(11))
    jax.tree.map(np.testing.assert_array_equal, params, shallow.init(jax.random.key(2), inputs(11)))
    np.testing.assert_array_equal(deep.apply(params, inputs(11)), shallow.apply(params, inputs(11)))


@pytest.mark.parametrize("value", slow_but([-1], [1, -1]))
@pytest.mark.parametrize("rule, rate", [("adam", 0.01), ("sgd", 0.02)])
@pytest.mark.parametrize("name", ["linear_regression", "deep_linear"])
def test_linear_networks_conserve_bias_minus_frozen_weight(name, rule, rate, value):
    model = models.build(name, 5, **SMALL[name])
    x = inputs(5, 16).at[:, 3].set(value)
    start = model.init(jax.random.key(0), x)
    end = jax.jit(lambda p: steps(model, p, x, 1 + 2 * x[:, 0] - x[:, 3], rule, rate, 20))(start)

    def conserved(params):
        first = params["Dense_0"]
        return first["bias"] - value * first["kernel"][3]

    assert np.abs(end["Dense_0"]["bias"] - start["Dense_0"]["bias"]).max() > 0.01
    np.testing.assert_allclose(conserved(end), conserved(start), atol=2e-6)


@pytest.mark.parametrize("rule", ["adam", "sgd"])
@pytest.mark.parametrize("trainable", [False, True])
def test_random_features_are_trained_only_if_asked_for(rule, trainable):
    model = models.build("random_features", 5, features=64, trainable=trainable)
    x = inputs(5, 16)
    start = model.init(jax.random.key(0), x)
    # Two steps: in the first the readout is zero, and with it the gradient of what feeds it.
    end = jax.jit(lambda p: steps(model, p, x, x[:, 0] * x[:, 1], rule, 0.01, 2))(start)
    for leaf in ("kernel", "bias"):
        same = np.array_equal(end["random_layer"][leaf], start["random_layer"][leaf])
        assert same is not trainable
    assert np.any(end["readout"]["kernel"])


def test_frozen_random_features_leave_the_gradient_in_the_inputs():
    _, compiled, params = small("random_features", 5)
    gradient = jax.grad(lambda x: jnp.sum(compiled.apply(params, x)))(inputs(5))
    assert np.all(np.any(gradient, axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(8, 8), (32, 32)])
def test_ntk_networks_start_with_the_variance_of_the_formula(widths):
    # Of the first layer 1 + s^2, as |x|^2 = n; each ReLU halves it, each layer adds s^2. The
    # formula is exact at every width, because preactivations are symmetric.
    variance = 1 + initialization.NTK_BIAS_SCALE**2
    for _ in widths:
        variance = variance / 2 + initialization.NTK_BIAS_SCALE**2
    model = models.build("mlp", 11, widths=widths, initialisation="ntk")
    x = inputs(11, 1)
    draw = jax.jit(jax.vmap(lambda key: model.apply(model.init(key, x), x)[0]))
    assert np.var(draw(jax.random.split(jax.random.key(0), 20_000))) == pytest.approx(
        variance, rel=0.04
    )


@pytest.mark.parametrize(
    "name, rate_of_weight, exponents",
    [
        ("mup", lambda m: m**2, [(-0.5, 0.5), (0, 0.5), (0.5, 0.5)]),
        ("mup_adam", lambda m: m, [(0, 0), (1, -0.5), (1, 0)]),
    ],
)
def test_maximal_update_has_the_exponents_of_its_table(name, rate_of_weight, exponents):
    def parametrizations(width):
        sizes = [(11, width, False), (width, width, False), (width, 1, True)]
        return [
            initialization.dense_parametrization(name, fan_in, fan_out, last=last)
            for fan_in, fan_out, last in sizes
        ]

    for narrow, wide, (a, b) in zip(
        parametrizations(64), parametrizations(256), exponents, strict=True
    ):
        assert wide.weight_multiplier / narrow.weight_multiplier == pytest.approx(4.0**-a)
        deviations = [
            np.std(dense.weights(jax.random.key(0), (200, 200), jnp.float32))
            for dense in (narrow, wide)
        ]
        assert deviations[1] / deviations[0] == pytest.approx(4.0**-b, rel=1e-4)
        assert narrow.biases is wide.biases is jax.nn.initializers.zeros
    # Effective learning rates: what one step changes in W and b themselves, in powers of fan_out.
    first, _, last = parametrizations(64)
    assert rate_of_weight(first.bias_multiplier) == pytest.approx(64 if name == "mup" else 1)
    assert last.bias_multiplier == 1


@pytest.mark.parametrize(("width", "share"), slow_but([(256, 0.03)], [(256, 0.03), (1024, 0.20)]))
def test_adams_eps_cuts_off_maximal_update_from_a_width_of_1000_on(width, share):
    model = models.build("mlp", 11, widths=(width, width), initialisation="mup_adam")
    x = inputs(11, 64)
    y = x[:, 0] * x[:, 1] + x[:, 2]

    @jax.jit
    def gradients(key):
        start = model.init(key, x)
        found = jax.grad(lambda params: jnp.mean(jnp.square(model.apply(params, x) - y)))(start)
        return found["Dense_1"]["kernel"]

    size = np.abs(gradients(jax.random.key(0)))
    assert np.mean(size[size > 0] < 1e-8) == pytest.approx(share, rel=0.5)


def movements(name, rule, rate, width, depth=3):
    """Return how far 5 steps move every layer's outputs by its weights, and the network's."""
    widths = (width,) * depth
    model = models.build("mlp", 11, widths=widths, initialisation=name)
    x = inputs(11, 64)
    y = x[:, 0] * x[:, 1] + x[:, 2]

    def size(values):
        return jnp.sqrt(jnp.mean(jnp.square(values)))

    def one(key):
        start = model.init(key, x)
        end = steps(model, start, x, y, rule, rate, 5)
        hidden, sizes = x, []
        for index, fan_out in enumerate((*widths, 1)):
            dense = initialization.dense_parametrization(
                name, hidden.shape[1], fan_out, last=index == depth
            )
            old, new = (
                dense.weight_multiplier * p[f"Dense_{index}"]["kernel"] for p in (start, end)
            )
            sizes.append(size(hidden @ (new - old)))
            bias = dense.bias_multiplier * start[f"Dense_{index}"]["bias"]
            hidden = jax.nn.relu(hidden @ old + bias[None])
        return jnp.stack([*sizes, size(model.apply(end, x) - model.apply(start, x))])

    return np.mean(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 8)), axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, rule, rate, low, high",
    [
        ("mup", "sgd", 0.05, 0.7, 1.4),
        ("mup_adam", "adam", 0.01, 0.7, 1.4),
        # The controls: with the same rate, other parametrizations move by ever more, or less.
        ("pytorch", "sgd", 0.01, None, None),
        ("pytorch", "adam", 1e-3, None, None),
        ("mup", "adam", 1e-3, None, None),
        ("mup_adam", "sgd", 1e-3, None, None),
    ],
)
def test_maximal_update_moves_every_layer_alike_at_every_width(name, rule, rate, low, high):
    narrow, wide = movements(name, rule, rate, 32), movements(name, rule, rate, 256)
    ratios = wide / narrow
    if low is None:
        assert max(ratios.max(), 1 / ratios.min()) > 2.5
    else:
        assert low < ratios.min() and ratios.max() < high


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("mlpp", {}, "name: given 'mlpp'; allowed deep_linear, linear_regression, mean_field, m"),
        ("mlp", {"width": 3}, "width: given 3; allowed parameters of mlp are widths, init"),
        ("mlp", {"widths": (3, 0)}, "widths: given (3, 0); allowed whole numbers"),
        ("mlp", {"widths": 3}, "widths: given 3; allowed whole numbers"),
        ("mlp", {"initialisation": "he"}, "initialisation: given 'he'; allowed pytorch, lecun"),
        ("mlp", {"alpha": 2}, "alpha: given 2.0; allowed 0.5 unless initialisation is scaled"),
        ("mlp", {"initialisation": "scaled", "alpha": "2"}, "alpha: given '2'; allowed finite"),
        ("linear_regression", {"initialisation": "ntk"}, "initialisation: given 'ntk'; allowed py"),
        ("deep_linear", {"depth": 0}, "depth: given 0; allowed whole numbers of at least 1"),
        ("deep_linear", {"width": 2.5}, "width: given 2.5; allowed whole numbers of at least 1"),
        ("deep_linear", {"alpha": float("nan")}, "alpha: given nan; allowed finite numbers"),
        ("random_features", {"kind": "tanh"}, "kind: given 'tanh'; allowed relu, polynomial"),
        ("random_features", {"trainable": 1}, "trainable: given 1; allowed False, True"),
        ("random_features", {"scale": 2}, "scale: given 2; allowed none, inverse_sqrt"),
        ("random_features", {"features": True}, "features: given True; allowed whole numbers"),
        ("mean_field", {"width": 0}, "width: given 0; allowed whole numbers of at least 1"),
        ("mean_field", {"alpha": None}, "alpha: given None; allowed finite numbers"),
    ],
)
def test_bad_choices_are_named(name, parameters, message):
    with pytest.raises(ValueError) as raised:
        models.build(name, 11, **parameters)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_a_name_that_is_nearly_right_is_suggested():
    with pytest.raises(ValueError, match=r"\(did you mean 'mlp'\?\)$"):
        models.build("mlpp", 11)
