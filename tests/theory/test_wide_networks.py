"""Infinitely wide networks whose first layer is not Gaussian, and eigenvalues of many digits."""

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from slow_cases import slow_but

from pvr_jax import models, theory
from pvr_jax.boolean import float64, krawtchouk
from pvr_jax.theory import digits, first_layer, wide_networks
from pvr_jax.theory.wide_networks import ERF, POLYNOMIAL, RELU, Layer

TRUNCATED = 0.87962566103423978  # the standard deviation of N(0, 1) cut off at ±2


def box_tails(count, x):
    """P(A > x) and E[A²; A > x] of a sum A of draws from U(-1, 1), x >= -count, in fractions.

    The density is Σ_k (-1)^k C(m, k) (m - 2k - x)_+^(m-1) / (2^m (m-1)!), by truncated powers.
    """
    tail = square = Fraction(0)
    for k in range(count + 1):
        end = count - 2 * k  # of one truncated power, which is integrated by parts
        if end > x:
            length, sign = end - x, (-1) ** k * math.comb(count, k)
            parts = [
                Fraction(length**count, math.factorial(count)),
                Fraction(length ** (count + 1), math.factorial(count + 1)),
                Fraction(length ** (count + 2), math.factorial(count + 2)),
            ]
            tail += sign * parts[0]
            square += sign * (x**2 * parts[0] + 2 * x * parts[1] + 2 * parts[2])
    return tail / 2**count, square / 2**count


def box_density(count, x):
    terms = ((k, count - 2 * k - x) for k in range(count + 1))
    powers = ((-1) ** k * math.comb(count, k) * y ** (count - 1) for k, y in terms if y > 0)
    return sum(powers, Fraction(0)) / (2**count * math.factorial(count - 1))


def integral(function, degree, low, high):
    """The integral of a polynomial from low to high: of its interpolant, in fractions."""
    # Inside, because a density may jump at the ends.
    points = [low + Fraction((2 * i + 1) * (high - low), 2 * degree + 2) for i in range(degree + 1)]
    rows = [[p**j for p in points] for j in range(degree + 1)]
    right = [Fraction(high ** (j + 1) - low ** (j + 1), j + 1) for j in range(degree + 1)]
    for i in range(degree + 1):  # Gaussian elimination; a Vandermonde matrix needs no pivoting
        right[i], rows[i] = right[i] / rows[i][i], [entry / rows[i][i] for entry in rows[i]]
        for j in range(degree + 1):
            if j != i and (factor := rows[j][i]):
                right[j] -= factor * right[i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    return sum(weight * function(point) for weight, point in zip(right, points, strict=True))


def exact_relu_moments(agreeing, differing):
    """E of relu(A+B) relu(A-B) = E[A² - B²; A > |B|] and P(A > |B|) for box weights of width 1."""
    if not agreeing:
        return 0.0, 0.0
    if not differing:
        return float(box_tails(agreeing, 0)[1]), 0.5
    slopes = products = Fraction(0)
    degree = agreeing + differing + 1
    for low in range(min(agreeing, differing)):

        def slope(b):
            return box_density(differing, b) * box_tails(agreeing, b)[0]

        def product(b):
            tail, square = box_tails(agreeing, b)
            return box_density(differing, b) * (square - b**2 * tail)

        slopes += 2 * integral(slope, degree, low, low + 1)
        products += 2 * integral(product, degree, low, low + 1)
    return float(products), float(slopes)


@pytest.mark.parametrize("count", [2, 5, 8])
def test_moments_of_uniform_weights_are_exact(count):
    for differing in range(count + 1):
        expected = exact_relu_moments(count - differing, differing)
        measured = first_layer.moments(
            "uniform", 3**-0.5, count - differing, differing, RELU.function, RELU.slope
        )
        np.testing.assert_allclose(measured, expected, rtol=2e-14, atol=1e-15)
        exact = first_layer.exact_relu_moments(count - differing, differing)
        np.testing.assert_allclose(np.array(exact, float), expected, rtol=1e-15)


def test_two_uniform_weights_by_hand():
    # u = a + b, v = a - b: a > |b| has probability ¼, and E[a² - b²; a > |b|] = ∫ a³/3 da = 1/12.
    assert first_layer.moments(
        "uniform", 3**-0.5, 1, 1, RELU.function, RELU.slope
    ) == pytest.approx((1 / 12, 1 / 4), rel=1e-14)


@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal"])
@pytest.mark.parametrize("activation", [RELU, ERF, POLYNOMIAL], ids=["relu", "erf", "polynomial"])
def test_moments_agree_with_drawn_weights(distribution, activation):
    count, draws, random = 5, 100_000, np.random.default_rng(3)
    if distribution == "uniform":
        weights = random.uniform(-1, 1, (draws, count)) * 3**0.5
    else:
        weights = (
            scipy.stats.truncnorm.rvs(-2, 2, size=(draws, count), random_state=random) / TRUNCATED
        )
    weights *= 0.4
    for differing in range(count + 1):
        signs = np.where(np.arange(count) < differing, -1, 1)
        u, v = weights.sum(axis=1), weights @ signs
        measured = first_layer.moments(
            distribution, 0.4, count - differing, differing, activation.function, activation.slope
        )
        for value, function in zip(measured, activation[:2], strict=True):
            drawn = function(u) * function(v)
            error = drawn.std() / draws**0.5
            assert abs(drawn.mean() - value) <= 4.5 * error + 1e-12


@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal"])
def test_the_quadrature_has_converged(distribution, monkeypatch):
    settings = (distribution, 0.3, 14, 7)
    fine, coarse = {}, {}
    for name, activation in (("relu", RELU), ("erf", ERF)):
        coarse[name] = first_layer.moments(*settings, *activation[:2])
    points, weights = np.polynomial.legendre.leggauss(48)
    monkeypatch.setattr(first_layer, "_POINTS", points)
    monkeypatch.setattr(first_layer, "_POINT_WEIGHTS", weights)
    for name, activation in (("relu", RELU), ("erf", ERF)):
        fine[name] = first_layer.moments(*settings, *activation[:2])
        np.testing.assert_allclose(coarse[name], fine[name], rtol=1e-13)


def test_many_weights_tend_to_the_gaussian():
    # The excess kurtosis of a sum of m draws falls as 1/m, and so does the distance to the limit.
    distances = []
    for count in (5, 10, 20):
        measured = first_layer.moments(
            "uniform", count**-0.5, count - count // 5, count // 5, RELU.function, RELU.slope
        )
        gaussian = wide_networks.relu_moments(np.array(0.6), 1.0)
        distances.append(abs(measured[0] - gaussian[0]))
    assert 0.4 < distances[1] / distances[0] < 0.6
    assert 0.4 < distances[2] / distances[1] < 0.6


@pytest.mark.parametrize(
    "n, widths, initialisation, alpha, biases",
    [
        *slow_but(
            [],
            [
                (7, (2048,), "pytorch", 0.5, True),
                (5, (2048,), "scaled", 0.7, True),
                (6, (2048,), "pytorch", 0.5, False),
                (5, (256, 256), "pytorch", 0.5, True),
                (4, (256, 256), "scaled", 0.7, True),
            ],
        ),
        (4, (2048,), "lecun", 0.5, True),
        (4, (256, 256), "lecun", 0.5, False),
    ],
)
def test_eigenvalues_are_those_of_wide_networks(n, widths, initialisation, alpha, biases):
    model = models.build(
        "mlp", n, widths=widths, initialisation=initialisation, alpha=alpha, biases=biases
    )
    x = jnp.asarray(np.array(list(itertools.product([-1.0, 1.0], repeat=n))))
    apart = np.bitwise_count(np.arange(2**n)[:, None] ^ np.arange(2**n)[None, :])
    share = np.array([(apart == h) / (apart == h).sum() for h in range(n + 1)])

    def by_distance(key):
        params = model.init(key, x[:1])
        leaves = jax.tree.leaves(jax.jacrev(model.apply)(params, x))
        kernel = sum(leaf.reshape(2**n, -1) @ leaf.reshape(2**n, -1).T for leaf in leaves)
        return jnp.asarray(share.reshape(n + 1, -1)) @ kernel.ravel()

    keys = jax.random.split(jax.random.key(4), 12 if n == 7 else 40)
    with jax.enable_x64(True):
        own = jax.jit(lambda keys: jax.lax.map(by_distance, keys))(keys)
        own = np.array([krawtchouk.eigenvalues_of(kernel) for kernel in np.asarray(own)])
    error = np.std(own, axis=0, ddof=1) / np.sqrt(len(own))
    layers = wide_networks.mlp_layers(n, widths, initialisation, alpha, biases)
    # Within 4 standard errors over the networks, and what finite width adds: nothing in one layer,
    # whose mean is that of one unit, and about 1/width in two.
    finite = 0.0 if len(widths) == 1 else 4 / widths[0]

    def off(distribution):
        first = layers[0]._replace(distribution=distribution)
        expected = wide_networks.wide_eigenvalues(n, (first, *layers[1:]), RELU)
        allowed = 4 * error + finite * expected + 1e-14 * expected.max()
        return (np.abs(own.mean(axis=0) - expected) > allowed).any()

    assert not off(layers[0].distribution)
    if initialisation != "lecun" or len(widths) == 1:  # there it is off by 1 to 3 %
        assert off("normal")


def test_a_wide_shallow_network_on_the_parity_of_seven_bits():
    # The empirical kernel of this width gives .172 to .178; a Gaussian first layer would give .386.
    layers = wide_networks.mlp_layers(7, (4000,))
    parity = float64.spectrum(np.prod(list(itertools.product([-1.0, 1.0], repeat=7)), axis=1))
    errors = theory.kernel_influences(parity, wide_networks.wide_eigenvalues(7, layers, RELU))
    np.testing.assert_allclose(errors, 0.179428, atol=1e-6)


def test_gaussian_first_layers_are_left_as_they_are():
    layers = wide_networks.mlp_layers(6, (32,), "ntk")
    expected = theory.relu_kernel_eigenvalues(6, 1, 1.0, 0.01)
    np.testing.assert_allclose(
        wide_networks.wide_eigenvalues(6, layers, RELU), expected, rtol=1e-14
    )


def test_degrees_that_a_network_lacks_are_zero_under_every_distribution():
    for initialisation in ("pytorch", "lecun"):
        layers = wide_networks.mlp_layers(8, (64,), initialisation, biases=False)
        eigenvalues = wide_networks.wide_eigenvalues(8, layers, RELU)
        assert eigenvalues[[3, 5, 7]].tolist() == [0, 0, 0]
        assert (eigenvalues[[0, 1, 2, 4, 6, 8]] > 0).all()
        odd = wide_networks.wide_eigenvalues(8, layers, ERF)
        assert odd[::2].tolist() == [0] * 5
        assert (odd[1::2] > 0).all()
    layer = Layer(1.0, 0.0, 0.0, 0.0, "uniform")
    polynomial = wide_networks.wide_eigenvalues(9, (layer, layer), POLYNOMIAL, "nngp")
    assert (polynomial[:7] > 0).all()
    assert polynomial[7:].tolist() == [0, 0, 0]


@pytest.mark.slow
def test_all_degrees_of_registered_networks_are_known():
    for initialisation, alpha in (("pytorch", 0.5), ("scaled", 2.0), ("lecun", 0.5)):
        for widths in ((1024,), (512, 64)):
            layers = wide_networks.mlp_layers(16, widths, initialisation, alpha)
            eigenvalues = wide_networks.wide_eigenvalues(16, layers, RELU)
            assert (eigenvalues > 0).all()


def random_walk(n, power):
    """Coefficient of one monomial of each degree in (Σ x_i / n)^power: all terms are positive."""
    shares = np.zeros(n + 2)
    shares[0] = 1.0
    degree = np.arange(n + 1)
    for _ in range(power):
        below = np.concatenate([[0.0], shares[:n]])
        shares = np.append((degree * below + (n - degree) * shares[1:]) / n, 0.0)
    return shares[: n + 1]


@pytest.mark.parametrize("n, weight, bias", [(11, 0.1, 0.5), (24, 0.01, 0.0)])
def test_eigenvalues_far_below_rounding(n, weight, bias):
    # Two layers of erf as a power series in the inputs' mean product, whose terms are all positive
    # and hold each eigenvalue to the relative precision of float64.
    terms = 80

    def series_of_arcsin(series, scale):
        inner = series / scale
        power, total = inner.copy(), np.zeros(terms)
        square = np.convolve(inner, inner)[:terms]
        for k in range(terms // 2):
            total += math.comb(2 * k, k) / (4**k * (2 * k + 1)) * power
            power = np.convolve(power, square)[:terms]
        return total

    covariance = np.zeros(terms)
    covariance[:2] = bias, weight
    for _ in range(2):
        scale = (1 + 2 * covariance.sum()) / 2
        covariance = weight * 2 / np.pi * series_of_arcsin(covariance, scale)
        covariance[0] += bias
    expected = sum(a * random_walk(n, k) for k, a in enumerate(covariance))
    measured = theory.erf_kernel_eigenvalues(n, 2, weight, bias, kind="nngp")
    held = expected > 0
    np.testing.assert_allclose(measured[held], expected[held], rtol=1e-10)
    assert measured[~held].tolist() == [0] * int((~held).sum())
    assert measured[n - 1 if n % 2 == 0 else n] < 1e-15


@pytest.mark.parametrize("n", [37, 40, 50, 64, 264])
def test_eigenvalues_of_a_relu_layer_at_any_n(n):
    # (2/π)(√(1-m²) + m arcsin m + π m/2), m the inputs' mean product, as a power series: all terms
    # are positive. m^k has the coefficients of `random_walk`; for k far above n log n they are
    # 2^(1-n) at every degree of the parity of k, so the rest of the series is known too.
    degree, walk = np.arange(n + 1), np.eye(1, n + 1)[0]
    expected, term, rest = walk.copy(), 1 / 2, np.pi / 2 - 1
    for power in range(1, 40 * n + 1):
        below, above = np.append(0.0, walk[:-1]), np.append(walk[1:], 0.0)
        walk = (degree * below + (n - degree) * above) / n
        if power == 1:
            expected += np.pi / 2 * walk
        elif power % 2 == 0:
            expected, rest = expected + term * walk, rest - term
            term *= (power - 1) ** 2 / ((power + 1) * (power + 2))
    expected[::2] += rest * 2.0 ** (1 - n)
    expected *= 2 / np.pi
    measured = theory.relu_kernel_eigenvalues(n, 1, 2.0, 0.0, kind="nngp")
    even = (degree % 2 == 0) | (degree == 1)
    np.testing.assert_allclose(measured[even], expected[even], rtol=1e-11)
    assert not measured[~even].any()
    assert not expected[~even].any()


@pytest.mark.slow
@pytest.mark.parametrize("n", [37, 64])
def test_exact_moments_are_those_of_the_quadrature(n):
    for differing in (0, 1, 2, n // 3, n // 2, n - 3, n):
        exact = first_layer.exact_relu_moments(n + 1 - differing, differing)
        measured = first_layer.moments(
            "uniform", 3**-0.5, n + 1 - differing, differing, RELU.function, RELU.slope
        )
        np.testing.assert_allclose(measured, np.array(exact, float), rtol=1e-13)


@pytest.mark.parametrize("n", [16, pytest.param(50, marks=pytest.mark.slow)])
def test_eigenvalues_agree_with_those_of_rounded_moments(n, monkeypatch):
    layers = wide_networks.mlp_layers(n, (512, 64))
    exact = wide_networks.wide_eigenvalues(n, layers, RELU)
    assert (exact > 0).all()
    monkeypatch.setattr(wide_networks, "_has_exact_moments", lambda layer, activation: False)
    wide_networks._first_moments.cache_clear()
    measured = wide_networks.wide_eigenvalues(n, layers, RELU)
    wide_networks._first_moments.cache_clear()
    known = ~np.isnan(measured)
    assert known[: n - 2].all()
    # An eigenvalue is known if it is CLEAR times above the rounding of the moments.
    np.testing.assert_allclose(measured[known], exact[known], rtol=1 / wide_networks.CLEAR)
    np.testing.assert_allclose(measured[:8], exact[:8], rtol=1e-9)


def test_full_parity_under_a_steep_erf_kernel():
    # Eigenvalues of degree 10 and 11 are 4e-15 and 6e-16 of the largest, and their ratio counts.
    parity = np.zeros(2**11)
    parity[-1] = 1.0
    eigenvalues = theory.erf_kernel_eigenvalues(11, 2, 0.1, 0.5)
    errors = theory.kernel_influences(parity, eigenvalues)
    np.testing.assert_allclose(errors, 0.746895, atol=1e-6)
    seen = np.arange(2**11) % 2 == 1
    values = float64.values_of(parity)
    learned = theory.kernel_interpolator(eigenvalues, values, seen)
    assert np.mean(np.square(learned - values)) / 2 == pytest.approx(0.746895, abs=1e-6)


@pytest.mark.parametrize(
    "layer, message",
    [
        (Layer(math.nan, 0.0, 1.0, 1.0), "layers: given .*nan.*; allowed finite numbers"),
        (Layer(1.0, math.inf, 1.0, 1.0), "layers: given .*inf.*; allowed finite numbers"),
        (Layer(0.0, 0.0, 1.0, 1.0), "variances of weights above 0"),
        (
            Layer(1.0, 0.0, 1.0, 1.0, "cauchy"),
            "distribution: given 'cauchy'; allowed uniform, trunc",
        ),
        (Layer(1.0, 0.1, 1.0, 1.0, "uniform"), "bias_variance: given 0.1; allowed 0, 0.2"),
    ],
)
def test_layers_without_a_kernel_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        wide_networks.wide_eigenvalues(5, (layer, layer), RELU)


def test_widths_that_no_float_holds_are_refused():
    for alpha in (-400.0, 400.0):
        layers = wide_networks.mlp_layers(11, (512,), "scaled", alpha)
        with pytest.raises(ValueError, match="layers: given"):
            wide_networks.wide_eigenvalues(11, layers, RELU)


def test_an_eigenvalue_too_small_for_float64_is_missing():
    eigenvalues = theory.erf_kernel_eigenvalues(30, 1, 1e-10, 0.1)
    assert np.isnan(eigenvalues[-1])
    with pytest.raises(ValueError, match="eigenvalues: given"):
        theory.kernel_influences(np.ones(2**30 >> 26), eigenvalues[:5] * np.nan)


def test_arcsin_in_decimals():
    numbers = np.array([Decimal(1), Decimal("-0.5"), Decimal("0.3"), Decimal(0)])
    with localcontext(prec=60):
        measured = digits.arcsin(numbers)
        np.testing.assert_allclose(
            measured.astype(float), np.arcsin(numbers.astype(float)), rtol=1e-15
        )
        # π to 50 digits.
        pi = Decimal("3.14159265358979323846264338327950288419716939937511")
        assert abs(2 * measured[0] - pi) < Decimal("1e-49")
        assert abs(-6 * measured[1] - pi) < Decimal("1e-49")
