"""Measures of any unseen domain, against sums written out and against the canonical ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax import tasks, theory
from pvr_jax.analysis import learned, unseen
from pvr_jax.boolean import cube, float64

N = 5


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def case():
    target = np.asarray(tasks.truth_table(tasks.make("polynomial", n=N, expression="x0*x1 + x2")))
    seen = tasks.make_seen_set("where", N, condition="x0 = 1 or x1 = 1").mask()
    return target, seen, theory.min_degree_interpolator(target, seen)


def test_measures_are_their_definitions():
    target, seen, interpolator = case()
    dropped = np.asarray(tasks.truth_table(tasks.make("polynomial", n=N, expression="x0*x1")))
    g = np.random.default_rng(0).normal(size=2**N)
    measured = unseen.against_interpolator(
        *map(jnp.asarray, (g, target, seen, interpolator, dropped))
    )
    assert measured["distance"] == pytest.approx(np.mean((g - interpolator) ** 2) / 2)
    difference = float64.spectrum(g) - float64.spectrum(interpolator)
    assert measured["distance"] == pytest.approx(np.square(difference).sum() / 2)
    expected = np.mean((g - interpolator)[~seen] ** 2) / 2
    assert measured["unseen_distance"] == pytest.approx(expected)
    assert measured["unseen_error"] == pytest.approx(np.mean((g - target)[~seen] ** 2) / 2)
    coefficient = float64.spectrum(g)[cube.index((0, 1), N)]
    assert measured["dropped_share"] == pytest.approx(coefficient)


def test_the_interpolator_and_the_target_are_the_ends_of_the_scale():
    target, seen, interpolator = case()
    # x0 x1 + x2 becomes x0 + x1 - 1 + x2: the unseen error is ½ (-3 - 1)².
    dropped = target - np.asarray(tasks.truth_table(tasks.make("polynomial", n=N, expression="x2")))
    ends = [
        unseen.against_interpolator(*map(jnp.asarray, (g, target, seen, interpolator, dropped)))
        for g in (interpolator, target)
    ]
    assert [float(end["dropped_share"]) for end in ends] == pytest.approx([0, 1])
    assert [float(end["unseen_distance"]) for end in ends] == pytest.approx([0, 8])
    assert [float(end["unseen_error"]) for end in ends] == pytest.approx([8, 0])
    assert float(ends[0]["in_distribution_error"]) == pytest.approx(0)


def test_nothing_unseen_or_dropped_is_not_a_number():
    values = jnp.ones(2**N)
    seen = jnp.ones(2**N, bool)
    measured = unseen.against_interpolator(values, values, seen, values, 0 * values)
    for name in ("unseen_error", "unseen_distance", "dropped_share"):
        assert np.isnan(measured[name])
    assert measured["distance"] == 0


def test_coefficients_are_those_of_the_transform():
    g = np.random.default_rng(1).normal(size=2**N)
    chosen = [0, 3, 17, 31]
    characters = np.asarray(cube.character(np.array(chosen), N))
    measured = unseen.coefficients(jnp.asarray(g), jnp.asarray(characters))
    np.testing.assert_allclose(measured, float64.spectrum(g)[chosen], atol=1e-12)


def test_functions_at_points_do_not_depend_on_the_chunk():
    points = jnp.asarray(cube.points(N), jnp.float64)[:13]

    def apply(params, x):
        return params * x[:, 0] + x[:, 1]

    expected = apply(2.0, points)
    for chunk in (1, 4, 13, 64):
        np.testing.assert_array_equal(learned.at_points(apply, 2.0, points, chunk), expected)
