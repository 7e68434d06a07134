"""The degree temperature and the noise kernel's interpolant on fewer coordinates."""

import itertools

import numpy as np
import pytest

from pvr_jax import theory


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
