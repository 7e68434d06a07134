"""Measures of learned functions against closed forms and independent sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax import tasks, theory
from pvr_jax.analysis import canonical, learned, measure
from pvr_jax.analysis.measures import MEASURES
from pvr_jax.boolean import cube, fourier
from pvr_jax.boolean.measures import influences
from pvr_jax.tasks import holdouts

N = 6


def random_function(seed, n=N):
    return np.random.default_rng(seed).normal(size=2**n)


def measured(outputs, target, bit, value=1):
    n = int(np.log2(len(target)))
    with jax.enable_x64(True):
        result = measure(
            jnp.asarray(outputs, jnp.float64)[None],
            jnp.asarray(target, jnp.float64),
            holdouts.canonical(n, bit, value),
        )
    return {name: np.asarray(array)[0] for name, array in result.items()}


def frozen(target, bit, value=1):
    with jax.enable_x64(True):
        return np.asarray(cube.frozen(jnp.asarray(target, jnp.float64), bit, value))


@pytest.mark.parametrize("bit", range(N))
@pytest.mark.parametrize("value", [-1, 1])
def test_the_low_degree_interpolator_has_exactly_the_influence_as_error(bit, value):
    # Abbe et al. 2022: a network that learns f_{-k} has half squared error Inf_k on the cube,
    # twice that on the unseen half, no error on the seen one; it leaks nothing and c = 1.
    target = random_function(1)
    result = measured(frozen(target, bit, value), target, bit, value)
    with jax.enable_x64(True):
        influence = float(influences(fourier.walsh_hadamard(jnp.asarray(target)))[bit])
    assert result["generalization_error"] == pytest.approx(influence, rel=1e-12)
    assert result["unseen_error"] == pytest.approx(2 * influence, rel=1e-12)
    assert result["in_distribution_error"] == pytest.approx(0, abs=1e-15)
    assert result["leak"] == pytest.approx(0, abs=1e-15)
    assert result["projection"] == pytest.approx(1, rel=1e-12)
    assert result["residual_variance"] == pytest.approx(0, abs=1e-15)
    assert result["learned_influence"] == pytest.approx(0, abs=1e-15)
    assert result["influence_overlap"] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("bit", [0, 3, N - 1])
@pytest.mark.parametrize("value", [-1, 1])
def test_the_error_of_a_fitted_function_is_the_influence_of_its_deviation(bit, value):
    # g = f where x_k = v and anything elsewhere: error = Inf_k(f) - 2 overlap + Inf_k(g), exactly.
    target, elsewhere = random_function(16), random_function(17)
    seen = np.asarray(cube.points(N))[:, bit] == value
    outputs = np.where(seen, target, elsewhere)
    result = measured(outputs, target, bit, value)
    with jax.enable_x64(True):
        spectra = [fourier.walsh_hadamard(jnp.asarray(f)) for f in (target, outputs)]
        influence, own = (float(influences(spectrum)[bit]) for spectrum in spectra)
    assert result["learned_influence"] == pytest.approx(own, rel=1e-12)
    predicted = influence - 2 * result["influence_overlap"] + result["learned_influence"]
    assert result["generalization_error"] == pytest.approx(predicted, rel=1e-12)


@pytest.mark.parametrize("value", [-1, 1])
def test_the_high_degree_interpolator_leaks_everything(value):
    # x_k v f_{-k}: every T of f_{-k} moved to T u {k}; equal to f_{-k} where x_k = v.
    target = random_function(2)
    x = np.asarray(cube.points(N))[:, 2]
    result = measured(value * x * frozen(target, 2, value), target, 2, value)
    assert result["in_distribution_error"] == pytest.approx(0, abs=1e-15)
    assert result["leak"] == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(result["leak_by_degree"], 1, rtol=1e-12)
    assert result["projection"] == pytest.approx(-1, rel=1e-12)


def test_halfway_between_the_two_leaks_a_quarter():
    target = random_function(3)
    x = np.asarray(cube.points(N))[:, 4]
    halfway = (1 + x) / 2 * frozen(target, 4)
    result = measured(halfway, target, 4)
    assert result["leak"] == pytest.approx(0.25, rel=1e-12)
    assert result["projection"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bit, value", [(0, 1), (3, -1)])
def test_the_degree_temperature_of_one_frozen_bit_has_a_closed_form(seed, bit, value):
    target, noise = random_function(seed, 4), random_function(seed + 100, 4)
    # c is about 1.5 - seed/2: held at both ends, and between them.
    outputs = (1.5 - seed / 2) * frozen(target, bit, value) + 0.2 * noise
    result = measured(outputs, target, bit, value)
    seen = np.asarray(holdouts.canonical(4, bit, value))
    expected = theory.degree_temperature(outputs, target, seen)
    assert result["degree_temperature"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("c, rho", [(1.5, 0), (1, 0), (0.5, 1 / 3), (0, 1), (-0.5, 1), (-2, 1)])
def test_the_degree_temperature_is_held_between_0_and_1(c, rho):
    target = random_function(18)
    result = measured(c * frozen(target, 1), target, 1)
    assert result["projection"] == pytest.approx(c)
    assert result["degree_temperature"] == pytest.approx(rho, abs=1e-12)


@pytest.mark.parametrize("bit, value", [(0, 1), (3, -1), (5, 1)])
def test_measures_equal_plain_sums(bit, value):
    target, outputs = random_function(4), random_function(5)
    points = np.asarray(cube.points(N))
    seen = points[:, bit] == value
    halves = (outputs - target) ** 2 / 2
    result = measured(outputs, target, bit, value)
    assert result["generalization_error"] == pytest.approx(halves.mean())
    assert result["in_distribution_error"] == pytest.approx(halves[seen].mean())
    assert result["unseen_error"] == pytest.approx(halves[~seen].mean())

    def coefficient(subset):
        return np.mean(outputs * np.prod(points[:, list(subset)], axis=1))

    high, visible, overlap = np.zeros(N), np.zeros(N), 0.0
    for index in range(2**N):
        subset = cube.coordinates(index, N)
        if bit not in subset:
            twin = coefficient((*subset, bit))
            high[len(subset)] += twin**2
            monomial = np.prod(points[:, [*subset, bit]], axis=1)
            overlap += twin * np.mean(target * monomial)
            visible[len(subset)] += (coefficient(subset) + value * twin) ** 2
    np.testing.assert_allclose(result["leak_by_degree"], high / visible, rtol=1e-9)
    assert result["leak"] == pytest.approx(high.sum() / visible.sum())
    assert result["learned_influence"] == pytest.approx(high.sum())
    assert result["influence_overlap"] == pytest.approx(overlap)
    moved = points.copy()
    moved[:, bit] = value
    numbers = ((moved + 1) / 2) @ (2.0 ** np.arange(N - 1, -1, -1))
    continuation = target[numbers.astype(int)]
    g, f = outputs[~seen], continuation[~seen]
    c = (g @ f) / (f @ f)
    assert result["projection"] == pytest.approx(c)
    assert result["residual_variance"] == pytest.approx(np.mean((g - c * f) ** 2))


def test_parseval_holds_for_every_profile():
    outputs = random_function(6)
    result = measured(outputs, random_function(7), 1)
    assert result["degree_profile"].shape == (N + 1,)
    assert result["degree_profile"].sum() == pytest.approx(np.mean(outputs**2))


@pytest.mark.parametrize("function", MEASURES, ids=lambda function: function.__name__)
def test_measures_do_not_depend_on_the_names_of_the_coordinates(function):
    order = np.random.default_rng(8).permutation(N)
    table = (2,) * N
    target, outputs = random_function(9), random_function(10)
    seen = np.asarray(holdouts.canonical(N, 3))

    def permuted(values):
        return jnp.asarray(values.reshape(table).transpose(order).reshape(-1))

    plain = function(jnp.asarray(outputs), jnp.asarray(target), jnp.asarray(seen))
    moved = function(permuted(outputs), permuted(target), permuted(seen))
    assert plain
    for name in plain:
        np.testing.assert_allclose(plain[name], moved[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("bit", range(5))
@pytest.mark.parametrize("value", [-1, 1])
def test_the_frozen_coordinate_is_read_off_the_seen_set(bit, value):
    found = canonical.frozen_coordinate(holdouts.canonical(5, bit, value))
    assert (int(found[0]), int(found[1])) == (bit, value)


@pytest.mark.slow
def test_replicas_with_different_holdouts_are_measured_together():
    target = jnp.asarray(random_function(11), jnp.float32)
    outputs = jnp.asarray(np.stack([random_function(12), random_function(13)]), jnp.float32)
    seen = jnp.stack([holdouts.canonical(N, 0), holdouts.canonical(N, 5)])
    together = measure(outputs, target, seen)
    for row in range(2):
        alone = measure(outputs[row : row + 1], target, seen[row])
        for name, array in alone.items():
            np.testing.assert_allclose(together[name][row], array[0], rtol=1e-5, err_msg=name)


def test_what_is_undefined_is_nan():
    zero = np.zeros(2**N)
    result = measured(zero, zero, 0)
    assert np.isnan(result["leak"]) and np.isnan(result["projection"])
    assert np.isnan(result["degree_temperature"])
    assert result["generalization_error"] == 0


def test_a_replica_that_is_not_finite_spoils_no_other():
    outputs = np.stack([random_function(14), np.full(2**N, np.nan)])
    result = measure(
        jnp.asarray(outputs, jnp.float32),
        jnp.asarray(random_function(15), jnp.float32),
        holdouts.canonical(N, 0),
    )
    errors = np.asarray(result["generalization_error"])
    assert np.isfinite(errors[0]) and np.isnan(errors[1])


@pytest.mark.parametrize("chunk", [16, 64, 4096])
def test_the_learned_function_is_the_same_in_any_chunks(chunk):
    weights = jnp.arange(1.0, N + 1)

    def apply(params, x):
        return jnp.tanh(x @ params)

    whole = apply(weights, cube.points(N))
    np.testing.assert_allclose(learned.on_cube(apply, weights, N, chunk), whole, rtol=1e-6)


class TestTrackedPairs:
    def coefficients(self, name, **parameters):
        with jax.enable_x64(True):
            return np.asarray(
                fourier.walsh_hadamard(tasks.truth_table(tasks.make(name, **parameters)))
            )

    def test_the_quadratic_chain_tracks_what_the_authors_track(self):
        pairs = canonical.tracked_pairs(self.coefficients("quadratic_chain"), 7, 1, 16)
        # x_k-1 -> k and x_k+1 -> k+1; their twins are the pairs of the chain (Abbe et al. 2022).
        assert [pair["low"] for pair in pairs[:2]] == [[8], [6]]
        assert [pair["high"] for pair in pairs[:2]] == [[7, 8], [6, 7]]
        assert [pair["limit"] for pair in pairs[:2]] == [8.0, 7.0]
        assert {tuple(pair["low"]) for pair in pairs[2:]} == {
            (i, i + 1) for i in range(10) if 7 not in (i, i + 1)
        }

    def test_the_staircase_tracks_prefixes(self):
        pairs = canonical.tracked_pairs(self.coefficients("staircase"), 5, 1, 16)
        limits = {tuple(pair["low"]): pair["limit"] for pair in pairs}
        # Prefixes with x_5 removed -> 1, and x_0..x_4 -> 2: its own 1 and that of x_0..x_5.
        assert limits[(0, 1, 2, 3, 4)] == 2
        assert limits[(0, 1, 2, 3, 4, 6)] == 1
        assert limits[(0,)] == 1
        assert len(pairs) == 13

    def test_the_sign_of_the_frozen_value_counts(self):
        pairs = canonical.tracked_pairs(self.coefficients("quadratic_chain"), 7, -1, 2)
        assert [pair["limit"] for pair in pairs] == [-8.0, -7.0]

    def test_count_bounds_the_list(self):
        assert canonical.tracked_pairs(self.coefficients("pvr_majority"), 0, 1, 0) == []
        assert len(canonical.tracked_pairs(self.coefficients("pvr_majority"), 0, 1, 5)) == 5
