"""Sampled measures against enumeration: coverage, bias; exact cases, streams, and bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from sampled_functions import FROZEN, TARGETS, covered, learned_like, on_rows, within

from pvr_jax import tasks
from pvr_jax.boolean import cube, estimates, float64, fourier, measures, sampling
from pvr_jax.refusal import Refusal

RHO = (-0.5, 0.3, 0.9)
MAX_DEGREE = 2
MANY = 4096


def chosen_sets(n):
    random = np.random.default_rng(1)
    high = [tuple(random.choice(n, size, replace=False).tolist()) for size in range(3, 9)]
    return [*sampling.sets_up_to(n, 1), (0, 1), (0, 3), tuple(range(5)), *high]


def is_seen(x):
    return x[:, FROZEN] == 1


def errors(function, target, n, key, points):
    return sampling.errors(function, target, n, key, seen=is_seen, points=points)


# Functions of (function, target, n, key, points) that return estimates by name.
SAMPLED = {
    "moments": lambda f, _, n, key, points: sampling.moments(f, n, key, points=points),
    "errors": errors,
    "coefficients": lambda f, _, n, key, points: {
        "coefficients": sampling.coefficients(f, n, chosen_sets(n), key, points=points)
    },
    "influences": lambda f, _, n, key, points: {
        "influences": sampling.influences(f, n, key, points=points)
    },
    "noise_stability": lambda f, _, n, key, points: {
        "noise_stability": sampling.noise_stability(f, n, RHO, key, points=points)
    },
    "degree_weights": lambda f, _, n, key, points: {
        "degree_weights": sampling.degree_weights(f, n, MAX_DEGREE, key, points=points)
    },
}


@functools.cache
def tables(n, kind):
    """Return a function, and another one to compare it with."""
    target = TARGETS.get(kind, TARGETS["pvr"])(n)
    learned = learned_like(target)
    return (learned, target) if kind == "learned" else (target, learned)


@functools.cache
@float64.exact()
def enumerated(n, kind):
    """Return the exact measures, by the transform and by sums over all points."""
    table, target = (jnp.asarray(values, jnp.float64) for values in tables(n, kind))
    spectrum = fourier.walsh_hadamard(table)
    halves = np.asarray((table - target) ** 2) / 2
    seen = np.asarray(cube.points(n))[:, FROZEN] == 1
    exact = {
        "mean": spectrum[0],
        "mean_square": jnp.mean(table**2),
        "coefficients": spectrum[np.array([cube.index(each, n) for each in chosen_sets(n)])],
        "influences": measures.influences(spectrum),
        "noise_stability": measures.noise_stability(spectrum[None], jnp.asarray(RHO)),
        "degree_weights": fourier.degree_profile(spectrum)[: MAX_DEGREE + 1],
        "generalization_error": halves.mean(),
        "in_distribution_error": halves[seen].mean(),
        "unseen_error": halves[~seen].mean(),
    }
    return {name: np.asarray(value) for name, value in exact.items()}


def check_coverage(estimator, n, kind, points, repetitions):
    """Check that of 95 % intervals 93 % hold what is exact, and that estimates have no bias."""
    functions = [on_rows(table) for table in tables(n, kind)]
    runs = [
        SAMPLED[estimator](*functions, n, jax.random.key(seed), points)
        for seed in range(repetitions)
    ]
    for name in runs[0]:
        exact = enumerated(n, kind)[name]
        own = estimates.Estimate(*map(np.stack, zip(*(run[name] for run in runs), strict=True)))
        freedom = {"degree_weights": 255, "unseen_error": points / 2}.get(name, points)
        assert covered(own.value, own.standard_error, exact, freedom).mean() >= 0.93, name
        error = own.value.std(axis=0) / np.sqrt(repetitions)
        assert np.all(np.abs(own.value.mean(axis=0) - exact) <= 4.5 * error + 1e-5), name
        if points >= MANY:  # the intervals of all that one call returns
            together = within(own.value, own.value - own.low, exact)
            assert together.reshape(repetitions, -1).all(axis=1).mean() >= 0.93, name


@pytest.mark.parametrize("estimator", SAMPLED)
def test_intervals_hold_what_is_enumerated(estimator):
    check_coverage(estimator, 11, "learned", 1024, 200)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*TARGETS, "learned"])
@pytest.mark.parametrize("n", [11, 14])  # 20 in a file of its own, for another worker
@pytest.mark.parametrize("estimator", SAMPLED)
def test_intervals_hold_what_is_enumerated_of_every_function(estimator, n, kind):
    # Four times the points from which skewed quantities are near normal.
    check_coverage(estimator, n, kind, 4 * MANY, 1000)


def test_a_parity_of_64_bits_is_known_without_error():
    def f(x):
        return 3 * jnp.prod(x, axis=1)

    key = jax.random.key(0)
    found = sampling.influences(f, 64, key, bits=[0, 63], points=4096)
    assert found.value.tolist() == [9, 9] and found.standard_error.tolist() == [0, 0]
    found = sampling.coefficients(f, 64, [range(64), range(63)], key, points=4096)
    assert found.value[0] == 3 and found.standard_error[0] == 0
    assert found.low[1] < 0 < found.high[1]


def test_the_paper_function_has_its_influences():
    # f3: windows of 3 at 8 positions, the last two truncated; enumerated by the transform.
    f3 = tasks.make("pvr_majority")
    found = sampling.influences(f3.target, 11, jax.random.key(1), points=2**14)
    exact = measures.influences(fourier.walsh_hadamard(tasks.truth_table(f3)))
    assert np.all((found.low <= exact) & (exact <= found.high))
    assert np.all(found.standard_error < 0.01)


def test_characters_are_products():
    sets = [(), (2,), (0, 3), (0, 1, 2, 3, 4)]
    x = cube.points(5)
    signs = sampling.characters(x, sampling.members(sets, 5))
    expected = [np.prod(np.asarray(x)[:, list(each)], axis=1) for each in sets]
    assert np.array_equal(signs, np.stack(expected, axis=1))


def test_paired_weights_are_the_mean_over_pairs_of_different_points():
    rng = np.random.default_rng(2)
    x, values = rng.choice([-1.0, 1.0], (6, 5)), rng.normal(size=(6, 2))
    found = sampling.paired_weights(jnp.asarray(x, jnp.float32), jnp.asarray(values), 3, free=5)
    sets = sampling.sets_up_to(5, 3)
    signs = np.stack([np.prod(x[:, list(each)], axis=1) for each in sets])
    for degree in range(4):
        own = signs[[len(each) == degree for each in sets]]
        kernel = own.T @ own
        np.fill_diagonal(kernel, 0)
        expected = np.einsum("im,ij,jm->m", values, kernel, values) / 30
        np.testing.assert_allclose(found[:, degree], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("joint", [False, True])
def test_moments_of_parts_are_those_of_the_whole(joint):
    values = np.random.default_rng(3).normal(5, 1, (10, 3))
    of = estimates.summarize_jointly if joint else estimates.summarize
    with jax.enable_x64(True):
        nothing = jax.tree.map(jnp.zeros_like, of(jnp.asarray(values)))
        parts = [of(jnp.asarray(values[rows])) for rows in (slice(0, 3), slice(3, 4), slice(4, 10))]
        whole = jax.device_get(functools.reduce(estimates.merge, parts, nothing))
    expected = np.cov(values.T) * 9
    np.testing.assert_allclose(whole.mean, values.mean(axis=0))
    np.testing.assert_allclose(whole.squares, expected if joint else np.diag(expected))
    assert whole.count == 10


def test_all_blocks_count_once_and_differ():
    # 5000 points in two blocks; of 33 blocks more than one group.
    found = estimates.streamed(
        lambda key, sizes: {"x": (sampling.uniform_points(key, sizes), None)},
        jax.random.key(0),
        33 * 64,
        (64, 40),
        (),
    )["x"]
    assert found.count == 34 * 64  # two groups of 17
    # Were two blocks equal, some means would be too far from 0.
    assert np.abs(found.mean).max() < 4 / np.sqrt(found.count)
    np.testing.assert_allclose(found.squares, found.count * (1 - found.mean**2))


def test_other_parameters_need_no_other_program():
    traced = []

    def apply(weights, x):
        traced.append(1)
        return x @ weights

    for weight in (1.0, 2.0):
        f = Partial(apply, jnp.full(40, weight))
        sampling.moments(f, 40, jax.random.key(0), points=64)
    assert len(traced) == 1


def test_points_of_a_draw():
    seen = tasks.make_seen_set("subcube", 40, coordinates=(0, 3), values=(1, -1))
    found = sampling.moments(
        lambda x: x[:, 0] - x[:, 3], 40, jax.random.key(0), draw=seen.sample, points=64
    )
    assert found["mean"].value == 2 and found["mean_square"].value == 4


def test_the_stream_is_not_that_of_other_draws_from_the_key():
    key = jax.random.key(0)
    rows = []
    sampling.moments(lambda x: jax.debug.callback(rows.append, x) or x[:, 0], 64, key, points=8)
    jax.effects_barrier()
    for other in (key, jax.random.fold_in(key, 0), *jax.random.split(key)):
        assert not np.array_equal(rows[0], sampling.uniform_points(other, (8, 64)))


def test_nothing_unseen_has_no_error():
    found = sampling.errors(
        lambda x: x[:, 0], lambda x: x[:, 1], 5, jax.random.key(0), seen=lambda x: x[:, 0] < 2
    )
    assert np.isnan(found["unseen_error"].value) and found["in_distribution_error"].value > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, key: sampling.moments(f, 0, key), "n: given 0; allowed 1 to 4096"),
        (lambda f, key: sampling.moments(f, 5, key, points=1), "points: given 1; allowed a whole"),
        (lambda f, key: sampling.coefficients(f, 5, [(0, 0)], key), "sets: given 0 twice"),
        (lambda f, key: sampling.coefficients(f, 5, [(5,)], key), "bit: given 5; allowed 0 to 4"),
        (lambda f, key: sampling.influences(f, 5, key, bits=[7]), "bit: given 7; allowed 0 to 4"),
        (lambda f, key: sampling.noise_stability(f, 5, 2.0, key), "rho: given 2.0; allowed -1 to"),
        (lambda f, key: sampling.degree_weights(f, 5, 6, key), "max_degree: given 6; allowed 0 to"),
        (lambda f, key: sampling.moments(lambda x: x, 5, key), r"allowed \(4096,\)"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(Refusal, match=message):
        call(lambda x: x[:, 0], jax.random.key(0))
