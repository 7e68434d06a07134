"""Kernel predictions against direct solves, finite networks and closed forms."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax import models, tasks, theory
from pvr_jax.boolean import cube, float64, krawtchouk
from pvr_jax.theory import wide_networks
from pvr_jax.theory.empirical_kernel import Outer, _features

TINY_TRANSFORMER = {
    "width": 8,
    "depth": 1,
    "heads": 2,
    "head_width": 4,
    "feed_forward_width": 8,
}
# Depth 3, weight variance 2, bias variance .1: the network whose predictions for f3 are known.
NETWORK = {"depth": 3, "weight_variance": 2.0, "bias_variance": 0.1}
SLOW = pytest.mark.slow


def points(n):
    return np.array(list(itertools.product([-1.0, 1.0], repeat=n)))


def matrix_of(eigenvalues):
    """Return the kernel's matrix [2^n, 2^n] from its definition Σ μ_|S| χ_S χ_S."""
    n = len(eigenvalues) - 1
    total = np.zeros((2**n, 2**n))
    for chosen in itertools.product([0, 1], repeat=n):
        character = np.prod(np.where(chosen, points(n), 1.0), axis=1)
        total += eigenvalues[sum(chosen)] * np.outer(character, character)
    return total


def of_points(kernel):
    """Return the kernel's matrix [2^n, 2^n] from its values [n + 1] by Hamming distance."""
    x = points(len(kernel) - 1)
    return kernel[(x[:, None] != x[None]).sum(axis=2)]


def direct(matrix, values, seen):
    """Return the minimum-norm interpolant from the representer theorem."""
    return matrix[:, seen] @ np.linalg.solve(matrix[np.ix_(seen, seen)], values[seen])


@pytest.mark.parametrize("n", [1, 4, 7])
def test_krawtchouk_numbers_are_the_sums_of_characters(n):
    matrix = points(n)
    for degree in range(n + 1):
        total = np.zeros((2**n, 2**n))
        for chosen in itertools.combinations(range(n), degree):
            character = np.prod(matrix[:, chosen], axis=1)
            total += np.outer(character, character)
        apart = (matrix[:, None] != matrix[None]).sum(axis=2)
        np.testing.assert_array_equal(krawtchouk.krawtchouk(n)[degree][apart], total)


def test_eigenvalues_and_kernel_invert_each_other():
    eigenvalues = np.random.default_rng(0).random(9)
    kernel = krawtchouk.kernel_of(eigenvalues)
    np.testing.assert_allclose(krawtchouk.eigenvalues_of(kernel), eigenvalues, atol=1e-14)
    apart = krawtchouk.distances(np.arange(2**8), np.arange(2**8))
    np.testing.assert_allclose(kernel[apart], matrix_of(eigenvalues), atol=1e-12)


@pytest.mark.parametrize("value", [-1, 1])
@pytest.mark.parametrize("n", [2, 6])
def test_the_formula_agrees_with_a_direct_solve(n, value):
    random = np.random.default_rng(n)
    target, eigenvalues = random.normal(size=2**n), random.random(n + 1) + 0.05
    errors = theory.kernel_influences(float64.spectrum(target), eigenvalues, value)
    for bit in range(n):
        seen = points(n)[:, bit] == value
        learned = direct(matrix_of(eigenvalues), target, seen)
        assert errors[bit] == pytest.approx(np.mean(np.square(learned - target)) / 2, abs=1e-12)


def test_limits_of_the_formula():
    coefficients = float64.spectrum(np.random.default_rng(5).normal(size=32))
    influences = [
        sum(coefficients[s] ** 2 for s in range(32) if bit in cube.coordinates(s, 5))
        for bit in range(5)
    ]
    steep = theory.kernel_influences(coefficients, 1e-15 ** np.arange(6))
    np.testing.assert_allclose(steep, influences, rtol=1e-12)
    flat = theory.kernel_influences(coefficients, np.ones(6))
    # Zero on the unseen half: a quarter of the mean square there, of twice the cube's share.
    values = float64.values_of(coefficients)
    unseen = points(5)[:, 2] == -1
    assert flat[2] == pytest.approx(np.mean(np.square(values) * unseen) / 2)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_interpolator_agrees_with_a_direct_solve(share):
    n, random = 6, np.random.default_rng(int(100 * share))
    values, seen = random.normal(size=2**n), random.random(2**n) < share
    eigenvalues = 0.4 ** np.arange(n + 1)
    expected = direct(matrix_of(eigenvalues), values, seen)
    np.testing.assert_allclose(
        theory.kernel_interpolator(eigenvalues, values, seen), expected, atol=1e-9
    )
    np.testing.assert_allclose(
        theory.kernel_interpolator(matrix_of(eigenvalues), values, seen), expected, atol=1e-9
    )


def test_interpolator_leaves_out_coordinates_and_knows_subspaces():
    n, eigenvalues = 7, 0.5 ** np.arange(8)
    x = points(n)
    target = x[:, 1] * x[:, 4] + 0.5 * x[:, 6]
    for seen in ((x[:, 1] == 1) | (x[:, 2] == 1), x[:, 0] * x[:, 1] * x[:, 3] == -1, x[:, 4] == 1):
        expected = direct(matrix_of(eigenvalues), target, seen)
        learned = theory.kernel_interpolator(eigenvalues, target, seen)
        np.testing.assert_allclose(learned, expected, atol=1e-9)


def test_everything_seen_still_needs_a_kernel_that_holds_it():
    x = points(8)
    six = np.r_[np.ones(7), 0, 0]
    everything = np.ones(2**8, bool)
    seven = np.prod(x[:, :7], axis=1)
    held = np.prod(x[:, 1:7], axis=1) + 0.3 * x[:, 0]
    np.testing.assert_allclose(theory.kernel_interpolator(six, held, everything), held, atol=1e-12)
    # At any size of the target: what is missed counts relative to it.
    for unit in (1.0, 1e-7):
        for kernel in (six, matrix_of(six)):
            with pytest.raises(ValueError, match="misses the seen values by up to"):
                theory.kernel_interpolator(kernel, unit * seven, everything)
    with pytest.raises(ValueError, match="misses the seen values by up to 1e-07"):
        theory.kernel_interpolator(six, 1e-7 * seven, x[:, 7] == 1)


def test_noise_kernel_tends_to_the_min_degree_interpolator():
    n, random = 5, np.random.default_rng(3)
    values, seen = random.normal(size=2**n), random.random(2**n) < 0.7
    limit = theory.min_degree_interpolator(values, seen)
    distances = [
        np.abs(theory.noise_kernel_interpolator(values, seen, rho) - limit).max()
        for rho in (0.1, 0.05, 0.025)
    ]
    # The distance is of first order in rho.
    assert distances[1] < 0.6 * distances[0]
    assert distances[2] < 0.6 * distances[1]
    np.testing.assert_array_equal(theory.noise_kernel_interpolator(values, seen, 0), limit)


@pytest.mark.parametrize("rho", [0.0, 0.13, 0.8, 1.0])
def test_degree_temperature_finds_the_interpolant(rho):
    n, random = 5, np.random.default_rng(8)
    values = random.normal(size=2**n)
    for seen in (points(n)[:, 2] == 1, random.random(2**n) < 0.6):
        learned = theory.noise_kernel_interpolator(values, seen, rho)
        assert theory.degree_temperature(learned, values, seen) == pytest.approx(rho, abs=1e-6)


def test_degree_temperature_of_a_frozen_bit_is_the_projection():
    n, random = 5, np.random.default_rng(2)
    target, learned = random.normal(size=(2, 2**n))
    seen = points(n)[:, 0] == 1
    frozen = np.tile(target[seen], 2)
    learned = learned + 2 * frozen
    c = learned[~seen] @ frozen[~seen] / (frozen[~seen] @ frozen[~seen])
    expected = np.clip((1 - c) / (1 + c), 0, 1)
    assert theory.degree_temperature(learned, target, seen) == pytest.approx(expected, abs=1e-6)


def test_nothing_unseen_has_no_temperature():
    values = np.arange(8.0)
    assert np.isnan(theory.degree_temperature(values, values, np.ones(8, bool)))


@pytest.mark.parametrize(
    "depth, kind, activation",
    slow_but(
        [(1, "nngp", "relu"), (1, "nngp", "erf")],
        [
            *itertools.product([1], ["ntk", "nngp"], ["relu", "erf"]),
            (3, "ntk", "relu"),
            (3, "nngp", "erf"),
        ],
    ),
)
def test_wide_kernels_agree_with_finite_networks(activation, kind, depth):
    # Networks in NTK parametrization, written here from the definition: 64 of width 512. The mean
    # of their kernels has a standard error of about 1 % in each entry.
    n, width = 5, 512
    x = jnp.asarray(points(n)[[0, 1, 3, 7, 15, 31]], jnp.float32)
    function = {"relu": jax.nn.relu, "erf": jax.scipy.special.erf}[activation]
    w, b = 1.6, 0.3

    def hidden(layers, point):
        for weights, bias in layers:
            scale = jnp.sqrt(w / weights.shape[1])
            point = function(scale * (weights @ point) + jnp.sqrt(b) * bias)
        return point

    def output(parameters, point):
        layers, readout, bias = parameters
        return jnp.sqrt(w / width) * readout @ hidden(layers, point) + jnp.sqrt(b) * bias

    def kernel(key):
        sizes = [n] + [width] * depth
        keys = jax.random.split(key, 2 * depth + 2)
        layers = [
            (
                jax.random.normal(keys[2 * i], (sizes[i + 1], sizes[i])),
                jax.random.normal(keys[2 * i + 1], (sizes[i + 1],)),
            )
            for i in range(depth)
        ]
        parameters = (layers, jax.random.normal(keys[-2], (width,)), jax.random.normal(keys[-1]))
        if kind == "nngp":
            features = jax.vmap(hidden, in_axes=(None, 0))(layers, x)
            return w / width * features @ features.T + b
        gradients = jax.vmap(jax.grad(output), in_axes=(None, 0))(parameters, x)
        flat = [leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(gradients)]
        return sum(leaf @ leaf.T for leaf in flat)

    measured = np.mean([jax.jit(kernel)(key) for key in jax.random.split(jax.random.key(1), 64)], 0)
    apart = np.asarray(x[:, None] != x[None]).sum(axis=2)
    layers = (wide_networks.Layer(w, b, w, b),) * (depth + 1)
    wide = {"relu": wide_networks.RELU, "erf": wide_networks.ERF}[activation]
    expected = wide_networks.wide_kernel(n, layers, wide, kind)[apart]
    np.testing.assert_allclose(measured, expected, rtol=0.04, atol=0.02 * expected.max())


@pytest.mark.slow
def test_plain_layers_agree_with_finite_networks():
    # The project's own MLP with PyTorch's initialisation, layers of different widths; the mean
    # kernel of 48 networks. Its standard error is about 2 %, the bias of finite width 1/128.
    n, widths = 5, (256, 512, 128)
    model = models.build("mlp", n, widths=widths)
    keys = jax.random.split(jax.random.key(0), 48)
    measured = theory.mean_empirical_kernel(model.init, model.apply, n, keys)
    layers = wide_networks.plain_layers(n, widths)
    expected = of_points(wide_networks.wide_kernel(n, layers, wide_networks.RELU))
    np.testing.assert_allclose(measured, expected, rtol=0.08)


def test_the_wide_relu_network_on_f3():
    # Known values of this kernel: bit 3 .086 where the influence is .0625, bit 0 .354 where it is
    # .46875. Errors of trained MLPs lie between the two.
    truth = np.asarray(tasks.truth_table(tasks.make("pvr_majority")), np.float64)
    errors = theory.kernel_influences(
        float64.spectrum(truth), theory.relu_kernel_eigenvalues(11, **NETWORK)
    )
    assert errors[3] == pytest.approx(0.086, abs=5e-4)
    assert errors[0] == pytest.approx(0.354, abs=5e-4)


def test_a_shallow_relu_network_without_bias_lacks_odd_degrees():
    eigenvalues = theory.relu_kernel_eigenvalues(8, 1, 2.0, 0.0)
    assert eigenvalues[[3, 5, 7]].tolist() == [0, 0, 0]
    assert (eigenvalues[[0, 1, 2, 4, 6, 8]] > 0).all()
    # So x1x2x3 with x0 frozen becomes x0x1x2x3: the influence of bit 0 is 0, the error is 1.
    target = np.prod(points(8)[:, 1:4], axis=1)
    assert theory.kernel_influences(float64.spectrum(target), eigenvalues)[0] == pytest.approx(1)
    seen = points(8)[:, 0] == 1
    learned = theory.kernel_interpolator(eigenvalues, target, seen)
    np.testing.assert_allclose(learned, target * points(8)[:, 0], atol=1e-9)


@pytest.mark.slow
def test_empirical_kernel_is_the_gram_matrix_of_gradients():
    n = 4
    x = jnp.asarray(points(n), jnp.float32)

    def apply(params, x):
        return jnp.tanh(x @ params["w"] + params["b"][None]) @ params["v"]

    def init(key, x):
        keys = jax.random.split(key, 3)
        return {
            "w": jax.random.normal(keys[0], (n, 6)),
            "b": jax.random.normal(keys[1], (6,)),
            "v": jax.random.normal(keys[2], (6,)),
        }

    def by_hand(params):
        w, b, v = (np.asarray(params[name], np.float64) for name in ("w", "b", "v"))
        h = np.tanh(points(n) @ w + b)  # NumPy, in float64
        back = v * (1 - h**2)
        return h @ h.T + (back @ back.T) * (points(n) @ points(n).T + 1)

    params = [init(key, x) for key in jax.random.split(jax.random.key(0), 3)]
    whole = theory.empirical_kernel(apply, params[0], n)
    np.testing.assert_allclose(whole, by_hand(params[0]), rtol=1e-5, atol=1e-5)
    blocks = theory.empirical_kernel(apply, params[0], n, block=4)
    np.testing.assert_allclose(blocks, whole, rtol=1e-6, atol=1e-5)
    mean = theory.mean_empirical_kernel(init, apply, n, jax.random.split(jax.random.key(0), 3))
    np.testing.assert_allclose(mean, np.mean([*map(by_hand, params)], axis=0), rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_symmetrized_kernel_averages_over_permutations_and_signs():
    # One network, and the same with its inputs permuted in all 24 ways, and with all signs changed.
    n = 4
    base = models.build("mixer", n, width=8, depth=1, channel_width=4)
    key = jax.random.key(3)
    permutations = jnp.array(list(itertools.permutations(range(n))))

    def init(index, x):
        order = permutations[index // 2].astype(jnp.float32)
        return {"network": base.init(key, x), "order": order, "sign": 1.0 - 2.0 * (index % 2)}

    def apply(params, x):
        order = jax.lax.stop_gradient(params["order"]).astype(jnp.int32)
        sign = jax.lax.stop_gradient(params["sign"])
        return base.apply(params["network"], sign * jnp.take(x, order, axis=-1))

    expected = theory.mean_empirical_kernel(init, apply, n, jnp.arange(2 * len(permutations)))
    measured = theory.mean_empirical_kernel(base.init, base.apply, n, key[None], symmetrize=True)
    np.testing.assert_allclose(measured, expected, rtol=1e-4)
    assert np.linalg.eigvalsh(measured)[0] > -1e-5 * np.abs(measured).max()


@pytest.mark.parametrize(
    "name, shape",
    [
        pytest.param("mlp", {"widths": (16, 8)}, marks=SLOW),
        pytest.param(
            "transformer", {"width": 8, "depth": 1, "heads": 2, "head_width": 4}, marks=SLOW
        ),
        pytest.param("mixer", {"width": 8, "depth": 1}, marks=SLOW),
        pytest.param("deep_linear", {"width": 8}, marks=SLOW),
        pytest.param("mean_field", {"width": 32}, marks=SLOW),
        pytest.param("random_features", {"features": 32, "trainable": True}, marks=SLOW),
    ],
)
def test_empirical_kernel_of_registered_models_is_the_gram_matrix_of_gradients(name, shape):
    # Gradients of dense layers are kept as outer products, those of shared ones whole.
    n = 4
    model = models.build(name, n, **shape)
    x = jnp.asarray(points(n), jnp.float32)
    params = model.init(jax.random.key(1), x[:1])
    jacobian = jax.jacrev(model.apply)(params, x)
    flat = [np.asarray(leaf, np.float64).reshape(len(x), -1) for leaf in jax.tree.leaves(jacobian)]
    expected = sum(leaf @ leaf.T for leaf in flat)
    measured = theory.empirical_kernel(model.apply, params, n, block=8)
    np.testing.assert_allclose(measured, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def gram_of(apply, params, n):
    """Return the products of whole gradients [2^n, 2^n] in float64."""
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, params)
        jacobian = jax.tree.leaves(jax.jacrev(apply)(params, jnp.asarray(points(n))))
        flat = [np.asarray(leaf).reshape(2**n, -1) for leaf in jacobian]
    return sum(leaf @ leaf.T for leaf in flat)


@pytest.mark.parametrize(
    "n, window", [(8, 2), *(pytest.param(*sizes, marks=SLOW) for sizes in ((6, 3), (9, 3), (8, 4)))]
)
def test_empirical_kernel_of_a_network_that_shares_weights_over_windows(n, window):
    # Of evenly spaced points, where windows are 3 wide and 3 divides n, all windows look alike.
    random = np.random.default_rng(n)
    params = {"w": random.normal(size=(window, 5)), "v": random.normal(size=5)}

    def apply(params, x):
        return (jnp.tanh(x.reshape(len(x), -1, window) @ params["w"]) @ params["v"]).sum(axis=1)

    expected = gram_of(apply, params, n)
    for block in (None, 16):
        measured = theory.empirical_kernel(apply, params, n, block)
        np.testing.assert_allclose(measured, expected, rtol=1e-9, atol=1e-12 * expected.max())


def written_in_many_ways(n):
    """Return the parameters and the function of a network whose layers are written differently."""
    random = np.random.default_rng(0)
    shapes = {
        "first": (n, 5),
        "jitted": (5, 6),
        "scaled": (6, 7),
        "rows": (7, 3),
        "readout": (3, 1),
    }
    others = {"twice": (n, n), "frozen": (1, n), "bias": (1, 3)}
    params = {name: random.normal(size=shape) for name, shape in (shapes | others).items()}

    def apply(params, x):
        shift = jax.lax.stop_gradient(params["frozen"])
        hidden = jnp.tanh(x @ params["twice"] + shift) @ params["twice"]
        hidden = jnp.tanh(hidden @ params["first"])
        hidden = jnp.tanh(jax.jit(jnp.einsum, static_argnums=0)("bi,ij", hidden, params["jitted"]))
        hidden = jnp.tanh(hidden @ (params["scaled"] * 0.5))
        ones = jnp.ones((len(x), 1))
        rows = jnp.concatenate([params["rows"], params["bias"]])
        hidden = jnp.tanh(jnp.concatenate([hidden, ones], axis=1) @ rows)
        return (hidden @ params["readout"])[:, 0]

    return params, apply, {*shapes, "bias"}


def test_gradients_of_dense_layers_are_kept_as_factors_however_they_are_written():
    # 400 times less work for an MLP: a layer that is missed would cost hours.
    n = 4
    params, apply, dense = written_in_many_ways(n)
    with float64.exact():
        kept = jax.eval_shape(partial(_features, apply, params), jnp.ones((2, n)))
    names = sorted(params.keys() - {"frozen"})
    factored = {name for name, leaf in zip(names, kept, strict=True) if isinstance(leaf, Outer)}
    assert factored == dense


@pytest.mark.slow
def test_empirical_kernel_of_a_network_whose_layers_are_written_in_many_ways():
    n = 4
    params, apply, _ = written_in_many_ways(n)
    expected = gram_of(apply, params, n)
    for block in (None, 8):
        measured = theory.empirical_kernel(apply, params, n, block)
        np.testing.assert_allclose(measured, expected, rtol=1e-9, atol=1e-12 * expected.max())


@pytest.mark.parametrize(
    "name",
    [
        "mlp",
        "deep_linear",
        "mean_field",
        *(pytest.param(name, marks=SLOW) for name in ("transformer", "mixer")),
    ],
)
def test_registered_models_know_no_difference_between_coordinates(name):
    # The mean kernel over many starts equals, within its noise, itself with coordinates permuted.
    n, shape = (
        3,
        {"mlp": {"widths": (16,)}, "deep_linear": {"width": 8}, "mean_field": {"width": 64}},
    )
    shape |= {"transformer": TINY_TRANSFORMER, "mixer": {"width": 8, "depth": 1}}
    model = models.build(name, n, **shape[name])
    keys = jax.random.split(jax.random.key(7), 300)
    x = jnp.asarray(points(n), jnp.float32)

    def kernel(key):
        params = model.init(key, x[:1])
        jacobian = jax.jacobian(model.apply)(params, x)
        flat = [leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(jacobian)]
        return sum(leaf @ leaf.T for leaf in flat)

    kernels = np.asarray(jax.lax.map(kernel, keys), np.float64)
    order = [1, 2, 0]
    permuted = [int("".join(f"{p:03b}"[i] for i in order), 2) for p in range(8)]
    difference = kernels - kernels[:, permuted][:, :, permuted]
    error = difference.std(axis=0) / np.sqrt(len(keys))
    assert (np.abs(difference.mean(axis=0)) <= 5 * error + 1e-6 * np.abs(kernels).max()).all()


def test_erf_kernel_of_one_layer_is_known():
    # E erf(u) erf(v) = 2/π asin(2c / (1 + 2s)) for variance s and covariance c (Williams 1997).
    n, w, b = 6, 1.5, 0.2
    eigenvalues = theory.erf_kernel_eigenvalues(n, 1, w, b, kind="nngp")
    covariance = w * points(n) @ points(n).T / n + b
    expected = w * 2 / np.pi * np.arcsin(2 * covariance / (1 + 2 * (w + b))) + b
    np.testing.assert_allclose(matrix_of(eigenvalues), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.relu_kernel_eigenvalues(0, 1, 2.0, 0.1), "n: given 0; allowed 1 to 30"),
        (lambda: theory.relu_kernel_eigenvalues(3, 0, 2.0, 0.1), "depth: given 0"),
        (lambda: theory.relu_kernel_eigenvalues(3, 1, 0.0, 0.1), "weight_variance: given 0.0"),
        (lambda: theory.erf_kernel_eigenvalues(3, 1, 1.0, -1.0), "bias_variance: given -1.0"),
        (lambda: theory.erf_kernel_eigenvalues(3, 1, 1.0, 0.0, "gp"), "allowed ntk, nngp"),
        (lambda: theory.kernel_influences(np.ones(8), np.ones(3)), "eigenvalues: given shape"),
        (lambda: theory.kernel_influences(np.ones(8), -np.ones(4)), "none below 0"),
        (lambda: theory.kernel_influences(np.ones(6), np.ones(4)), "coefficients: given shape"),
        (lambda: theory.kernel_influences(np.ones(8), np.ones(4), 0), "value: given 0"),
        (
            lambda: theory.kernel_interpolator(
                np.array([1.0, 1, 0, 0]), np.prod(points(3), 1), np.arange(8) % 3 != 0
            ),
            "misses the seen values by up to",
        ),
        (
            lambda: theory.kernel_interpolator(
                np.where(np.arange(8) > 2, np.eye(8), np.nan), np.ones(8), np.arange(8) > 2
            ),
            "kernel: given a matrix with nan; allowed finite numbers",
        ),
        (
            lambda: theory.feature_interpolator(
                np.where(np.arange(8) > 2, np.eye(8), np.inf), np.ones(8), np.arange(8) > 2
            ),
            "features: given a matrix with inf; allowed finite numbers",
        ),
        (
            lambda: theory.noise_kernel_interpolator(np.ones(8), np.arange(8) > 2, 1.5),
            "rho: given 1.5; allowed 0 to 1",
        ),
        (
            lambda: theory.empirical_kernel(lambda p, x: x[:, 0], {}, 13),
            "n: given 13; allowed 1 to 12",
        ),
    ],
)
def test_bad_input_says_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize(
    "initialisation, alpha", [("lecun", 0.5), ("pytorch", 0.5), ("scaled", 0.6), ("ntk", 0.5)]
)
@pytest.mark.parametrize("biases", [True, False])
def test_layers_of_an_mlp_are_those_of_the_model(initialisation, alpha, biases):
    # Mean empirical kernel of wide networks against their limit.
    n, widths = 4, (256, 256)
    model = models.build(
        "mlp", n, widths=widths, initialisation=initialisation, alpha=alpha, biases=biases
    )
    keys = jax.random.split(jax.random.key(0), 24)
    measured = theory.mean_empirical_kernel(model.init, model.apply, n, keys, symmetrize=True)
    layers = wide_networks.mlp_layers(n, widths, initialisation, alpha, biases)
    expected = of_points(wide_networks.wide_kernel(n, layers, wide_networks.RELU))
    np.testing.assert_allclose(measured, expected, rtol=0.1, atol=0.03 * expected.max())


@pytest.mark.parametrize("kind", ["relu", "polynomial"])
def test_kernel_of_random_features_is_their_mean_product(kind):
    n, features = 4, 200_000
    model = models.build("random_features", n, features=features, kind=kind)
    params = model.init(jax.random.key(2), jnp.ones((1, n)))
    layer = params["random_layer"]
    hidden = points(n) @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
    phi = np.maximum(hidden, 0) if kind == "relu" else (1 + hidden) ** 6
    activations = {"relu": wide_networks.RELU, "polynomial": wide_networks.POLYNOMIAL}
    layers = wide_networks.random_features_layers(n)
    expected = of_points(wide_networks.wide_kernel(n, layers, activations[kind], kind="nngp"))
    # The standard error of 200,000 features is .5 % for ReLU, and the largest of 256 deviations
    # three times that; the twelfth power of a normal variable has heavy tails.
    tolerance = 0.02 if kind == "relu" else 0.3
    measured = phi @ phi.T / features
    np.testing.assert_allclose(measured, expected, atol=tolerance * expected.max())


def test_power_moments_are_exact():
    # E (1 + u)^12 and E (1 + u)^6 (1 + v)^6 of independent u, v, by the moments of a Gaussian.
    variance = 0.7
    double = [1.0, 0.0]
    for k in range(2, 13):
        double.append((k - 1) * variance * double[k - 2])
    power = {d: sum(math.comb(d, k) * double[k] for k in range(d + 1)) for d in (5, 6, 10, 12)}
    values, slopes = wide_networks.power_moments(np.array([variance, 0.0]), variance)
    np.testing.assert_allclose(values, [power[12], power[6] ** 2], rtol=1e-10)
    np.testing.assert_allclose(slopes, [36 * power[10], 36 * power[5] ** 2], rtol=1e-10)


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_a_constant_that_is_seen_everywhere(constant):
    values, seen = np.full(2**5, constant), np.ones(2**5, bool)
    found = theory.kernel_interpolator(0.3 ** np.arange(6), values, seen)
    np.testing.assert_array_equal(found, values)
    if constant:
        with pytest.raises(ValueError, match="misses the seen values"):
            theory.kernel_interpolator([0.0, 1, 1, 1, 1, 1], values, seen)


@pytest.mark.parametrize("kernel", [theory.relu_kernel_eigenvalues, theory.erf_kernel_eigenvalues])
def test_numbers_of_numpy_and_jax_are_numbers(kernel):
    expected = kernel(6, 2, 2.0, 0.25)
    for n, variance in ((np.int64(6), np.float32(2)), (np.int32(6), jnp.float32(2)), (6, 2)):
        np.testing.assert_array_equal(kernel(n, 2, variance, 0.25), expected)
