"""The conventions that every part of the code relies on, each asserted once."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax.boolean import cube, fourier, measures


@pytest.mark.parametrize("n", [1, 3, 6])
def test_points_are_listed_with_coordinate_0_slowest_and_minus_one_first(n):
    points = cube.points(n)
    assert points.dtype == jnp.float32
    assert np.array_equal(points, list(itertools.product([-1, 1], repeat=n)))


def test_the_number_of_a_point_has_bit_n_minus_1_minus_i_set_where_coordinate_i_is_plus_one():
    assert cube.points_at(0b0110, 4).tolist() == [-1, 1, 1, -1]


def test_coordinate_0_is_the_most_significant_bit_of_a_spectrum_index():
    assert cube.index([0], 4) == 0b1000
    assert cube.index([1, 3], 4) == 0b0101
    assert cube.coordinates(0b0101, 4) == (1, 3)
    assert cube.degrees(4)[0b0101] == 2


def test_a_coefficient_is_the_mean_of_the_function_times_the_character():
    n = 4
    values = np.random.default_rng(0).integers(-9, 10, 2**n).astype(np.float32)
    coefficients = fourier.walsh_hadamard(values)
    x = np.array(list(itertools.product([-1, 1], repeat=n)))
    for s in range(2**n):
        character = x[:, list(cube.coordinates(s, n))].prod(axis=1)
        assert coefficients[s] == (values * character).mean()


def test_a_polynomial_has_its_own_coefficients():
    x = np.asarray(cube.points(3))
    values = 5 + 2 * x[:, 0] - 3 * x[:, 2] + 0.5 * x[:, 0] * x[:, 1] * x[:, 2]
    coefficients = fourier.walsh_hadamard(values)
    nonzero = {
        cube.coordinates(s, 3): float(c) for s, c in enumerate(coefficients) if float(c) != 0
    }
    assert nonzero == {(): 5, (0,): 2, (2,): -3, (0, 1, 2): 0.5}


def test_influence_is_the_half_loss_of_the_frozen_function():
    # Half of the mean square over the whole cube, not over the unseen half, and not the full loss.
    n = 6
    values = np.random.default_rng(1).integers(-4, 5, 2**n).astype(np.float32)
    influences = measures.influences(fourier.walsh_hadamard(values))
    for k in range(n):
        difference = np.asarray(cube.frozen(values, k, 1)) - values
        assert influences[k] == 0.5 * np.square(difference).mean()
        unseen = np.asarray(cube.points(n))[:, k] == -1
        assert not difference[~unseen].any()
        assert influences[k] == 0.25 * np.square(difference[unseen]).mean()
