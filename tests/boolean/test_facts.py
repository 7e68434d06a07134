"""Exact facts against sums over sets and points, written from the definitions."""

import itertools

import numpy as np
import pytest

from pvr_jax.boolean import facts, float64

N = 5
SETS = [s for size in range(N + 1) for s in itertools.combinations(range(N), size)]
POINTS = np.array(list(itertools.product([-1.0, 1.0], repeat=N)))


def drawn(kept):
    """Coefficients by sets: sixteenths, so that all arithmetic is exact."""
    random = np.random.default_rng(kept)
    chosen = random.choice(len(SETS), kept, replace=False)
    return {SETS[i]: int(random.integers(1, 99)) / 16 * random.choice([-1, 1]) for i in chosen}


def values_of(terms):
    return sum(c * np.prod(POINTS[:, list(s)], axis=1) for s, c in terms.items())


def both(terms):
    """The facts from all coefficients, and from those that are not 0."""
    yield facts.DenseFacts(float64.spectrum(values_of(terms)))
    yield facts.SparseFacts(N, {sum(1 << i for i in s): c for s, c in terms.items()})


@pytest.mark.parametrize("kept", [1, 7, 32])
def test_facts_are_sums_over_sets(kept):
    terms = drawn(kept)
    for found in both(terms):
        for k in range(N):
            sums = np.zeros((3, N))
            for own in SETS:
                if k not in own:
                    low = terms.get(own, 0)
                    high = terms.get(tuple(sorted((*own, k))), 0)
                    sums[:, len(own)] += low * low, low * high, high * high
            np.testing.assert_array_equal(found.cross_sums(k), sums)
            assert found.influences[k] == sums[2].sum()
        profile = [sum(c * c for s, c in terms.items() if len(s) == d) for d in range(N + 1)]
        np.testing.assert_array_equal(found.degree_profile, profile)
        assert found.monomials(kept) == terms
        np.testing.assert_array_equal(found.coefficients(SETS), [terms.get(s, 0) for s in SETS])
        assert found.coefficients([]).shape == (0,)


def test_facts_are_means_over_points():
    terms = drawn(20)
    values = values_of(terms)
    apart = (POINTS[:, None] != POINTS[None]).sum(axis=2)
    for found in both(terms):
        assert found.mean == pytest.approx(values.mean(), abs=1e-14)
        assert found.mean_square == pytest.approx(np.mean(values**2), rel=1e-14)
        for rho in (-0.4, 0.0, 0.7, 1.0):
            chance = ((1 - rho) / 2) ** apart * ((1 + rho) / 2) ** (N - apart) / len(POINTS)
            expected = values @ chance @ values
            assert found.noise_stability(rho) == pytest.approx(expected, rel=1e-13)
        for k, value in itertools.product(range(N), (-1, 1)):
            spectrum = float64.spectrum(values[POINTS[:, k] == value])
            sizes = np.bitwise_count(np.arange(len(spectrum)))
            profile = np.bincount(sizes, spectrum**2)
            np.testing.assert_allclose(found.frozen(k, value), profile, atol=1e-13)


def test_one_coordinate():
    for found in (facts.DenseFacts([3, 2]), facts.SparseFacts(1, {0: 3, 1: 2})):
        assert [sums.tolist() for sums in found.cross_sums(0)] == [[9], [6], [4]]
        assert found.frozen(0, -1).tolist() == [1]
        assert found.influences.tolist() == [4]


def test_a_function_that_is_zero():
    for found in (facts.DenseFacts(np.zeros(8)), facts.SparseFacts(3, {5: 0.0})):
        assert found.monomials(0) == {}
        assert (found.mean, found.mean_square, found.noise_stability(0.5)) == (0, 0, 0)
        assert found.influences.tolist() == [0, 0, 0]
        assert np.array(found.cross_sums(1)).tolist() == np.zeros((3, 3)).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.cross_sums(5), "bit: given 5; allowed 0 to 4"),
        (lambda f: f.cross_sums(-1), "bit: given -1; allowed 0 to 4"),
        (lambda f: f.frozen(2, 0), r"value: given 0; allowed -1 or \+1"),
        (lambda f: f.noise_stability(1.5), "rho: given 1.5; allowed -1 to 1"),
        (lambda f: f.coefficients([(0, 5)]), "coordinate: given 5; allowed 0 to 4"),
        (lambda f: f.coefficients([(), (2, 2)]), "coordinate: given 2 twice; allowed once"),
        (lambda f: f.monomials(6), "limit: given 6; allowed from 7, the coefficients that are"),
    ],
)
def test_bad_requests_are_refused(call, message):
    for found in both(drawn(7)):
        with pytest.raises(ValueError, match=f"^{message}"):
            call(found)
