"""Classes of Boolean functions: counts from Burnside's lemma and published tables, and orbits."""

import itertools
import math

import numpy as np
import pytest

from pvr_jax.boolean import classes
from pvr_jax.refusal import Refusal


def cycles(points):
    """Return the lengths of the cycles of a permutation."""
    left, found = set(range(len(points))), []
    while left:
        first = place = left.pop()
        length = 1
        while (place := points[place]) != first:
            left.remove(place)
            length += 1
        found.append(length)
    return found


def transformed(n, order, flip):
    """Return where each point, a tuple of bits, goes: written out, coordinate by coordinate."""
    points = list(itertools.product((0, 1), repeat=n))
    moved = [tuple(p[i] ^ f for i, f in zip(order, flip, strict=True)) for p in points]
    return [points.index(p) for p in moved]


def burnside(n, negations, halves=1):
    """Count tuples of `halves` functions up to symmetry: the mean number of fixed ones."""
    flips = itertools.product((0, 1), repeat=n) if negations == "each" else [(0,) * n]
    total = 0
    for order, flip in itertools.product(list(itertools.permutations(range(n))), list(flips)):
        own = cycles(transformed(n, order, flip))
        kept = 2 ** len(own)
        # f(t x) = -f(x) needs cycles of even length, and has as many solutions as cycles.
        negated = kept if all(length % 2 == 0 for length in own) else 0
        total += kept**halves + negated**halves
    size = 2 * math.factorial(n) * (2**n if negations == "each" else 1)
    assert total % size == 0
    return total // size


# NPN classes: Harrison 1965, OEIS A000370; without negations half of A003180, as the value at 0,
# a fixed point, tells a function from its negative.
@pytest.mark.parametrize(
    ("n", "negations", "count"),
    [
        *((n, "each", count) for n, count in enumerate((2, 4, 14, 222), 1)),
        *((n, "none", count) for n, count in enumerate((2, 6, 40, 1992), 1)),
    ],
)
def test_there_are_as_many_classes_as_counted_otherwise(n, negations, count):
    found = classes.classes(n, negations)
    assert len(found.representatives) == len(found.sizes) == count == burnside(n, negations)
    assert found.sizes.sum() == 2 ** (2**n)
    assert np.array_equal(np.bincount(found.of), found.sizes)
    assert np.array_equal(found.of[found.representatives], np.arange(count))


@pytest.mark.parametrize("negations", classes.NEGATIONS)
def test_a_class_is_an_orbit(negations):
    n, found = 3, classes.classes(3, negations)
    flips = list(itertools.product((0, 1), repeat=n)) if negations == "each" else [(0,) * n]
    maps = [
        transformed(n, order, flip) for order in itertools.permutations(range(n)) for flip in flips
    ]
    for number in range(0, 256, 7):
        values = classes.values_of(number, n)
        orbit = {int(classes.number_of(sign * values[own])) for own in maps for sign in (1, -1)}
        assert orbit == set(np.flatnonzero(found.of == found.of[number]))
        assert min(orbit) == found.representatives[found.of[number]]
        assert orbit <= {*classes.images([number, 255 - number], n, negations).ravel()}


def test_values_and_numbers_are_inverse():
    numbers = np.arange(0, 65536, 311)
    values = classes.values_of(numbers, 4)
    assert np.array_equal(classes.number_of(values), numbers) and set(values.ravel()) == {-1, 1}
    # Bit p is the value at the point of index p: x0 is +1 in the second half.
    assert classes.values_of(0b11110000, 3).tolist() == [-1] * 4 + [1] * 4


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_function_is_made_of_its_representative(n):
    found = classes.classes(n)
    for number in np.random.default_rng(n).integers(0, 2 ** (2**n), 12):
        representative, order, sign = classes.to_representative(int(number), n)
        assert representative == found.representatives[found.of[number]]
        made = sign * classes.values_of(representative, n)[order]
        assert classes.number_of(made) == number


@pytest.mark.parametrize("n", [1, 2, 3])
def test_pairs_are_all_functions_of_one_bit_more_with_it_frozen(n):
    seen, unseen, counts = classes.pairs(n)
    assert len(seen) == burnside(n, "each", halves=2) and counts.sum() == 2 ** (2 ** (n + 1))
    assert set(seen) == set(classes.classes(n).representatives)
    # The smallest unseen half of its orbit under what keeps the seen half, written out.
    kept = [
        (own, sign)
        for order in itertools.permutations(range(n))
        for own in (transformed(n, order, f) for f in itertools.product((0, 1), repeat=n))
        for sign in (1, -1)
    ]
    for half, other in list(zip(seen, unseen, strict=True))[:: 1 + len(seen) // 20]:
        values, others = classes.values_of(half, n), classes.values_of(other, n)
        orbit = {
            int(classes.number_of(sign * others[own]))
            for own, sign in kept
            if np.array_equal(sign * values[own], values)
        }
        assert other == min(orbit)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: classes.classes(5), "n: given 5; allowed 1 to 4"),
        (lambda: classes.classes(3, "all"), "negations: given 'all'; allowed each, none"),
        (lambda: classes.pairs(4), "n: given 4; allowed 1 to 3"),
    ],
)
def test_what_there_is_not_is_refused(call, complaint):
    with pytest.raises(Refusal, match=complaint):
        call()
