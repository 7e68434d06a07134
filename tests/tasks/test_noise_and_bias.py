"""Label noise and biased draws of training rows."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax import tasks
from pvr_jax.tasks import condition, datasets, label_noise, seen_draws
from pvr_jax.tasks.pvr import binary_number

KEY = jax.random.key(3)
PARITY = tasks.make("parity", n=8, degree=3)


def flips(training, key=KEY, bit=2, steps=(0,), target=PARITY.target):
    """Whether the labels of some steps are flipped, [steps, b]."""
    own = jax.vmap(training.batch, (None, 0, None))(key, jnp.asarray(steps), bit)
    return np.asarray(own["y"] != target(own["x"])), np.asarray(own["x"])


@pytest.mark.parametrize("source", ["sampled", "fresh"])
def test_the_given_share_of_labels_is_flipped(source):
    choice = {"source": source, "samples": 40_000, "batch_size": 40_000, "label_noise": 0.05}
    found, _ = flips(datasets.canonical_training_set(PARITY.target, 8, **choice))
    assert abs(found.mean() - 0.05) < 5 * np.sqrt(0.05 * 0.95 / 40_000)


def test_noise_is_drawn_once_per_row_whatever_the_epoch_order_and_bit():
    choice = {"samples": 64, "batch_size": 64, "label_noise": 0.3}
    fixed = datasets.canonical_training_set(PARITY.target, 8, **choice)
    (first, again), x = flips(fixed, steps=(0, 5))
    np.testing.assert_array_equal(first, again)
    assert 5 < first.sum() < 40
    np.testing.assert_array_equal(flips(fixed, bit=7)[0][0], first)
    assert (flips(fixed, key=jax.random.key(4))[0][0] != first).any()
    shuffled = datasets.canonical_training_set(PARITY.target, 8, order="shuffled", **choice)
    found, other = flips(shuffled, steps=(3,))
    rows = np.c_[x[0], first], np.c_[other[0], found[0]]
    assert sorted(map(tuple, rows[0])) == sorted(map(tuple, rows[1]))
    # The rows are those without noise.
    np.testing.assert_array_equal(
        flips(datasets.canonical_training_set(PARITY.target, 8, samples=64))[1][0], x[0]
    )


def test_noise_of_fresh_rows_and_of_whole_sets():
    fresh = {"source": "fresh", "samples": 64, "label_noise": 0.3}
    first, second = flips(datasets.canonical_training_set(PARITY.target, 8, **fresh), steps=(0, 1))[
        0
    ]
    assert (first != second).any()
    seen = tasks.make_seen_set("where", 8, condition="x0 = 1 or x1 = 1")
    whole = datasets.seen_training_set(
        PARITY.target, seen, mask=seen.mask(), batch_size=192, label_noise=0.3
    )
    batches = [whole.batch(KEY, step) for step in (0, 1)]
    noisy = [
        set(np.asarray(binary_number(own["x"]))[np.asarray(own["y"] != PARITY.target(own["x"]))])
        for own in batches
    ]
    assert noisy[0] == noisy[1] and 30 < len(noisy[0]) < 85


def test_noise_comes_after_the_labels_of_another_target():
    training = datasets.canonical_training_set(PARITY.target, 8, samples=64, label_noise=0.3)
    other = tasks.make("parity", n=8, coordinates=(7,)).target
    own = training.batch(KEY, 0, 2)
    given = training.batch(KEY, 0, 2, other)
    np.testing.assert_array_equal(
        own["y"] * PARITY.target(own["x"]), given["y"] * other(given["x"])
    )


@pytest.mark.parametrize(
    ("task", "probability", "message"),
    [
        ("quadratic_chain", 0.1, "given 0.1; allowed 0 for labels other than -1 and [+]1, as a la"),
        ("parity", 1.5, "given 1.5; allowed a number from 0 to 1"),
        ("parity", -0.1, "given -0.1; allowed a number from 0 to 1"),
    ],
)
def test_noise_that_makes_no_sense_is_refused(task, probability, message):
    target = tasks.make(task, n=11).target
    with pytest.raises(ValueError, match=f"^label_noise: {message}"):
        datasets.canonical_training_set(target, 11, label_noise=probability)
    assert label_noise.other_label(np.array([1.0, -1.0]), 11) is None
    assert label_noise.other_label(np.array([1.0, 0.5]), 11) == 0.5


SETS = [
    ("everything", {}),
    ("where", {"condition": "x0 = 1 or x1*x2 = -1"}),
    ("where", {"condition": "x0 = 1 and x1*x2 = -1 and (x3 = 1 or x4 = 1)"}),
    ("parity", {"coordinates": (3, 0, 4), "value": -1}),
    ("subcube", {"coordinates": (4, 1), "values": (1, -1)}),
    ("hamming_ball", {"radius": 2}),
    ("random", {"fraction": 0.3, "seed": 1}),
]


@pytest.mark.parametrize("bias", [0.8, 0.25])
@pytest.mark.parametrize(("name", "params"), slow_but(SETS[2::2], SETS), ids=str)
def test_biased_rows_have_the_conditional_distribution_of_independent_bits(name, params, bias):
    """Chi-square over the seen points that are expected five times or more; 5 sigma."""
    seen = tasks.make_seen_set(name, 5, **params)
    target = tasks.make("parity", n=5).target
    training = datasets.seen_training_set(
        target, seen, source="sampled", samples=8000, batch_size=8000, order="fixed", bias=bias
    )
    x = training.batch(KEY, 0)["x"]
    found = np.bincount(np.asarray(binary_number(x)), minlength=32)
    points = np.array(list(itertools.product([-1, 1], repeat=5)))
    chance = np.where(points > 0, bias, 1 - bias).prod(axis=1) * seen.mask()
    expected = 8000 * chance / chance.sum()
    assert not found[~seen.mask()].any()
    often = expected >= 5
    chi_square = np.sum((found[often] - expected[often]) ** 2 / expected[often])
    freedom = often.sum()
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom) + 1


@pytest.mark.parametrize(("n", "source"), [(11, "sampled"), (11, "fresh"), (37, "sampled")])
def test_bits_of_the_canonical_holdout_are_biased_but_for_the_frozen_one(n, source):
    target = tasks.make("parity", n=n, degree=2).target
    choice = {"source": source, "samples": 4000, "batch_size": 4000, "value": -1, "bias": 0.9}
    x = np.asarray(datasets.canonical_training_set(target, n, **choice).batch(KEY, 0, 3)["x"])
    assert (x[:, 3] == -1).all()
    shares = np.delete((x > 0).mean(axis=0), 3)
    np.testing.assert_allclose(shares, 0.9, atol=5 * np.sqrt(0.9 * 0.1 / 4000))
    pairs = np.corrcoef(np.delete(x, 3, axis=1).T)[np.triu_indices(n - 1, 1)]
    assert np.abs(pairs).max() < 6 / np.sqrt(4000)


def test_many_coordinates_are_drawn_by_row():
    """At n = 37 rows depend on the key and their number alone, as at n = 11."""
    target = tasks.make("pvr", pointer_bits=5).target
    short, long = (
        datasets.canonical_training_set(target, 37, samples=m, batch_size=m) for m in (50, 80)
    )
    one, other = (training.batch(KEY, 0, 30) for training in (short, long))
    np.testing.assert_array_equal(one["x"], other["x"][:50])
    assert (np.asarray(one["x"])[:, 30] == 1).all()
    assert abs(np.asarray(other["x"]).mean() - 1 / 37) < 5 / np.sqrt(80 * 37)
    np.testing.assert_array_equal(one["y"], target(one["x"]))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"bias": 0.9, "source": "whole", "samples": None}, "given 0.9; allowed 0.5 with source w"),
        ({"bias": 1.0}, "given 1.0; allowed a number above 0 and below 1"),
        ({"bias": 0}, "given 0; allowed a number above 0 and below 1"),
    ],
)
def test_a_bias_that_makes_no_sense_is_refused(choice, message):
    with pytest.raises(ValueError, match=f"^bias: {message}"):
        datasets.canonical_training_set(PARITY.target, 8, **choice)


@pytest.mark.parametrize(
    ("text", "is_by_level"),
    [
        ("x0*x1*x2 = 1", True),
        ("x0 + x1 + x2 > 1", True),
        ("2*x0*x1 + 2*x1*x2 + 2*x0*x2 - 3 > x0*x1*x2", True),
        ("(x0 + x1 + x2)**2 = 1", True),
        ("x0 + x1 + x2 > 1 or x0*x1*x2 = 1", True),
        ("not x2*(x0 + x1 + x0*x1*x2*x0*x1) / 4 < 1", False),
        ("x0 + x1 + 2*x2 > 1", False),
        ("x0*x1 + x1*x2 > 1", False),
        ("x0 + x1 > 1 or x0*x2 = 1", False),
    ],
)
def test_conditions_that_depend_on_the_level_alone_are_known(text, is_by_level):
    (part,) = condition.parse(text)
    assert part.by_level == is_by_level
    x = np.array(list(itertools.product([-1, 1], repeat=3)))
    holds = np.asarray(part.holds(jnp.asarray(x, jnp.float32)))
    levels = [holds[x.sum(axis=1) == total] for total in (-3, -1, 1, 3)]
    if is_by_level:
        assert all(own.all() or not own.any() for own in levels)


@pytest.mark.parametrize(("name", "params"), SETS, ids=str)
def test_shares_and_complements_are_those_of_the_mask(name, params):
    seen = tasks.make_seen_set(name, 5, **params)
    mask = seen.mask()
    assert seen.share == pytest.approx(mask.mean(), abs=1e-12)
    if mask.all():
        with pytest.raises(ValueError, match="holds for some input"):
            _ = seen.complement.sample
        return
    np.testing.assert_array_equal(seen.complement.mask(), ~mask)


LEVELS = "*".join(f"x{i}" for i in range(25))
SUM = " + ".join(f"x{i}" for i in range(25, 50))


@pytest.mark.slow
def test_parts_of_many_coordinates_are_drawn_by_their_levels():
    """A parity of 25, a ball of 25 and a frozen bit at once: one input in 1,000."""
    text = f"{LEVELS} = -1 and {SUM} >= 13 and x55 = 1"
    seen = tasks.make_seen_set("where", 60, condition=text)
    sizes = seen_draws.level_sizes(25)
    of_ball = np.array(sizes[:7]) / sum(sizes)  # 25 - 2 k >= 13
    assert seen.share == pytest.approx(of_ball.sum() / 4, rel=1e-12)
    x = np.asarray(jax.jit(jax.vmap(seen.sample))(jax.random.split(KEY, 3000)))
    assert (x[:, :25].prod(axis=1) == -1).all() and (x[:, 55] == 1).all()
    minus = (x[:, 25:50] < 0).sum(axis=1)
    expected = 3000 * of_ball / of_ball.sum()
    found = np.bincount(minus, minlength=7)
    assert len(found) == 7
    often = expected > 5
    chi_square = np.sum((found[often] - expected[often]) ** 2 / expected[often])
    assert abs(chi_square - often.sum()) < 5 * np.sqrt(2 * often.sum())
    assert np.abs(x[:, 56:].mean(axis=0)).max() < 5 / np.sqrt(3000)
    complement = np.asarray(jax.jit(jax.vmap(seen.complement.sample))(jax.random.split(KEY, 200)))
    assert not np.asarray(seen.predicate(jnp.asarray(complement))).any()
