"""Errors of all functions with a seen half: every function of a small cube is written out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax.analysis import canonical, halves
from pvr_jax.boolean import float64


@pytest.fixture(scope="module", params=[2, 4, 8])
def problem(request):
    """A seen half, what is learned of both halves, and every function with that seen half."""
    random, points = np.random.default_rng(request.param), request.param
    half = random.choice([-1.0, 1.0], (3, points))
    learned = half + random.normal(0, 0.1, half.shape)
    unseen = 0.5 * half + random.normal(0, 0.5, half.shape)
    others = np.array(list(itertools.product([-1.0, 1.0], repeat=points)))
    found = []
    for given, seen, hidden in zip(half, learned, unseen, strict=True):
        network = np.stack([hidden, seen], axis=1).ravel()
        functions = [np.stack([other, given], axis=1).ravel() for other in others]
        error = [np.mean((network - f) ** 2) / 2 for f in functions]
        influence = [np.mean(f[::2] != f[1::2]) for f in functions]
        found.append((np.array(error), np.array(influence)))
    return half, learned, unseen, found


def test_errors_at_every_influence_are_those_of_all_functions(problem):
    half, learned, unseen, all_functions = problem
    found = halves.errors_by_influence(half, learned, unseen)
    below = halves.share_below_influence(half, learned, unseen)
    line = halves.error_line(half, learned, unseen)
    levels = np.arange(half.shape[1] + 1) / half.shape[1]
    for row, (error, influence) in enumerate(all_functions):
        for place, level in enumerate(levels):
            own = error[np.isclose(influence, level)]
            given = [part[row, place] for part in found]
            expected = [own.mean(), own.var(), own.min(), own.max()]
            np.testing.assert_allclose(given, expected, atol=1e-14)
            assert below[row, place] == pytest.approx(np.mean(own < level))
            assert line.at_zero[row] + line.slope[row] * level == pytest.approx(
                own.mean(), abs=1e-14
            )


def test_the_low_degree_bias_makes_the_error_the_influence():
    half = np.random.default_rng(0).choice([-1.0, 1.0], (5, 16))
    found = halves.errors_by_influence(half, half, half)
    expected = np.broadcast_to(np.arange(17) / 16, (5, 17))
    for part in (found.mean, found.smallest, found.largest):
        np.testing.assert_allclose(part, expected, atol=1e-15)
    assert not found.variance.any()
    assert not halves.share_below_influence(half, half, half).any()


@pytest.mark.parametrize("value", [-1, 1])
@float64.exact()
def test_the_share_is_that_of_the_spectra(value):
    random, n, bit = np.random.default_rng(1), 4, 2
    points = np.array(list(itertools.product([-1, 1], repeat=n)))
    seen = points[:, bit] == value
    target, learned = random.normal(size=(2, 2**n))
    frozen = {x: y for x, y in zip(map(tuple, points), target, strict=True) if x[bit] == value}
    flat = [frozen[(*x[:bit], value, *x[bit + 1 :])] for x in map(tuple, points)]
    products, squares = np.zeros(n), np.zeros(n)
    for chosen in itertools.product([0, 1], repeat=n):
        if not chosen[bit]:
            character = np.prod(np.where(chosen, points, 1), axis=1)
            own, other = np.mean(flat * character), np.mean(learned * character)
            products[sum(chosen)] += own * other
            squares[sum(chosen)] += own**2
    share = jax.jit(canonical.low_degree_share)
    found = share(*map(jnp.asarray, (learned, target, seen)))
    np.testing.assert_allclose(found["share_by_degree"], products / squares)
    np.testing.assert_allclose(found["share"], products.sum() / squares.sum())
    whole = share(*map(jnp.asarray, (learned, target, seen | True)))
    assert np.isnan(whole["share"])
