"""The registry of seen sets and their training sets, against membership checked point by point."""

import itertools
import math
import operator
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax import tasks
from pvr_jax.tasks import datasets, holdouts, seen_sets
from pvr_jax.tasks.pvr import binary_number

N = 5
POINTS = list(itertools.product([-1, 1], repeat=N))
CASES = {
    "everything": ({}, lambda x: True),
    "where": (
        {"condition": "x0 = 1 or not (x1*x2 = -1 and x3 + x4 > 0)"},
        lambda x: x[0] == 1 or not (x[1] * x[2] == -1 and x[3] + x[4] > 0),
    ),
    "parity": (
        {"coordinates": (0, 3, 4), "value": -1},
        lambda x: math.prod((x[0], x[3], x[4])) == -1,
    ),
    "subcube": (
        {"coordinates": (1, 3), "values": (1, -1)},
        lambda x: x[1] == 1 and x[3] == -1,
    ),
    "hamming_ball": ({"radius": 2}, lambda x: x.count(-1) <= 2),
}


def test_every_kind_is_tested():
    assert set(CASES) | {"random"} == set(seen_sets.names())


@pytest.mark.parametrize("name", CASES)
def test_masks_and_predicates(name):
    params, member = CASES[name]
    seen = tasks.make_seen_set(name, N, **params)
    expected = np.array([member(point) for point in POINTS])
    np.testing.assert_array_equal(seen.mask(), expected)
    # One point, and a batch of batches.
    x = jnp.asarray(POINTS, jnp.float32)
    assert [bool(seen.predicate(point)) for point in x] == expected.tolist()
    np.testing.assert_array_equal(seen.predicate(x.reshape(4, 8, N)), expected.reshape(4, 8))
    again = tasks.make_seen_set(name, N, **seen.params)
    np.testing.assert_array_equal(again.mask(), expected)
    assert seen.description


@pytest.mark.parametrize("name", CASES)
def test_inputs_that_cannot_be_minus_one_are_refused(name):
    seen = tasks.make_seen_set(name, N, **CASES[name][0])
    for dtype in (bool, np.uint8):
        x = np.ones((2, N), dtype)
        with pytest.raises(ValueError, match=r"^x: given .*\[2, 5\]; allowed -1 and \+1, for bits"):
            seen.predicate(x)
        with pytest.raises(ValueError, match=r"^x: given .*\[2, 5\]; allowed -1 and \+1, for bits"):
            holdouts.freeze(x, 0, -1)


def test_random_sets_have_their_size_and_follow_their_seed():
    first, second = (tasks.make_seen_set("random", 8, fraction=0.3, seed=s) for s in (0, 1))
    assert first.mask().sum() == second.mask().sum() == round(0.3 * 256)
    assert (first.mask() != second.mask()).any()


@pytest.mark.parametrize(
    ("condition", "member"),
    [
        ("x0=1", lambda x: x[0] == 1),
        ("x0 == 1", lambda x: x[0] == 1),
        ("x0 != x1", lambda x: x[0] != x[1]),
        ("-2 <= x0 + x1 + x2 < 2", lambda x: -2 <= x[0] + x[1] + x[2] < 2),
        ("x0 = 1 and x1 = 1 or x2 = 1", lambda x: (x[0] == 1 and x[1] == 1) or x[2] == 1),
        ("(x0 >= x1)", lambda x: x[0] >= x[1]),
        ("1 = 1", lambda x: True),
    ],
)
def test_conditions(condition, member):
    mask = tasks.make_seen_set("where", N, condition=condition).mask()
    np.testing.assert_array_equal(mask, [member(point) for point in POINTS])


def exactly(operator_name, coefficients, threshold):
    """Which of the points fulfil sum a_i x_i <operator> threshold, in fractions."""
    sums = [sum(a * x for a, x in zip(coefficients, point, strict=True)) for point in POINTS]
    return [getattr(operator, operator_name)(value, threshold) for value in sums]


@pytest.mark.parametrize("digits", slow_but([17], [1, 4, 17, 60]))
@pytest.mark.parametrize(
    ("sign", "operator_name"), [("=", "eq"), ("!=", "ne"), ("<", "lt"), (">=", "ge")]
)
def test_conditions_with_decimals_are_exact(digits, sign, operator_name):
    rng = random.Random(f"{digits} {sign}")
    unit = 10**digits
    whole = [rng.choice((-1, 1)) * rng.randint(1, 10 * unit) for _ in range(N)]
    # At one point the two sides are equal.
    point = rng.choice(POINTS)
    threshold = sum(a * x for a, x in zip(whole, point, strict=True))

    def text(number):
        digits_text = f"{abs(number):0{digits + 1}d}"
        return "-" * (number < 0) + f"{digits_text[:-digits]}.{digits_text[-digits:]}"

    condition = " + ".join(f"{text(a)}*x{i}" for i, a in enumerate(whole))
    condition += f" {sign} {text(threshold)}"
    seen = tasks.make_seen_set("where", N, condition=condition)
    expected = exactly(operator_name, whole, threshold)
    x = jnp.asarray(POINTS, jnp.float32)
    assert jax.jit(seen.predicate)(x).tolist() == expected
    assert seen.mask().tolist() == expected


def test_tenths_that_add_up_to_a_tenth():
    tenths = " + ".join(f"0.1*x{i}" for i in range(9))
    mask = tasks.make_seen_set("where", 9, condition=f"{tenths} = 0.1").mask()
    assert mask.sum() == math.comb(9, 5)
    sums = np.array([sum(point) for point in itertools.product([-1, 1], repeat=9)])
    np.testing.assert_array_equal(mask, sums == 1)
    above = tasks.make_seen_set("where", 9, condition=f"{tenths} > 0.1").mask()
    np.testing.assert_array_equal(above, sums > 1)


@pytest.mark.parametrize(
    ("condition", "member"),
    [
        # A third is no finite decimal.
        ("x0/3 + x1/3 + x2/3 = 1/3", lambda x: x[0] + x[1] + x[2] == 1),
        ("(0.1*x0 + 0.2*x1)**2 = 0.09", lambda x: x[0] == x[1]),
        ("(x0 + 1/3)**3 - x1/7 < 8/27 - 1/7", lambda x: x[0] == -1),
        # Powers whose fractions have 250 bits, apart by one in the last.
        pytest.param(
            "(x0/7 + x1)**64 >= (8/7)**64", lambda x: x[0] == x[1], marks=pytest.mark.slow
        ),
        ("(x0/65521)**0 = 1", lambda x: True),
        ("x0/65521 - x1/65519 = 2/4292870399", lambda x: x[0] == x[1] == -1),
        pytest.param(
            "1e30*x0 + 1e-30*x1 > 1e30", lambda x: x[0] == x[1] == 1, marks=pytest.mark.slow
        ),
        pytest.param(
            "1e30*x0 + 1e-30*x1 = 1e30 - 1e-30",
            lambda x: x[0] == 1 and x[1] == -1,
            marks=pytest.mark.slow,
        ),
        ("0.1 + 0.2 = 0.3", lambda x: True),
        ("not 0.3*x0 <= 0.1*x1 + 0.1*x2 + 0.1*x3", lambda x: 3 * x[0] > x[1] + x[2] + x[3]),
    ],
)
def test_conditions_are_exact_in_fractions(condition, member):
    seen = tasks.make_seen_set("where", N, condition=condition)
    expected = [member(point) for point in POINTS]
    x = jnp.asarray(POINTS, jnp.float32)
    assert jax.jit(seen.predicate)(x).tolist() == expected
    assert [bool(seen.predicate(point)) for point in x] == expected


def test_a_comment_in_a_condition_ends_with_its_line():
    seen = tasks.make_seen_set("where", N, condition="x0 = 1  # either\n or x1 = 1 # = -1\n")
    assert seen.mask().tolist() == [point[0] == 1 or point[1] == 1 for point in POINTS]
    assert seen.description == seen.params["condition"] == "x0 = 1 or x1 = 1"


def test_a_predicate_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "my_holdouts.py").write_text(
        "import jax.numpy as jnp\n\n\n"
        "def longest_run(x):\n    return jnp.all(x[..., :3] == 1, axis=-1)\n\n\n"
        "def real(x):\n    return x[..., 0]\n"
    )
    monkeypatch.chdir(tmp_path)
    seen = tasks.make_seen_set("my_holdouts:longest_run", N)
    np.testing.assert_array_equal(seen.mask(), [point[:3] == (1, 1, 1) for point in POINTS])
    with pytest.raises(ValueError, match=r"returns bool y.*float32\[\] for x"):
        tasks.make_seen_set("my_holdouts:real", N)
    with pytest.raises(ValueError, match="no parameters of my_holdouts:longest_run"):
        tasks.make_seen_set("my_holdouts:longest_run", N, radius=1)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("wher", {}, r"^name: given 'wher'; allowed everything, .* \(did you mean 'where'\?\)"),
        ("where", {}, "^condition: given None; allowed comparisons"),
        ("where", {"condition": "x0 = 1 or"}, "^condition: given 'x0 = 1 or'; allowed comp"),
        ("where", {"condition": "x0"}, "^condition: given 'x0'; allowed comparisons"),
        ("where", {"condition": "x0 is 1"}, "^condition: given 'x0 is 1'"),
        ("where", {"condition": "y = 1"}, "^condition: given 'y'; allowed numbers, coordin"),
        ("where", {"condition": "print() = 1"}, "^condition: given"),
        ("where", {"condition": "0x1 = 1"}, "^condition: given '0x1'; allowed numbers in decimal"),
        ("where", {"condition": "x0*1_0 > 1"}, "^condition: given '1_0'; allowed numbers in decim"),
        (
            "where",
            {"condition": "x0/(0.1+0.2-0.3) > 1"},
            "^condition: given .* division by 0; allo",
        ),
        ("where", {"condition": "((x0/3+.1)**64)**64 > 0"}, "^condition: given .* than 1000 bits"),
        ("where", {"condition": "x5 = 1"}, "^condition: given 'x5 = 1'; allowed coordinates x0"),
        ("where", {"radius": 1}, "^radius: given 1; allowed parameters of where are condition"),
        ("everything", {"radius": 1}, "allowed parameters of everything are none"),
        ("parity", {}, r"^coordinates: given \(\); allowed one or more"),
        ("parity", {"coordinates": (0, 0)}, "^coordinates: given"),
        ("parity", {"coordinates": (0, 5)}, "^coordinates: given 5; allowed 0 to 4"),
        ("subcube", {"coordinates": (0,), "values": ()}, "allowed 1 values"),
        ("subcube", {"coordinates": (0,), "values": (0,)}, "^values: given 0; allowed -1, 1"),
        ("hamming_ball", {}, "^radius: given None; allowed 0 to 5"),
        ("random", {"fraction": 2}, "^fraction: given 2"),
    ],
)
def test_bad_input_says_what_is_allowed(name, params, message):
    with pytest.raises(ValueError, match=message) as caught:
        tasks.make_seen_set(name, N, **params)
    assert "\n" not in str(caught.value)


def test_sets_that_show_nothing_are_refused():
    with pytest.raises(ValueError, match=r"^condition: given 'x0 = 2'; allowed one that holds"):
        tasks.make_seen_set("where", N, condition="x0 = 2").mask()


def training_set(n=N, **choice):
    task = tasks.make("polynomial", n=n, expression="x0*x1 + x2")
    seen = tasks.make_seen_set("where", n, condition="x0 = 1 or x1 = 1")
    mask = seen.mask() if n <= 20 else None
    return (
        task,
        seen,
        datasets.seen_training_set(task.target, seen, mask=mask, **choice),
    )


def epoch(training, number=0, key=0):
    steps = number * training.steps_per_epoch + jnp.arange(training.steps_per_epoch)
    batches = jax.vmap(training.batch, in_axes=(None, 0))(jax.random.key(key), steps)
    kept = np.asarray(batches["weight"]) > 0
    return {name: np.asarray(batches[name])[kept] for name in ("x", "y")}


@pytest.mark.parametrize("order", slow_but(["fixed"], ["fixed", "shuffled"]))
def test_the_whole_seen_set_is_shown_once_an_epoch(order):
    task, seen, training = training_set(batch_size=7, order=order)
    assert training.samples == 24 and training.steps_per_epoch == 4
    shown = [epoch(training, number) for number in range(2)]
    for one in shown:
        np.testing.assert_array_equal(
            sorted(np.asarray(binary_number(one["x"]))), np.flatnonzero(seen.mask())
        )
        np.testing.assert_array_equal(one["y"], task.target(jnp.asarray(one["x"])))
    assert np.array_equal(shown[0]["x"], shown[1]["x"]) == (order == "fixed")


@pytest.mark.slow
@pytest.mark.parametrize("n", [N, 40])
@pytest.mark.parametrize("source", ["sampled", "fresh"])
def test_drawn_rows_are_seen_and_uniform(source, n):
    order = "fixed" if source == "fresh" else "shuffled"
    task, seen, training = training_set(n, source=source, samples=3000, batch_size=100, order=order)
    one, other = epoch(training), epoch(training, 1)
    assert one["x"].shape == (3000, n)
    assert np.asarray(seen.predicate(jnp.asarray(one["x"]))).all()
    np.testing.assert_array_equal(one["y"], task.target(jnp.asarray(one["x"])))
    # Three kinds of (x0, x1) are seen, each a third: a standard error of .0086.
    for values in ((1, 1), (1, -1), (-1, 1)):
        share = (one["x"][:, :2] == values).all(axis=1).mean()
        assert share == pytest.approx(1 / 3, abs=0.04)
    assert np.abs(one["x"][:, 2:].mean(axis=0)).max() < 0.1
    same = np.array_equal(np.sort(one["x"] @ np.arange(n)), np.sort(other["x"] @ np.arange(n)))
    assert same == (source == "sampled")


@pytest.mark.parametrize("source", ["sampled", "fresh"])
@pytest.mark.parametrize(
    ("name", "n"),
    [
        pytest.param(name, n, marks=() if (name, n) == ("parity", N) else pytest.mark.slow)
        for name in (*CASES, "product")
        for n in (N, 40)
    ],
)
def test_rows_are_the_same_in_both_types_of_training(name, n, source):
    params = CASES[name][0] if name in CASES else {"condition": "x0 = 1 and x1*x2 = -1"}
    if (name, n) == ("hamming_ball", 40):
        params = {"radius": 20}
    task = tasks.make("polynomial", n=n, expression="x0*x1 + x2")

    def rows():
        seen = tasks.make_seen_set(name if name in CASES else "where", n, **params)
        order = "fixed" if source == "fresh" else "shuffled"
        choice = {"source": source, "samples": 40, "batch_size": 16, "order": order}
        batch = jax.jit(datasets.seen_training_set(task.target, seen, **choice).batch)
        return [batch(jax.random.key(4), jnp.int32(step)) for step in (0, 2, 5)]

    single = rows()
    with jax.enable_x64(True):
        double = rows()
    jax.tree.map(np.testing.assert_array_equal, single, double)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"samples": 3}, "^samples: given 3; allowed None with source whole"),
        ({"n": 40}, "^source: given 'whole'; allowed sampled, fresh"),
        ({"source": "sampled"}, "^samples: given None"),
        ({"source": "fresh", "samples": 8}, "^order: given 'shuffled'; allowed fixed"),
        ({"source": "new"}, "^source: given 'new'"),
        ({"batch_size": 0}, "^batch_size: given 0"),
    ],
)
def test_bad_training_sets_say_what_is_allowed(choice, message):
    with pytest.raises(ValueError, match=message):
        training_set(**choice)
