"""Boolean functions of a few bits up to symmetry.

A function f: {-1,+1}^n -> {-1,+1} is named by its number, in which the bit of weight 2^p is 1 where
f is +1 at the point of index p (see `cube`). A symmetry maps f to x -> s f(t x), t a permutation of
the coordinates with negations of some, s a sign.
"""

import itertools
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from pvr_jax.refusal import Refusal

MAX_BITS = 4
Negations = Literal["each", "none"]
NEGATIONS = ("each", "none")


class Classes(NamedTuple):
    """All functions of n bits up to symmetry: C classes, by ascending representative.

    Args:
        representatives: the smallest number of each class, [C].
        sizes: functions in each class, [C].
        of: the class of each function, by its number, [2^2^n].
    """

    representatives: np.ndarray
    sizes: np.ndarray
    of: np.ndarray


def number_of(values: np.ndarray) -> np.ndarray:
    """Return the numbers [...] of functions given by their values [..., 2^n], -1 or +1."""
    weights = np.left_shift(np.int64(1), np.arange(np.shape(values)[-1], dtype=np.int64))
    return (np.asarray(values) > 0) @ weights


def values_of(numbers: np.ndarray, n: int) -> np.ndarray:
    """Return the values, float64 [..., 2^n] of -1 and +1, of functions of n bits by number [...].

    >>> from pvr_jax.boolean import classes
    >>> classes.values_of(0b1001, 2).tolist()  # x0 x1
    [1.0, -1.0, -1.0, 1.0]
    """
    numbers = np.asarray(numbers, np.int64)
    return np.where(numbers[..., None] >> np.arange(2**n) & 1, 1.0, -1.0)


@cache
def point_maps(n: int, negations: Negations = "each") -> np.ndarray:
    """Return every map t of the coordinates as a permutation of points, [G, 2^n].

    The function x -> f(t x) has the values f[maps[g]]. G is n! 2^n, or n! without negations.

    Raises:
        Refusal: n is not from 1 to 4, or other `negations`.
    """
    if n not in range(1, MAX_BITS + 1):
        raise Refusal(f"n: given {n}; allowed 1 to {MAX_BITS}")
    if negations not in NEGATIONS:
        raise Refusal(f"negations: given {negations!r}; allowed {', '.join(NEGATIONS)}")
    points = np.array(list(itertools.product((0, 1), repeat=n)))
    weights = 1 << np.arange(n - 1, -1, -1)
    flips = points if negations == "each" else points[:1]
    orders = itertools.permutations(range(n))
    return np.array([(points[:, order] ^ flip) @ weights for order in orders for flip in flips])


def images(numbers: np.ndarray, n: int, negations: Negations = "each") -> np.ndarray:
    """Return the numbers of x -> f(t x) for every map t of `point_maps`: [...] -> [G, ...]."""
    numbers = np.asarray(numbers, np.int32)
    low, high = _byte_images(n, negations)
    return low[:, numbers & 0xFF] | high[:, numbers >> 8]


@cache
def _byte_images(n: int, negations: Negations) -> np.ndarray:
    """Return where each map moves the low and the high byte of a number, [2, G, 256]."""
    # Bit p of an image is bit map[p] of the number.
    places = np.argsort(point_maps(n, negations), axis=1)
    found = np.zeros((2, len(places), 256), np.int32)
    for place in range(2**n):
        has_bit = np.arange(256) >> place % 8 & 1
        found[place // 8] |= (1 << places[:, place, None]).astype(np.int32) * has_bit
    return found


@cache
def classes(n: int, negations: Negations = "each") -> Classes:
    """Return the functions of n bits up to permutation, negations of inputs and the output's sign.

    Args:
        n: number of bits, 1 to 4.
        negations: "each": every input may be negated (the NPN classes of logic synthesis: 14 of 3
            bits, 222 of 4); "none": no input is (40 of 3 bits, 1,992 of 4).

    Raises:
        Refusal: as `point_maps`.

    >>> from pvr_jax.boolean import classes
    >>> found = classes.classes(2)
    >>> [f"{number:04b}" for number in found.representatives], found.sizes.tolist()
    (['0000', '0001', '0011', '0110'], [2, 8, 4, 2])
    """
    low, high = _byte_images(n, negations)
    numbers = np.arange(2 ** (2**n), dtype=np.int32)
    smallest = numbers
    for place in range(len(low)):  # one by one, as all images of all functions are 100 MB
        image = low[place, numbers & 0xFF] | high[place, numbers >> 8]
        smallest = np.minimum(smallest, image)
    smallest = np.minimum(smallest, smallest[::-1])  # number 2^2^n - 1 - f is that of -f
    found, of, sizes = np.unique(smallest, return_inverse=True, return_counts=True)
    return Classes(found, sizes, of)


def to_representative(number: int, n: int) -> tuple[int, np.ndarray, int]:
    """Return the representative r of a function f, and how f is made of it: f = sign r[order].

    Symmetries with negations of each input. Whatever is equivariant, such as a function learned
    by a network whose weights are drawn symmetrically, is carried from r to f in the same way.

    >>> import numpy as np
    >>> from pvr_jax.boolean import classes
    >>> number, order, sign = classes.to_representative(0b0111, 2)
    >>> representative = classes.values_of(number, 2)
    >>> np.array_equal(classes.values_of(0b0111, 2), sign * representative[order])
    True
    """
    everything = 2 ** (2**n) - 1
    found = images(np.array([number, everything - number]), n)
    place, negated = np.unravel_index(found.argmin(), found.shape)
    # found = (s f)[map], so f = s found[inverse map]
    order = np.argsort(point_maps(n)[place])
    return int(found[place, negated]), order, -1 if negated else 1


def pairs(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all functions of n + 1 bits with a frozen bit, up to symmetry: their two halves.

    A function with its last bit frozen is the pair of its halves on n bits, seen and unseen;
    symmetries of `classes` act on both halves at once.

    Returns:
        The numbers of the seen halves (representatives of their class) and of the unseen halves,
        and how many functions are equivalent to each pair; [P] each.

    Raises:
        Refusal: n is not from 1 to 3.
    """
    if n not in range(1, MAX_BITS):
        raise Refusal(f"n: given {n}; allowed 1 to {MAX_BITS - 1}")
    known, everything = classes(n), 2 ** (2**n) - 1
    unseen = np.arange(everything + 1)
    of_unseen = images(unseen, n)
    found = []
    for half, size in zip(known.representatives, known.sizes, strict=True):
        own = images(half, n)
        kept = [of_unseen[own == half], everything - of_unseen[own == everything - half]]
        smallest = np.concatenate(kept).min(axis=0)
        others, counts = np.unique(smallest, return_counts=True)
        found += [(half, other, size * count) for other, count in zip(others, counts, strict=True)]
    return tuple(np.array(found).T)
