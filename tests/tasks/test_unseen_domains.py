"""Seen sets beyond one frozen bit, against membership checked point by point."""

import itertools
import math

import jax
import numpy as np
import pytest

from pvr_jax.tasks import holdouts

N = 5
POINTS = list(itertools.product([-1, 1], repeat=N))


def members(condition):
    return np.array([condition(point) for point in POINTS])


def test_where():
    seen = holdouts.where(N, lambda x: (x[:, 0] == 1) | (x[:, 1] == 1))
    np.testing.assert_array_equal(seen, members(lambda x: x[0] == 1 or x[1] == 1))


def test_subcube():
    seen = holdouts.subcube(N, {1: -1, 4: 1})
    np.testing.assert_array_equal(seen, members(lambda x: x[1] == -1 and x[4] == 1))
    assert holdouts.subcube(N, {}).all()
    np.testing.assert_array_equal(holdouts.subcube(N, {2: 1}), holdouts.canonical(N, 2))


@pytest.mark.parametrize("value", [-1, 1])
@pytest.mark.parametrize("chosen", [(0,), (1, 3), (0, 2, 4)])
def test_parity(chosen, value):
    seen = holdouts.parity(N, chosen, value)
    expected = members(lambda x: math.prod(x[i] for i in chosen) == value)
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("radius", range(N + 1))
def test_hamming_ball(radius):
    seen = holdouts.hamming_ball(N, radius)
    np.testing.assert_array_equal(seen, members(lambda x: x.count(-1) <= radius))
    center = POINTS[9]
    expected = members(lambda x: sum(a != b for a, b in zip(x, center, strict=True)) <= radius)
    np.testing.assert_array_equal(holdouts.hamming_ball(N, radius, center=9), expected)


@pytest.mark.parametrize("fraction", [0.001, 0.3, 1])
def test_random(fraction):
    seen = holdouts.random(N, fraction, jax.random.key(0))
    assert int(seen.sum()) == max(1, round(fraction * 2**N))
    np.testing.assert_array_equal(seen, holdouts.random(N, fraction, jax.random.key(0)))


def test_random_shows_every_point_alike():
    keys = jax.random.split(jax.random.key(1), 2000)
    shown = jax.vmap(lambda key: holdouts.random(3, 0.25, key))(keys).mean(axis=0)
    # Each of 8 frequencies is .25 with a standard error of .0097.
    np.testing.assert_allclose(shown, 0.25, atol=0.045)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: holdouts.where(3, lambda x: x[:, 0]), r"^predicate: given .*float32\[8\]"),
        (lambda: holdouts.where(3, lambda x: x == 1), r"a function whose result is bool\[8\]"),
        (lambda: holdouts.where(3, lambda x: x[:, 0] == 2), "holds for some input"),
        (lambda: holdouts.subcube(3, {3: 1}), "^bit: given 3; allowed 0 to 2"),
        (lambda: holdouts.subcube(3, {0: 0}), "^value: given 0; allowed -1, 1"),
        (lambda: holdouts.parity(3, ()), r"^coordinates: given \(\); allowed one or more"),
        (lambda: holdouts.parity(3, (1, 1)), "^coordinates: given 1 twice"),
        (lambda: holdouts.parity(3, (0,), 2), "^value: given 2"),
        (lambda: holdouts.hamming_ball(3, 4), "^radius: given 4; allowed 0 to 3"),
        (lambda: holdouts.hamming_ball(3, 1, 8), "^center: given 8; allowed 0 to 7"),
        (lambda: holdouts.random(3, 0.0, jax.random.key(0)), "^fraction: given 0.0; allowed"),
        (lambda: holdouts.random(25, 0.5, jax.random.key(0)), "^n: given 25; allowed 1 to 24"),
    ],
)
def test_bad_input_says_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message):
        call()
