"""The error of kernel regression from sums by degree: against the formula on sets, and by hand."""

import itertools
import math

import numpy as np
import pytest

from pvr_jax import tasks, theory
from pvr_jax.boolean import facts
from pvr_jax.theory import wide_networks
from pvr_jax.theory.wide_networks import RELU


def on_sets(terms, eigenvalues, bit, value):
    """Σ over pairs {T, T ∪ k}: what is learned of their sum goes to each in proportion to μ."""
    total = 0.0
    for own in {tuple(i for i in s if i != bit) for s in terms}:
        low, high = terms.get(own, 0.0), terms.get(tuple(sorted((*own, bit))), 0.0)
        mu = eigenvalues[len(own)], eigenvalues[len(own) + 1]
        learned = (low + value * high) * np.array([mu[0], value * mu[1]]) / sum(mu)
        total += ((learned - (low, high)) ** 2).sum()
    return total / 2  # half the mean square


@pytest.mark.parametrize("value", [-1, 1])
def test_the_error_is_that_of_the_pairs_of_aliases(value):
    random = np.random.default_rng(8)
    for n in (1, 5, 40):
        eigenvalues = random.random(n + 1)
        drawn = [s for d in range(4) for s in itertools.combinations(range(min(n, 6)), d)]
        terms = {s: random.normal() for s in drawn}
        found = facts.SparseFacts(n, {sum(1 << i for i in s): c for s, c in terms.items()})
        for bit in range(min(n, 7)):
            error = theory.kernel_error(*found.cross_sums(bit), eigenvalues, value)
            expected = on_sets(terms, eigenvalues, bit, value)
            assert error == pytest.approx(expected, rel=1e-12)


def test_every_bit_of_f3():
    task = tasks.make("pvr_majority")
    found = tasks.exact_facts(task)
    layers = wide_networks.mlp_layers(11, (512, 64))
    eigenvalues = wide_networks.wide_eigenvalues(11, layers, RELU)
    for value in (-1, 1):
        errors = [theory.kernel_error(*found.cross_sums(k), eigenvalues, value) for k in range(11)]
        terms = found.monomials(2**11)
        expected = [on_sets(terms, eigenvalues, k, value) for k in range(11)]
        np.testing.assert_allclose(errors, expected, rtol=1e-12)


@pytest.mark.parametrize(("p", "window"), [(5, 3), pytest.param(8, 5, marks=pytest.mark.slow)])
def test_cyclic_parity_with_a_pointer_bit_frozen(p, window):
    # f^(T) and f^(T ∪ k) have the same square at degree w + j, of sum C(p-1, j)/2^p, and signs
    # that cancel in sum: what is lost of the one and kept of the other are (1 - π)² and π².
    found = tasks.exact_facts(tasks.make("pvr", pointer_bits=p, window=window))
    layers = wide_networks.mlp_layers(found.n, (512, 64), "ntk")
    mu = wide_networks.wide_eigenvalues(found.n, layers, RELU)
    expected = 0
    for j in range(p):
        kept = mu[window + j] / (mu[window + j] + mu[window + j + 1])
        expected += math.comb(p - 1, j) / 2**p * ((1 - kept) ** 2 + kept**2)
    for value in (-1, 1):
        error = theory.kernel_error(*found.cross_sums(0), mu, value)
        assert error == pytest.approx(expected, rel=1e-12)
    assert 0.25 < expected < found.influences[0]


def test_degrees_that_nobody_needs_may_be_unknown():
    parity = tasks.exact_facts(tasks.make("parity", n=40, coordinates=(2, 9, 23)))
    mu = np.r_[4.0, 3, 2, 1, [np.nan] * 37]
    # x9 x23, of degree 2, against x2 x9 x23.
    assert theory.kernel_error(*parity.cross_sums(2), mu) == pytest.approx((2 / 3) ** 2)
    irrelevant = parity.cross_sums(0)  # of degree 3, with a fourth
    assert np.isnan(theory.kernel_error(*irrelevant, mu))
    mu[4] = 0
    assert theory.kernel_error(*irrelevant, mu) == 0
    mu[3] = 0  # neither degree: the target cannot be fitted
    assert np.isnan(theory.kernel_error(*irrelevant, mu))


def test_aliases_that_cancel_leave_nothing_to_learn():
    # x1 x2 - x0 x1 x2 is 0 where x0 = 1, so 0 is learned, by kernels without these degrees too.
    found = facts.SparseFacts(3, {0b110: 0.1, 0b111: -0.1})
    for mu in ([1, 1, 0, 0], [1, 1, np.nan, np.nan], [1, 1, 1, 1]):
        assert theory.kernel_error(*found.cross_sums(0), mu) == pytest.approx(0.01)
    assert np.isnan(theory.kernel_error(*found.cross_sums(0), [1, 1, 0, 0], -1))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([1], [0], [1, 2], [1, 1]), r"sums: given shapes \(1,\), \(1,\), \(2,\); allowed three"),
        ((1, 0, 1, [1, 1]), r"sums: given shapes \(\), \(\), \(\); allowed three of \[n\]"),
        (([1], [0], [1], [1, 1, 1]), r"eigenvalues: given shape \(3,\); allowed \[2\]"),
        (([1], [0], [1], [1, -1]), r"eigenvalues: given \[1.0, -1.0\]; allowed finite"),
        (([1], [0], [1], [1, np.inf]), r"eigenvalues: given \[1.0, inf\]; allowed finite"),
        (([1], [0], [1], [0, 0]), "eigenvalues: given zeros only"),
        (([1], [0], [1], [1, 1], 0), r"value: given 0; allowed -1 or \+1"),
    ],
)
def test_bad_sums_are_refused(args, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        theory.kernel_error(*args)
