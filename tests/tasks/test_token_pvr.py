"""Token PVR and its holdouts against plain Python, and the exact facts about them."""

import itertools
import math
from collections import Counter
from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax.tasks import conditional_pvr, token_holdouts, token_pvr

PLAIN = {
    "mod_sum": lambda window: sum(window) % 10,
    "min": min,
    "max": max,
    # The lower of the two in the middle, as torch.median.
    "median": lambda window: sorted(window)[(len(window) - 1) // 2],
    # The most frequent; of several the smallest, as torch.mode.
    "majority_vote": lambda window: min(window, key=lambda d: (-Counter(window)[d], d)),
}


def plain_window(tokens, complexity):
    """The definition, one value after the other."""
    pointer, values = tokens[0], tokens[1:]
    return [values[(pointer + j) % 10] for j in range(complexity + 1)]


def inputs(count, complexity, boundary, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.vmap(lambda key: token_pvr.draw(key, complexity, boundary))(keys)


@pytest.mark.parametrize("boundary", token_pvr.BOUNDARIES)
@pytest.mark.parametrize("complexity", slow_but([2], [0, 1, 2, 5, 9]))
def test_labels_are_those_of_a_plain_loop(complexity, boundary):
    tokens = inputs(300, complexity, boundary)
    for number, name in enumerate(token_pvr.AGGREGATIONS):
        found = token_pvr.label(tokens, number, complexity)
        expected = [PLAIN[name](plain_window(row, complexity)) for row in tokens.tolist()]
        assert found.dtype == jnp.int32
        assert found.tolist() == expected, name


@pytest.mark.parametrize("complexity", slow_but([3], [0, 3, 9]))
def test_bounded_pointers_never_wrap_and_cyclic_ones_take_every_value(complexity):
    bounded = np.asarray(inputs(2000, complexity, "bounded"))[:, 0]
    assert set(bounded.tolist()) == set(range(10 - complexity))
    assert (bounded + complexity <= 9).all()
    cyclic = np.asarray(inputs(2000, complexity, "cyclic"))[:, 0]
    assert set(cyclic.tolist()) == set(range(10))


@pytest.mark.slow
def test_values_are_uniform_digits_at_every_place():
    values = np.asarray(inputs(20_000, 4, "bounded"))[:, 1:]
    shares = np.stack([(values == digit).mean(axis=0) for digit in range(10)])
    # Five standard errors of a share of 1/10.
    assert np.abs(shares - 0.1).max() < 5 * math.sqrt(0.09 / 20_000)


@pytest.mark.slow
def test_complexity_and_aggregation_may_be_traced():
    tokens = inputs(20, 2, "bounded")
    traced = jax.jit(jax.vmap(token_pvr.label, in_axes=(None, 0, 0)))
    numbers, complexities = jnp.array([0, 3, 4]), jnp.array([1, 2, 0])
    for row, number, complexity in zip(
        traced(tokens, numbers, complexities), numbers, complexities, strict=True
    ):
        assert row.tolist() == token_pvr.label(tokens, int(number), int(complexity)).tolist()


@pytest.mark.parametrize("complexity", [0, 1, 3, 6, 9])
def test_permutations_are_in_lexicographic_order(complexity):
    size = complexity + 1
    numbers = range(min(math.factorial(size), 40))
    listed = itertools.islice(itertools.permutations(range(size)), 40)
    for number, expected in zip(numbers, listed, strict=True):
        found = token_holdouts.permutation(number, complexity)
        assert tuple(found[:size].tolist()) == expected and not found[size:].any()
        assert int(token_holdouts.rank(found, complexity)) == number
    last = token_holdouts.permutation(math.factorial(size) - 1, complexity)
    assert last[:size].tolist() == list(range(complexity, -1, -1))


@pytest.mark.parametrize(
    "complexity, withheld", slow_but([(1, 2), (2, 4)], [(0, 1), (1, 1), (1, 2), (2, 4), (2, 6)])
)
def test_withheld_windows_are_those_of_a_plain_list_and_their_share_is_exact(complexity, withheld):
    # Every window there is, in an input whose pointer is at the last place where it fits.
    windows = list(itertools.product(range(10), repeat=complexity + 1))
    tokens = np.full((len(windows), 11), 7)
    tokens[:, 0] = 9 - complexity
    tokens[:, 10 - complexity :] = windows
    found = token_holdouts.is_withheld(jnp.asarray(tokens), withheld, complexity)
    first = list(itertools.islice(itertools.permutations(range(complexity + 1)), withheld))
    assert [window for window, is_in in zip(windows, found, strict=True) if is_in] == sorted(first)
    share = Fraction(int(found.sum()), len(windows))
    assert token_holdouts.share_removed(withheld, complexity) == float(share)


def test_holdout_1_with_complexity_1_removes_one_percent():
    assert token_holdouts.share_removed(1, 1) == 0.01  # the window (0, 1), of 100


@pytest.mark.parametrize("boundary", token_pvr.BOUNDARIES)
@pytest.mark.parametrize("complexity, withheld", [(0, 1), (1, 1), (1, 2), (2, 3), (2, 6), (4, 120)])
def test_no_training_window_is_withheld_and_repair_moves_values_alone(
    complexity, withheld, boundary
):
    tokens = inputs(20_000, complexity, boundary)
    repaired = token_holdouts.repair(tokens, withheld, complexity)
    first = set(itertools.islice(itertools.permutations(range(complexity + 1)), withheld))
    moved = 0
    rows = zip(tokens.tolist(), repaired.tolist(), strict=True)
    for before, after in rows:
        was_withheld = tuple(plain_window(before, complexity)) in first
        expected = [before[0], *[(v + 1) % 10 for v in before[1:]]] if was_withheld else before
        assert after == expected
        assert tuple(plain_window(after, complexity)) not in first
        moved += was_withheld
    share = token_holdouts.share_removed(withheld, complexity)
    assert abs(moved / 20_000 - share) < 5 * math.sqrt(share / 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("boundary", token_pvr.BOUNDARIES)
@pytest.mark.parametrize("complexity, withheld", [(1, 1), (2, 4), (3, 24)])
def test_the_adversarial_set_holds_every_withheld_window_and_no_other(
    complexity, withheld, boundary
):
    draw = partial(
        token_holdouts.withheld_input, withheld=withheld, complexity=complexity, boundary=boundary
    )
    tokens = jax.vmap(draw)(jax.random.split(jax.random.key(1), 4000))
    windows = Counter(tuple(plain_window(row, complexity)) for row in tokens.tolist())
    first = set(itertools.islice(itertools.permutations(range(complexity + 1)), withheld))
    assert set(windows) == first
    expected = 4000 / withheld
    assert all(abs(n - expected) < 5 * math.sqrt(expected) for n in windows.values())
    # What is overwritten is the window alone: pointer and other values stay uniform.
    pointers = np.asarray(tokens[:, 0])
    assert set(pointers.tolist()) == set(range(token_pvr.pointers(complexity, boundary)))
    # All withheld windows have one sum, so one label under mod_sum.
    labels = set(token_pvr.label(tokens, 0, complexity).tolist())
    assert labels == {complexity * (complexity + 1) // 2 % 10}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: token_holdouts.check_withheld(3, 1), "withheld: given 3; allowed 0 to 2 with"),
        (lambda: token_holdouts.check_withheld(1, 9), "withheld: given 1; allowed 0 to 0"),
        (lambda: token_pvr.aggregation_number("mean"), "aggregation: given 'mean'; allowed mod_su"),
        (lambda: token_pvr.pointers(1, "open"), "boundary: given 'open'; allowed bounded, cyclic"),
    ],
)
def test_mistakes_are_named_in_one_line(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_what_is_withheld_is_told_in_words():
    assert token_holdouts.description(0, 1) == ""
    assert token_holdouts.description(1, 1) == "the first permutation of 0, 1"
    assert token_holdouts.description(4, 2) == "the first 4 permutations of 0, 1, 2"
    assert token_holdouts.description(6, 2) == "every permutation of 0, 1, 2"


def test_inputs_that_are_no_digits_are_refused():
    message = "^tokens: given {}; allowed whole numbers, tokens from 0 to {}$"
    good = np.arange(11) % 10
    for token in (10, -1):
        wrong = good.copy()
        wrong[3] = token
        for call in (
            lambda tokens: token_pvr.label(tokens, 0, 2),
            lambda tokens: token_holdouts.is_withheld(tokens, 1, 2),
            lambda tokens: token_holdouts.repair(tokens, 1, 2),
        ):
            call(good)
            with pytest.raises(ValueError, match=message.format(token, 9)):
                call(np.stack([good, wrong]))
    assert conditional_pvr.label(np.array([2, 0, 1])) == 1
    with pytest.raises(ValueError, match=message.format(3, 2)):
        conditional_pvr.label(np.array([1, 3, 0]))
    with pytest.raises(ValueError, match=message.format("float32", 2)):
        conditional_pvr.label(np.ones(3, np.float32))
