"""Label distributions and noise sensitivity of tasks on tokens: closed forms, brute force."""

import itertools
import math

import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax.tasks import conditional_pvr, token_measures, token_pvr


@pytest.mark.parametrize("complexity", slow_but(range(3), range(6)))
def test_labels_of_mod_sum_are_uniform(complexity):
    found = token_measures.label_distribution("mod_sum", complexity)
    assert found.exact and (found.shares == 0.1).all()


@pytest.mark.parametrize("complexity", range(5))
def test_labels_of_the_extremes_have_their_order_statistics(complexity):
    # P(max <= d) = ((d + 1) / 10)^(m + 1), and min is 9 - max of the mirrored digits.
    at_most = (np.arange(11) / 10) ** (complexity + 1)
    largest = token_measures.label_distribution("max", complexity).shares
    np.testing.assert_allclose(largest, np.diff(at_most), rtol=1e-12)
    smallest = token_measures.label_distribution("min", complexity).shares
    np.testing.assert_allclose(smallest, largest[::-1], rtol=1e-12)


def test_labels_of_a_median_are_counted():
    # Of three digits: P(median <= d) = 3 q^2 - 2 q^3 with q = (d + 1) / 10.
    q = np.arange(11) / 10
    found = token_measures.label_distribution("median", 2).shares
    np.testing.assert_allclose(found, np.diff(3 * q**2 - 2 * q**3), rtol=1e-12)


@pytest.mark.slow
def test_a_window_too_long_to_list_is_sampled():
    found = token_measures.label_distribution("max", 7)
    assert not found.exact and math.isclose(found.shares.sum(), 1)
    expected = np.diff((np.arange(11) / 10) ** 8)
    assert np.abs(found.shares - expected).max() < 5 * math.sqrt(0.25 / token_measures.SAMPLES)


def agreement_of_sums(shared, delta, complexity):
    """Two sums modulo 10 agree for sure if they have all digits in common, else by chance."""
    same = (1 - delta) ** (complexity + 1) if shared == complexity + 1 else 0.0
    return same + (1 - same) / 10


@pytest.mark.parametrize("delta", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("complexity", [0, 1, 4])
def test_noise_sensitivity_of_mod_sum_has_a_closed_form(complexity, delta):
    places = 10 - complexity
    stay = 1 - delta + delta / places  # the pointer is not drawn anew, or to the same place
    agree = stay * agreement_of_sums(complexity + 1, delta, complexity) + (1 - stay) * 0.1
    found = token_measures.noise_sensitivity("mod_sum", complexity, delta)
    assert found.exact and found.low == found.value == found.high
    assert math.isclose(found.value, 1 - agree, rel_tol=1e-12)


@pytest.mark.parametrize("name, aggregation", [("max", max), ("mod_sum", lambda w: sum(w) % 10)])
def test_overlapping_windows_agree_as_brute_force_says(name, aggregation):
    # Windows of two digits that have both, one or none of them in common: all pairs.
    table = token_measures.window_labels(name, 1)
    delta = 0.2
    agreements = [token_measures.agreement(table, shared, delta) for shared in (0, 1, 2)]
    windows = list(itertools.product(range(10), repeat=2))
    noise = (1 - delta) * np.eye(10) + delta / 10
    same = sum(
        noise[a, c] * noise[b, d]
        for a, b in windows
        for c, d in windows
        if aggregation((a, b)) == aggregation((c, d))
    )
    assert math.isclose(agreements[2], same / 100, rel_tol=1e-9)
    one = sum(
        noise[b, c]
        for a, b in windows
        for c, d in windows
        if aggregation((a, b)) == aggregation((c, d))
    )
    assert math.isclose(agreements[1], one / 1000, rel_tol=1e-9)
    shares = token_measures.label_distribution(name, 1).shares
    assert math.isclose(agreements[0], float(np.sum(shares**2)), rel_tol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, complexity, boundary", [("median", 2, "bounded"), ("majority_vote", 4, "cyclic")]
)
def test_sampling_agrees_with_the_exact_value(name, complexity, boundary):
    exact = token_measures.noise_sensitivity(name, complexity, 0.1, boundary)
    number = token_pvr.aggregation_number(name)
    sampled = token_measures.sampled_noise_sensitivity(
        lambda key: token_pvr.draw(key, complexity, boundary),
        lambda tokens: token_pvr.label(tokens, number, complexity),
        0.1,
    )
    assert not sampled.exact and sampled.low < sampled.value < sampled.high
    # Twice the interval: a fixed seed, but one that need not be among the 95 %.
    assert abs(sampled.value - exact.value) < sampled.high - sampled.low


def test_where_everything_is_drawn_anew_labels_agree_by_chance():
    shares = token_measures.label_distribution("max", 3).shares
    found = token_measures.noise_sensitivity("max", 3, 1.0)
    assert math.isclose(found.value, 1 - np.sum(shares**2), rel_tol=1e-12)


def test_delta_is_a_probability():
    with pytest.raises(ValueError, match=r"delta: given 1\.5; allowed 0 to 1"):
        token_measures.noise_sensitivity("max", 1, 1.5)


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_hops_of_conditional_pvr_are_those_of_a_plain_loop_on_all_inputs(length):
    numbers = np.array(list(itertools.product(range(length), repeat=length)))
    expected = []
    for row in numbers:
        pointer, hops = 0, 0
        while row[pointer] > pointer:
            pointer, hops = row[pointer], hops + 1
        expected.append(hops)
    assert conditional_pvr.label(numbers).tolist() == expected
    counted = np.bincount(expected, minlength=length) / length**length
    np.testing.assert_allclose(conditional_pvr.label_distribution(length), counted, atol=1e-15)
