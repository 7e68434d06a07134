"""Numbering of points and sets, masks, characters and frozen functions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax.boolean import cube


def test_points_at_gives_any_rows_in_any_shape_and_under_jit():
    numbers = np.array([[0, 5, 31], [16, 2, 7]])
    expected = np.asarray(cube.points(5))[numbers]
    assert np.array_equal(cube.points_at(numbers, 5), expected)
    assert np.array_equal(jax.jit(lambda i: cube.points_at(i, 5))(numbers), expected)
    assert cube.points_at(3, 5).shape == (5,)
    assert cube.points_at(3, 5).dtype == jnp.float32


def test_points_at_reaches_the_last_point_of_the_largest_cube():
    assert np.array_equal(cube.points_at(2**30 - 1, 30), np.ones(30))
    assert np.array_equal(cube.points_at(1, 30), [-1] * 29 + [1])


def test_degrees_count_the_coordinates():
    degrees = cube.degrees(7)
    assert degrees.dtype == jnp.int32
    assert degrees.tolist() == [len(cube.coordinates(s, 7)) for s in range(2**7)]


def test_index_and_coordinates_are_inverse():
    for index in range(2**6):
        assert cube.index(cube.coordinates(index, 6), 6) == index
    assert cube.index([4, 1], 6) == cube.index((1, 4), 6)
    assert cube.index((), 6) == 0


def test_coordinate_mask_for_ints_arrays_and_tracers():
    expected = [16, 8, 4, 2, 1]
    assert [cube.coordinate_mask(i, 5) for i in range(5)] == expected
    assert isinstance(cube.coordinate_mask(0, 5), int)
    assert cube.coordinate_mask(np.arange(5), 5).tolist() == expected
    traced = jax.jit(lambda i: cube.coordinate_mask(i, 5))(jnp.arange(5))
    assert traced.tolist() == expected
    assert traced.dtype == jnp.int32


def test_character_is_the_product_of_its_coordinates():
    n = 5
    x = np.asarray(cube.points(n))
    for size in range(n + 1):
        for members in itertools.combinations(range(n), size):
            got = cube.character(cube.index(members, n), n)
            assert np.array_equal(got, x[:, list(members)].prod(axis=1))
    batch = cube.character(jnp.arange(6).reshape(2, 3), n)
    assert batch.shape == (2, 3, 32)
    assert np.array_equal(batch[1, 2], cube.character(5, n))


@pytest.mark.parametrize("value", [-1, 1])
def test_frozen_equals_the_function_at_changed_points(value):
    n = 4
    weights = np.random.default_rng(0).normal(size=(3, 2**n)).astype(np.float32)

    def f(x):
        number = ((x + 1) / 2 @ (2 ** np.arange(n)[::-1])).astype(int)
        return weights[:, number]

    x = np.asarray(cube.points(n))
    freeze = jax.jit(cube.frozen)
    for bit in range(n):
        changed = x.copy()
        changed[:, bit] = value
        expected = f(changed)
        assert np.array_equal(cube.frozen(f(x), bit, value), expected)
        assert np.array_equal(freeze(f(x), jnp.int32(bit), jnp.int32(value)), expected)


def test_frozen_maps_over_a_bit_of_its_own_for_each_function():
    values = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    bits = jnp.array([2, 0, 3, 2])
    mapped = jax.vmap(cube.frozen)(values, bits)
    for row in range(4):
        assert np.array_equal(mapped[row], cube.frozen(values[row], int(bits[row])))


def test_frozen_keeps_integers():
    assert cube.frozen(np.arange(4, dtype=np.int32), 0).tolist() == [2, 3, 2, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cube.points(0), r"n: given 0; allowed 1 to 30"),
        (lambda: cube.points_at(0, 31), r"n: given 31; allowed 1 to 30"),
        (lambda: cube.degrees(2.0), r"n: given 2.0; allowed 1 to 30"),
        (lambda: cube.points_at(1.5, 3), r"indices: given dtype float"),
        (lambda: cube.index([3], 3), r"coordinate: given 3; allowed 0 to 2"),
        (lambda: cube.index([-1], 3), r"coordinate: given -1; allowed 0 to 2"),
        (lambda: cube.index([1, 1], 3), r"coordinates: given 1 twice"),
        (lambda: cube.coordinates(8, 3), r"index: given 8; allowed 0 to 7"),
        (lambda: cube.coordinate_mask(np.array([0, 4]), 3), r"coordinate: given 4; allowed 0 to 2"),
        (lambda: cube.coordinate_mask(0.5, 3), r"coordinate: given dtype float64"),
        (lambda: cube.character(8, 3), r"index: given 8; allowed 0 to 7"),
        (lambda: cube.frozen(np.ones(6), 0), r"values: given a last axis of length 6"),
        (lambda: cube.frozen(np.ones(8), 3), r"coordinate: given 3; allowed 0 to 2"),
        (lambda: cube.frozen(np.ones(8), 0, 0), r"value: given 0; allowed -1 or \+1"),
        (lambda: cube.frozen(np.ones(8), np.array([0, 1])), r"bit: given an array of shape \(2,\)"),
        (lambda: cube.dimension(jnp.ones(1)), r"values: given a last axis of length 1"),
        (lambda: cube.dimension(jnp.float32(1)), r"values: given a scalar"),
    ],
)
def test_bad_input_says_what_was_given_and_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message):
        call()
