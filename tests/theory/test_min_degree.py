"""The min-degree interpolator against its definition, exact fractions, theorems and known cases."""

import math

import numpy as np
import pytest
from dense_interpolator import dense_min_degree_interpolator, dense_rank

from pvr_jax import tasks, theory
from pvr_jax.boolean import cube
from pvr_jax.theory import closed_forms, min_degree, rational


def points(n):
    return np.asarray(cube.points(n), np.float64)


def polynomial(n, expression):
    return np.asarray(tasks.truth_table(tasks.make("polynomial", n=n, expression=expression)))


def random_case(n, share, seed):
    random = np.random.default_rng([n, seed])
    seen = random.random(2**n) < share
    seen[random.integers(2**n)] = True
    return random.normal(size=2**n), seen


@pytest.mark.parametrize("share", [0.1, 0.35, 0.65, 0.9])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_random_targets_on_random_holdouts_agree_with_the_definition(n, share):
    for seed in range(6):
        values, seen = random_case(n, share, seed)
        expected = dense_min_degree_interpolator(values, seen)
        np.testing.assert_allclose(
            theory.min_degree_interpolator(values, seen), expected, atol=1e-8, rtol=1e-8
        )


@pytest.mark.parametrize("share", [0.3, 0.8])
@pytest.mark.parametrize("n", [3, 4, 5])
def test_random_cases_agree_with_exact_fractions(n, share):
    values, seen = random_case(n, share, seed=9)
    values = np.round(values * 8)
    exact = rational.exact_min_degree_interpolator(values, seen)
    np.testing.assert_allclose(
        theory.min_degree_interpolator(values, seen), np.array(exact, np.float64), atol=1e-9
    )


@pytest.mark.parametrize("n", [4, 6])
def test_both_sides_of_the_solver_agree(n):
    # Half of the points seen: the systems of the seen and of the unseen set have the same size,
    # and nothing but the answer in common.
    values, _ = random_case(n, 0.5, seed=1)
    seen = np.zeros(2**n, bool)
    seen[np.random.default_rng(n).permutation(2**n)[: 2 ** (n - 1)]] = True
    values = np.where(seen, values, 0.0)[None]
    up = min_degree.levels(np.flatnonzero(seen), n, range(n + 1))
    down = min_degree.levels(np.flatnonzero(~seen), n, range(n, -1, -1))
    from_seen = min_degree._from_seen(values, np.flatnonzero(seen), up)
    from_unseen = min_degree._from_unseen(values, np.flatnonzero(~seen), down)
    np.testing.assert_allclose(from_seen, from_unseen, atol=1e-9)


@pytest.mark.parametrize("value", [-1, 1])
@pytest.mark.parametrize("n", [3, 11])
def test_a_frozen_bit_gives_the_frozen_function(n, value):
    target = np.random.default_rng(n).normal(size=2**n)
    for bit in (0, 1, n - 1):
        seen = points(n)[:, bit] == value
        partner = np.arange(2**n) | (1 << (n - 1 - bit))
        frozen = target[partner if value == 1 else partner ^ (1 << (n - 1 - bit))]
        np.testing.assert_allclose(theory.min_degree_interpolator(target, seen), frozen, atol=1e-12)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_affine_subspaces_agree_with_the_definition(n):
    # Random affine subspaces of every dimension: the closed form, ties within a class included.
    random = np.random.default_rng(n)
    for dimension in range(n):
        for _ in range(4):
            numbers = {int(random.integers(2**n))}
            while len(numbers) < 2**dimension:
                shift = int(random.integers(1, 2**n))
                numbers |= {number ^ shift for number in numbers}
            if len(numbers) != 2**dimension:
                continue
            seen = np.isin(np.arange(2**n), list(numbers))
            values = random.normal(size=2**n)
            solution = closed_forms.affine(np.where(seen, values, 0.0), seen)
            assert solution is not None
            expected = dense_min_degree_interpolator(values, seen)
            np.testing.assert_allclose(solution, expected, atol=1e-9)


def test_only_affine_sets_and_balls_have_closed_forms():
    seen = np.zeros(16, bool)
    seen[[0, 1, 2, 4]] = True  # four points whose exclusive-or is not zero
    assert closed_forms.affine(np.zeros(16), seen) is None
    assert closed_forms.hamming_ball(np.zeros(16), seen) is None
    seen[8] = True  # a point and its four neighbors
    assert closed_forms.hamming_ball(np.zeros(16), seen) is not None
    seen[8], seen[3] = False, True
    assert closed_forms.hamming_ball(np.zeros(16), seen) is None


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
def test_hamming_balls_agree_with_the_definition(radius):
    n, center = 5, 0b10110
    seen = np.bitwise_count(np.arange(2**n) ^ center) <= radius
    values = np.random.default_rng(radius).normal(size=2**n)
    expected = dense_min_degree_interpolator(values, seen)
    np.testing.assert_allclose(theory.min_degree_interpolator(values, seen), expected, atol=1e-9)


def half_axes(x):
    return (x[:, 0] == 1) | (x[:, 1] == 1)


# Abbe et al. 2023: name -> (n, target, seen condition, min-degree interpolator, mean squared
# errors over the whole cube and over the unseen inputs). Derived by hand from the definition.
GOTU = {
    "2parity": (15, "x0*x1", half_axes, "x0 + x1 - 1", 4, 16),
    "threesym": (
        15,
        "x0*x1 - 1.25*x1*x2 + 1.5*x2*x0",
        lambda x: x[:, 0] * x[:, 1] * x[:, 2] == 1,
        "x2 - 1.25*x0 + 1.5*x1",
        9.625,
        19.25,
    ),
    "cyclic3": (
        15,
        " + ".join(f"x{i}*x{(i + 1) % 15}*x{(i + 2) % 15}" for i in range(15)),
        lambda x: half_axes(x) | (x[:, 2] == 1),
        " + ".join(f"x{i}*x{(i + 1) % 15}*x{(i + 2) % 15}" for i in range(1, 15))
        + " + 1 - x0 - x1 - x2 + x0*x1 + x0*x2 + x1*x2",
        8,
        64,
    ),
    "rfexample": (
        18,
        "x0*x1*x2 + x0*x3*x4*x5",
        lambda x: x[:, 0] == 1,
        "x1*x2 + x3*x4*x5",
        4,
        8,
    ),
}


@pytest.mark.parametrize("name", GOTU)
def test_published_tasks(name):
    n, expression, condition, expected, on_cube, on_unseen = GOTU[name]
    target, seen = polynomial(n, expression), condition(points(n))
    learned = theory.min_degree_interpolator(target, seen)
    np.testing.assert_allclose(learned, polynomial(n, expected), atol=1e-9)
    squares = np.square(learned - target)
    assert squares.mean() == pytest.approx(on_cube, abs=1e-9)
    assert squares[~seen].mean() == pytest.approx(on_unseen, abs=1e-9)


def test_majority_with_two_bits_that_are_not_both_minus():
    x = points(15)
    seen = half_axes(x)
    target = np.sign(x[:, 0] + x[:, 1] + x[:, 2])
    learned = theory.min_degree_interpolator(target, seen)
    expected = polynomial(15, "0.5*x0 + 0.5*x1 + x2 - 0.5*x0*x2 - 0.5*x1*x2")
    np.testing.assert_allclose(learned, expected, atol=1e-9)
    assert np.square(learned - target)[~seen].mean() == pytest.approx(4, abs=1e-9)


# Radius -> (share of unseen inputs, mean squared error over the whole cube), of the full parity.
LENGTHS = {6: (0.6964, 7.499e7), 7: (0.5, 1.952e8), 8: (0.3036, 3.256e8), 10: (0.0592, 2.258e8)}


@pytest.mark.parametrize("radius", LENGTHS)
def test_length_generalization_of_the_parity(radius):
    # The interpolator is a polynomial in m, the number of entries -1: Σ_{j<=r} (-2)^j C(m, j).
    minus = 15 - np.bitwise_count(np.arange(2**15)).astype(int)
    parity = (-1.0) ** minus
    learned = theory.min_degree_interpolator(parity, minus <= radius)
    by_count = [sum((-2) ** j * math.comb(m, j) for j in range(radius + 1)) for m in range(16)]
    np.testing.assert_allclose(learned, np.array(by_count, float)[minus], rtol=1e-12)
    share, error = LENGTHS[radius]
    assert np.mean(minus > radius) == pytest.approx(share, abs=5e-5)
    assert np.square(learned - parity).mean() == pytest.approx(error, rel=5e-4)


def test_a_short_program_that_the_low_degree_bias_misses():
    x = points(3)
    target = np.where((x == 1).all(axis=1), 1.0, -1.0)
    seen = x[:, 0] == 1
    learned = theory.min_degree_interpolator(target, seen)
    np.testing.assert_allclose(learned, polynomial(3, "-0.5 + 0.5*x1 + 0.5*x2 + 0.5*x1*x2"))
    assert np.square(learned - target)[~seen].mean() == 1


def test_unseen_values_are_never_read():
    values, seen = random_case(5, 0.6, seed=3)
    hidden = np.where(seen, values, np.nan)
    np.testing.assert_array_equal(
        theory.min_degree_interpolator(hidden, seen), theory.min_degree_interpolator(values, seen)
    )


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_hilbert_function_is_the_rank_of_the_monomials(share):
    for n in (1, 3, 5):
        _, seen = random_case(n, share, seed=4)
        expected = [dense_rank(seen, degree) for degree in range(n + 1)]
        np.testing.assert_array_equal(theory.hilbert_function(seen), expected)
    # One irrelevant and one constant coordinate.
    x = points(5)
    seen = (x[:, 1] == 1) & half_axes(x[:, 2:])
    expected = [dense_rank(seen, degree) for degree in range(6)]
    np.testing.assert_array_equal(theory.hilbert_function(seen), expected)


def test_hilbert_function_of_a_ball_and_of_the_cube():
    ball = np.bitwise_count(np.arange(2**7)) <= 3
    np.testing.assert_array_equal(theory.hilbert_function(ball), [1, 8, 29, 64, 64, 64, 64, 64])
    np.testing.assert_array_equal(theory.hilbert_function(np.ones(16, bool)), [1, 5, 11, 15, 16])


@pytest.mark.parametrize(
    ("values", "seen", "message"),
    [
        (np.zeros(8), np.ones(8), "seen: given dtype float64; allowed bool"),
        (np.zeros(8), np.zeros(8, bool), "seen: given no seen point"),
        (np.zeros(4), np.ones(8, bool), "values: given shape"),
        (np.zeros(6), np.ones(6, bool), "seen: given a last axis of length 6"),
        (np.full(8, np.nan), np.ones(8, bool), "values: given nan at the seen point 0"),
        (np.zeros(2**14), np.arange(2**14) % 3 == 0, "allowed at most 4,096 of either kind"),
    ],
)
def test_bad_input_says_what_is_allowed(values, seen, message):
    with pytest.raises(ValueError, match=message):
        theory.min_degree_interpolator(values, seen)
