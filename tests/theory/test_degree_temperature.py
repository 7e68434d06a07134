"""The degree temperature and the noise kernel's interpolant on fewer coordinates."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax import theory
from pvr_jax.analysis import canonical
from pvr_jax.boolean import cube


def points(n):
    return np.array(list(itertools.product([-1.0, 1.0], repeat=n)))


def test_noise_kernel_is_solved_on_the_coordinates_that_matter():
    # Free coordinates are split off: the same as the kernel on the whole cube, and much smaller.
    n = 7
    random = np.random.default_rng(0)
    x = points(n)
    seen = (x[:, 1] == 1) | (x[:, 2] * x[:, 4] == -1)
    for values in (random.normal(size=2**n), x[:, 1] * x[:, 2]):
        for rho in (0.1, 0.5, 1.0):
            direct = theory.kernel_interpolator(rho ** np.arange(n + 1), values, seen)
            split = theory.noise_kernel_interpolator(values, seen, rho)
            np.testing.assert_allclose(split, direct, atol=1e-9)
    temperature = theory.degree_temperature(
        theory.noise_kernel_interpolator(values, seen, 0.3), values, seen
    )
    assert temperature == pytest.approx(0.3, abs=1e-5)
    ball = np.bitwise_count(np.arange(2**11)) <= 4
    values = random.normal(size=2**11)
    with pytest.raises(ValueError, match="depends on 11 coordinates; allowed up to 10"):
        theory.degree_temperature(values, values, ball)


FROZEN = np.arange(32) % 2 == 1
THIRD = np.arange(32) % 3 != 0


@pytest.mark.parametrize("seen", [FROZEN, THIRD], ids=["frozen", "third"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_temperature(seen, value):
    target = np.random.default_rng(0).normal(size=32)
    assert np.isnan(theory.degree_temperature(np.where(seen, target, value), target, seen))
    # Only what is unseen counts.
    least = theory.noise_kernel_interpolator(target, seen, 0.0)
    assert theory.degree_temperature(np.where(seen, value, least), target, seen) < 1e-7


@pytest.mark.parametrize("seen", [FROZEN, THIRD], ids=["frozen", "third"])
@pytest.mark.parametrize("size", [1e20, 1e200])
def test_temperature_of_a_large_function_is_that_of_its_direction(seen, size):
    # Of a multiple of the interpolant, however large: on it is ρ = 0, against it ρ = 1.
    target = np.random.default_rng(0).normal(size=32)
    least = theory.noise_kernel_interpolator(target, seen, 0.0)
    assert theory.degree_temperature(size * least, target, seen) == 0
    assert theory.degree_temperature(-size * least, target, seen) == 1


def test_temperature_knows_no_unit():
    target, learned = np.random.default_rng(1).normal(size=(2, 32))
    expected = theory.degree_temperature(learned, target, THIRD)
    assert 0.05 < expected < 0.95
    for unit in (1e-14, 1e9):
        found = theory.degree_temperature(unit * learned, unit * target, THIRD)
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("value, expected", [(np.nan, np.nan), (np.inf, np.nan), (-1.0, 1.0)])
def test_temperature_of_a_projection_that_is_not_finite(value, expected):
    with jax.enable_x64(True):
        target = jnp.asarray(np.random.default_rng(0).normal(size=32))
        seen = jnp.asarray(FROZEN)
        for sign in (1, -1) if np.isinf(value) else (1,):
            learned = jnp.where(seen, target, sign * value * cube.frozen(target, 4, 1))
            found = canonical.extrapolation(learned, target, seen)["degree_temperature"]
            np.testing.assert_equal(float(found), expected)
