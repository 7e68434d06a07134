"""Sampled measures against enumeration on 20 bits: coverage and bias."""

import pytest
from sampled_functions import TARGETS
from test_sampling import MANY, SAMPLED, check_coverage


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*TARGETS, "learned"])
@pytest.mark.parametrize("estimator", SAMPLED)
def test_intervals_hold_what_is_enumerated_of_every_function(estimator, kind):
    check_coverage(estimator, 20, kind, 4 * MANY, 1000)
