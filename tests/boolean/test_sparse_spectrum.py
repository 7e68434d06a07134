"""The search for large coefficients: against the transform, planted functions, trained networks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sampled_functions import on_rows

from pvr_jax import models, tasks
from pvr_jax.analysis import learned, low_degree
from pvr_jax.boolean import cube, float64, sampling, sparse_spectrum
from pvr_jax.refusal import Refusal
from pvr_jax.training.ensemble import ensemble
from pvr_jax.training.replicas import Replicas

# Those that share them share their programs.
N, SIZES = 12, {"suffixes": 1500, "prefixes": 8, "points": 2**13}


def planted(n, count, seed, noise=0.1):
    """Return coefficients by set, of sizes from .1 to .4, and the function with noise."""
    rng = np.random.default_rng(seed)
    sets: list[tuple[int, ...]] = []
    while len(sets) < count:
        drawn = tuple(sorted(rng.choice(n, rng.integers(1, 7), replace=False).tolist()))
        sets += [drawn] if drawn not in sets else []
    values = rng.choice([-1, 1], count) * rng.uniform(0.1, 0.4, count)
    members = jnp.asarray(sampling.members(sets, n))
    held, direction = jnp.asarray(values, jnp.float32), jnp.asarray(rng.normal(size=n), jnp.float32)

    def function(x):
        # A function of x that looks like independent noise with a standard deviation of `noise`.
        return sampling.characters(x, members) @ held + noise * np.sqrt(2) * jnp.sin(
            1e4 * (x @ direction)
        )

    return dict(zip(sets, values.tolist(), strict=True)), function


def by_set(table):
    """Return the exact coefficients of a table by set, without the smallest."""
    n, spectrum = int(np.log2(len(table))), float64.spectrum(table)
    places = np.flatnonzero(np.abs(spectrum) > 1e-3)
    return {cube.coordinates(int(place), n): spectrum[place] for place in places}


def is_near(estimate, exact):
    """Return whether estimates are within 4.5 standard errors, which chance all but forbids."""
    return np.abs(estimate.value - exact) <= 4.5 * estimate.standard_error


def check(found, exact, threshold):
    """Check what was found against the exact coefficients by set, all others being 0."""
    large = {each for each, value in exact.items() if abs(value) >= threshold}
    assert large <= set(found.sets)
    assert all(abs(exact.get(each, 0)) > threshold / 2 for each in found.sets)
    values = np.array([exact.get(each, 0) for each in found.sets])
    assert np.all(is_near(found.coefficients, values))
    assert found.complete_above <= 1.05 * threshold
    missed = [abs(value) for each, value in exact.items() if each not in found.sets]
    assert max(missed, default=0) <= found.complete_above
    # All of the energy of what was found, and of nothing else.
    explained = np.square(values).sum()
    assert abs(found.explained.value - explained) < 5 * found.explained.standard_error + 0.01


def test_a_weight_is_the_sum_of_squares_of_a_part():
    # Against sums over all sets of the transform, one level after the other.
    n, rng = 6, np.random.default_rng(0)
    table = rng.normal(size=2**n)
    squares = float64.spectrum(table) ** 2
    for level in (1, 3, 6):
        parts = np.zeros((2**level, n), bool)
        parts[:, :level] = (np.asarray(cube.points(level)) > 0).astype(bool)
        expected = squares.reshape(2**level, -1).sum(axis=1)
        found = sparse_spectrum.weights(
            on_rows(table), parts, level, jax.random.key(level), suffixes=4000, prefixes=8
        )
        error = np.sqrt(found.squares / found.count / (found.count - 1))
        assert np.all(np.abs(found.mean - expected) < 4.5 * error)
        assert np.all(error < 0.1)


def test_a_planted_function_is_found():
    sets, function = planted(N, 3, seed=2)
    table = np.asarray(function(cube.points(N)))
    found = sparse_spectrum.search(on_rows(table), N, 0.2, jax.random.key(0), **SIZES)
    check(found, by_set(table), 0.2)
    assert set(found.sets) <= set(sets)
    assert f"{len(found.sets)} coefficients found" in found.statement()
    assert "not shown to be zero" in found.statement()


def test_nothing_is_found_in_noise():
    table = 0.5 * np.random.default_rng(5).normal(size=2**N)
    found = sparse_spectrum.search(on_rows(table), N, 0.2, jax.random.key(1), **SIZES)
    assert found.sets == [] and found.coefficients.value.shape == (0,)
    assert found.complete_above < 0.2
    assert found.explained.value == 0


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.1, 0.2])
def test_all_that_the_transform_shows_is_found(threshold):
    n, rng = 16, np.random.default_rng(3)
    spectrum = 0.003 * rng.normal(size=2**n)
    places = rng.choice(2**n, 30, replace=False)
    spectrum[places] = rng.choice([-1, 1], 30) * rng.uniform(0.05, 0.4, 30)
    table = float64.values_of(spectrum)
    found = sparse_spectrum.search(on_rows(table), n, threshold, jax.random.key(2))
    check(found, by_set(table), threshold)


@pytest.mark.slow
@pytest.mark.parametrize("count, seed", [(10, 0), (20, 1)])
def test_planted_functions_of_64_bits_are_found(count, seed):
    exact, function = planted(64, count, seed)
    found = sparse_spectrum.search(function, 64, 0.1, jax.random.key(seed))
    check(found, exact, 0.1)
    assert set(found.sets) == set(exact)


@pytest.fixture(scope="module")
def trained():
    """Return a network of 20 bits, trained where x3 = 1, and its values at all points."""
    n = 20
    task = tasks.make("polynomial", n=n, expression="x0 + x0*x1 + x0*x1*x2 + 0.5*x2*x3")
    network = models.build("mlp", n, widths=(64, 64))

    def batch(key, step):
        x = sampling.uniform_points(jax.random.fold_in(key, step), (128, n)).at[:, 3].set(1)
        return {"x": x, "y": task.target(x), "weight": jnp.ones(128)}

    key = jax.random.split(jax.random.key(0), 1)
    replicas = ensemble(
        Replicas(key, key, jnp.array([2e-3]), jnp.ones(1), {}),
        execution="auto",
        init=lambda key: network.init(key, jnp.ones((1, n))),
        apply=network.apply,
        batch=batch,
        optimizer=optax.adam,
        evaluate=lambda params: {"table": learned.on_cube(network.apply, params, n)},
    )
    state = replicas.advance(replicas.start(), 0, 1500)
    (params,) = [jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), state.params)]
    table = np.asarray(replicas.evaluate(state)["table"])[0]
    return jax.tree_util.Partial(network.apply, params), table


@pytest.mark.slow
def test_the_large_coefficients_of_a_trained_network_are_found(trained):
    function, table = trained
    spectrum = float64.spectrum(table)
    large = np.flatnonzero(np.abs(spectrum) >= 0.2)
    assert len(large) >= 4  # it has learned something
    found = sparse_spectrum.search(function, 20, 0.2, jax.random.key(1))
    check(found, by_set(table), 0.2)
    # Those of low degree by regression too.
    fit = low_degree.low_degree_lasso(function, 20, 3, jax.random.key(2))
    assert {each for each in found.sets if len(each) <= 3} <= set(fit.sets)
    exact = spectrum[[cube.index(each, 20) for each in fit.sets]]
    assert np.all(is_near(fit.coefficients, exact))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"threshold": 0.0}, "threshold: given 0.0; allowed a number above 0"),
        ({"prefixes": 1}, "prefixes: given 1; allowed a whole number of at least 2"),
        ({"suffixes": 1}, "suffixes: given 1; allowed a whole number of at least 2"),
    ],
)
def test_bad_input_is_refused_in_one_line(more, message):
    given = {"threshold": 0.1, **more}
    with pytest.raises(Refusal, match=message):
        sparse_spectrum.search(lambda x: x[:, 0], 30, key=jax.random.key(0), **given)
