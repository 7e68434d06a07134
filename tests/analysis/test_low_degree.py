"""Low-degree regression: planted functions, what it cannot see, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax.analysis import low_degree
from pvr_jax.refusal import Refusal


def staircase(x):
    # And a part of degree 8, which regression up to degree 2 takes for noise.
    return 0.7 + x[:, 0] + 0.3 * x[:, 0] * x[:, 1] + 0.5 * jnp.prod(x[:, :8], axis=1)


def test_what_was_planted_is_found_and_nothing_else():
    found = low_degree.low_degree_lasso(
        staircase, 20, 2, jax.random.key(0), points=2048, refined_points=2**14
    )
    assert found.sets == [(0,), (), (0, 1)]
    own = found.coefficients
    assert np.all((own.low <= [1, 0.7, 0.3]) & (own.high >= [1, 0.7, 0.3]))
    assert abs(found.explained.value - 1.58) < 5 * found.explained.standard_error
    assert abs(found.mean_square.value - 1.83) < 5 * found.mean_square.standard_error
    # The penalty has converged to the size of what is not explained, √(2 ln 211 / 2048) times .5.
    assert found.penalty == pytest.approx(0.5 * np.sqrt(2 * np.log(211) / 2048), rel=0.1)


@pytest.mark.slow
def test_planted_functions_of_64_bits_are_found():
    def function(x):
        noise = 0.1 * np.sqrt(2) * jnp.sin(1e4 * (x @ jnp.arange(1.0, 65.0)))
        return 0.1 * x[:, 63] + 0.2 * x[:, 5] * x[:, 40] - 0.1 * x[:, 7] * x[:, 8] + noise

    found = low_degree.low_degree_lasso(function, 64, 2, jax.random.key(1))
    assert found.sets[0] == (5, 40) and set(found.sets[1:]) == {(63,), (7, 8)}


def test_a_constant_has_one_coefficient():
    found = low_degree.low_degree_lasso(
        lambda x: 3 + 0 * x[:, 0], 10, 1, jax.random.key(0), points=256, refined_points=256
    )
    assert found.sets == [()] and found.coefficients.value == 3


def test_too_many_sets_are_refused():
    with pytest.raises(Refusal, match="max_degree: given '4, with 102091 sets'; allowed one with"):
        low_degree.low_degree_lasso(lambda x: x[:, 0], 40, 4, jax.random.key(0))
