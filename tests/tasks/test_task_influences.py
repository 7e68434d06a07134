"""Influences and means of the paper's functions, exactly: all of them are dyadic numbers.

The numbers follow from the definitions (a loop over the cube) and agree with the authors' utility.
"""

import jax
import numpy as np
import pytest

from pvr_jax import tasks
from pvr_jax.boolean.fourier import degree_profile, walsh_hadamard
from pvr_jax.boolean.measures import influences

PAPER = {
    # k^2 + (k+1)^2 inside the chain, one square at its ends.
    "quadratic_chain": [1, 5, 13, 25, 41, 61, 85, 113, 145, 181, 100],
    # Bit k is in the 14 - k prefixes longer than k.
    "staircase": [14 - k for k in range(14)],
    "pvr_majority": [
        *(0.46875, 0.3125, 0.21875),
        *(0.0625, 0.125, 0.1875, 0.1875, 0.1875, 0.1875, 0.15625, 0.21875),
    ],
    "linear": [(k + 2) ** 2 for k in range(11)],
}

# (aggregation, window): influences of the pointer bits, influence of each value bit.
CYCLIC = {
    3: {
        ("parity", 1): ((0.5, 0.5, 0.5), 0.125),
        ("parity", 2): ((0.5, 0.5, 0.5), 0.25),
        ("parity", 3): ((0.5, 0.5, 0.5), 0.375),
        ("majority", 1): ((0.5, 0.5, 0.5), 0.125),
        ("majority", 2): ((0.25, 0.25, 0.125), 0.0625),
        ("majority", 3): ((0.5, 0.375, 0.25), 0.1875),
        ("min", 1): ((0.5, 0.5, 0.5), 0.125),
        ("min", 2): ((0.375, 0.375, 0.25), 0.125),
        ("min", 3): ((0.21875, 0.1875, 0.125), 0.09375),
    },
    4: {
        ("parity", 1): ((0.5, 0.5, 0.5, 0.5), 0.0625),
        ("parity", 2): ((0.5, 0.5, 0.5, 0.5), 0.125),
        ("parity", 3): ((0.5, 0.5, 0.5, 0.5), 0.1875),
        ("majority", 1): ((0.5, 0.5, 0.5, 0.5), 0.0625),
        ("majority", 2): ((0.25, 0.25, 0.25, 0.125), 0.03125),
        ("majority", 3): ((0.5, 0.5, 0.375, 0.25), 0.09375),
        ("min", 1): ((0.5, 0.5, 0.5, 0.5), 0.0625),
        ("min", 2): ((0.375, 0.375, 0.375, 0.25), 0.0625),
        ("min", 3): ((0.21875, 0.21875, 0.1875, 0.125), 0.046875),
    },
}

TRUNCATED = {
    ("parity", 2): [*(0.5,) * 3, 0.125, *(0.25,) * 7],
    ("parity", 3): [*(0.5,) * 3, 0.125, 0.25, *(0.375,) * 6],
    ("majority", 2): [0.28125, 0.28125, 0.125, 0.03125, *(0.0625,) * 6, 0.15625],
    ("min", 2): [0.40625, 0.40625, 0.25, 0.0625, *(0.125,) * 6, 0.1875],
    ("min", 3): [0.3125, 0.25, 0.15625, 0.03125, 0.0625, *(0.09375,) * 4, 0.125, 0.21875],
}


@pytest.fixture(autouse=True)
def exact():
    with jax.enable_x64(True):
        yield


def measured(name, **params):
    table = tasks.truth_table(tasks.make(name, **params))
    assert table.dtype == np.float64
    return np.asarray(influences(walsh_hadamard(table)))


@pytest.mark.parametrize("name", PAPER)
def test_functions_of_the_paper(name):
    np.testing.assert_array_equal(measured(name), PAPER[name])


@pytest.mark.parametrize(("aggregation", "window"), CYCLIC[3])
@pytest.mark.parametrize("pointer_bits", CYCLIC)
def test_cyclic(pointer_bits, aggregation, window):
    pointer, value = CYCLIC[pointer_bits][aggregation, window]
    expected = [*pointer, *(value,) * 2**pointer_bits]
    params = {"pointer_bits": pointer_bits, "window": window, "aggregation": aggregation}
    np.testing.assert_array_equal(measured("pvr", **params), expected)


@pytest.mark.parametrize(("aggregation", "window"), TRUNCATED)
def test_truncated(aggregation, window):
    params = {"window": window, "aggregation": aggregation, "boundary": "truncated"}
    np.testing.assert_array_equal(measured("pvr", **params), TRUNCATED[aggregation, window])


@pytest.mark.parametrize("window", [1, 2, 3, 5, 8])
def test_cyclic_parity_closed_form(window):
    """Pointer bits 1/2, value bits w/2^p; weight C(p, j)/2^p at degree w + j, for w < 2^p."""
    table = tasks.truth_table(tasks.make("pvr", window=window))
    coefficients = walsh_hadamard(table)
    profile = np.zeros(12)
    if window < 8:
        profile[window : window + 4] = np.array([1, 3, 3, 1]) / 8
    else:  # every window is the whole string: the pointer no longer matters
        profile[8] = 1
    pointer = 0.5 if window < 8 else 0
    np.testing.assert_array_equal(degree_profile(coefficients), profile)
    expected = [pointer] * 3 + [window / 8] * 8
    np.testing.assert_array_equal(influences(coefficients), expected)


def test_f3_profile_and_ties():
    table = tasks.truth_table(tasks.make("pvr_majority"))
    profile = np.asarray(degree_profile(walsh_hadamard(table)))
    expected = [0, 0.2578125, 0.2890625, 0.203125, 0.09375, 0.0703125, 0.0234375, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(profile, expected)
    # The seventh window has two bits and ties on half of its points: 1/8 of 1/2.
    assert np.mean(np.asarray(table) == 0) == 1 / 16
    assert np.mean(np.asarray(table) ** 2) == 0.9375


def test_majority_of_two_is_zero_on_half_of_the_cube():
    table = np.asarray(tasks.truth_table(tasks.make("pvr", window=2, aggregation="majority")))
    assert np.mean(table == 0) == 0.5


@pytest.mark.parametrize(("window", "mean"), [(1, 0), (2, -0.5), (3, -0.75)])
def test_min_is_not_balanced(window, mean):
    table = tasks.truth_table(tasks.make("pvr", window=window, aggregation="min"))
    assert np.mean(np.asarray(table)) == mean
