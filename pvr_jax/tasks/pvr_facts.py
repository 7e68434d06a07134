"""Exact facts about pointer value retrieval from its windows, at any number of pointer bits.

With g_j what is aggregated of window W_j, f^(S ∪ T) = 2^-p Σ_{j: T ⊆ W_j} χ_S(j) g_j^(T) for S
among the pointer bits and T among the value bits. An aggregate is symmetric in the bits of its
window, so g_j^(T) depends on the sizes of W_j and T alone, and sums over T are sums over pairs of
windows and sizes t, with C(|W_j ∩ W_j'|, t) sets each.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial

import jax
import numpy as np

from pvr_jax import checks
from pvr_jax.boolean import facts, float64
from pvr_jax.boolean.krawtchouk import distances, integer_krawtchouk, krawtchouk
from pvr_jax.tasks.pvr import aggregate, in_window

LARGEST_WINDOW = 64  # beyond it sums of a window's binomials lose digits
LARGEST_LISTED_WINDOW = 12  # a window has 2^w sets


def levels(window: int, aggregation: str, tie: int) -> np.ndarray:
    """Fourier coefficients of an aggregate, by the size of the window and that of the set.

    [w + 1, w + 2]: of m bits and the sets of t of them; 0 where t > m, and for m = 0.
    """
    # One call of `aggregate`: for each size m, a point for each number h of bits that are -1.
    size, minus, place = np.ogrid[: window + 1, : window + 1, :window]
    bits = np.where(place < minus + 0 * size, np.float32(-1), np.float32(1))
    of_points = jax.jit(partial(aggregate, aggregation=aggregation, tie=tie))
    values = np.asarray(of_points(bits, place < size + 0 * minus))
    found = np.zeros((window + 1, window + 2))
    for m in range(1, window + 1):
        # K_h(t) is the sum of χ_T over the points with h bits -1, for |T| = t.
        sums = np.array([Fraction(float(v)) for v in values[m, : m + 1]]) @ integer_krawtchouk(m)
        found[m, : m + 1] = [float(total / 2**m) for total in sums]
    return found


class WindowFacts(facts.ExactFacts):
    """Exact facts about the task "pvr" with the same parameters."""

    def __init__(
        self, pointer_bits: int, window: int, aggregation: str, boundary: str, tie: int
    ) -> None:
        checks.integer(1, LARGEST_WINDOW, f"1 to {LARGEST_WINDOW} for exact facts").check(
            "window", window
        )
        count = 2**pointer_bits
        self.n, self._pointer_bits, self._window = pointer_bits + count, pointer_bits, window
        self._numbers = np.arange(count)
        of_start = jax.jit(partial(in_window, values=count, window=window, boundary=boundary))
        self._member = np.asarray(of_start(self._numbers.astype(np.int32)))
        self._sizes = self._member.sum(axis=1)
        # Of each window the coefficient of the sets of each size: [2^p, w + 2].
        self._levels = levels(window, aggregation, tie)[self._sizes]
        ways = [[math.comb(m, t) for t in range(window + 2)] for m in range(window + 1)]
        self._ways = np.array(ways, np.float64)
        member = self._member.astype(np.float64)  # for a fast product
        self._overlap = (member @ member.T).astype(int)
        self._distance = distances(self._numbers, self._numbers)
        self.degree_profile = self._by_degree(
            self._levels, self._levels, self._overlap, self._distance, pointer_bits
        )[: self.n + 1]
        self.influences = np.concatenate([self._pointer_influences(), self._value_influences()])

    def _by_degree(
        self,
        left: np.ndarray,
        right: np.ndarray,
        overlap: np.ndarray,
        distance: np.ndarray,
        pointers: int,
    ) -> np.ndarray:
        """Sums by degree d of products of two functions' coefficients, [n + 1].

        4^-p Σ_{t+s=d} Σ_{j,j'} left[j, t] right[j', t] C(overlap[j, j'], t) K_s(distance[j, j']):
        T of size t is among the overlap, S of size s among `pointers` bits.
        """
        sums = np.zeros(self.n + self._window + 2)
        of_distance = krawtchouk(pointers)
        for size in range(self._window + 1):
            pairs = np.outer(left[:, size], right[:, size]) * self._ways[overlap, size]
            by_distance = np.bincount(distance.ravel(), pairs.ravel(), pointers + 1)
            sums[size : size + pointers + 1] += of_distance @ by_distance
        return sums[: self.n + 1] / 4.0**self._pointer_bits

    def _squares(self, others: np.ndarray) -> np.ndarray:
        """E g_j g_j' of each window j and another one j' = others[j], [2^p]."""
        ways = self._ways[self._overlap[self._numbers, others]]
        return (ways * self._levels * self._levels[others]).sum(axis=1)

    def _pointer_influences(self) -> np.ndarray:
        """¼ E_j E (g_j - g_j')^2, the pointers j and j' differing in the bit: [p]."""
        own = self._squares(self._numbers).mean()
        flips = [self._numbers ^ (1 << i) for i in reversed(range(self._pointer_bits))]
        return np.array([(own - self._squares(others).mean()) / 2 for others in flips])

    def _value_influences(self) -> np.ndarray:
        """2^-p Σ Inf_v(g_j) over the windows j that contain the value bit v: [2^p]."""
        ways = self._ways[self._sizes - 1, :-1]
        own = (ways * np.square(self._levels[:, 1:])).sum(axis=1)
        return own @ self._member / len(self._numbers)

    def cross_sums(self, bit: int) -> facts.CrossSums:  # noqa: D102
        bit = checks.integer(0, self.n - 1).check("bit", bit)
        low, overlap, distance, pointers = (
            self._levels,
            self._overlap,
            self._distance,
            self._pointer_bits,
        )
        if bit < pointers:  # χ_(S ∪ bit)(j) = χ_S(j) x_bit(j)
            mask = 1 << (pointers - 1 - bit)
            high = np.where(self._numbers & mask, 1.0, -1.0)[:, None] * low
            others = self._numbers & ~mask
            distance, pointers = distances(others, others), pointers - 1
        else:  # T ∪ bit has one bit more than T, and lies in fewer windows
            having = self._member[:, bit - pointers]
            high = np.zeros_like(low)
            high[having, :-1] = low[having, 1:]
            overlap = overlap - np.outer(having, having)
        return tuple(
            self._by_degree(left, right, overlap, distance, pointers)[:-1]
            for left, right in ((low, low), (low, high), (high, high))
        )

    def coefficients(self, sets: Sequence[Iterable[int]]) -> np.ndarray:  # noqa: D102
        p, found = self._pointer_bits, []
        for one in sets:
            chosen = facts.set_of(facts.mask_of(one, self.n))
            pointers = sum(1 << (p - 1 - i) for i in chosen if i < p)
            values = [i - p for i in chosen if i >= p]
            windows = self._numbers[self._member[:, values].all(axis=1)]
            # χ_S(j) is -1 for an odd number of the bits of S that are 0 in j.
            signs = 1 - 2.0 * (np.bitwise_count(pointers & ~windows) & 1)
            of_size = self._levels[windows, min(len(values), self._window + 1)]
            found.append((signs * of_size).sum() / len(self._numbers))
        return np.array(found, np.float64)

    def _parts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield sets T of value bits, bool [m, 2^p], and f^(S ∪ T), [m, 2^p] by the index of S.

        Per window those T that no window before it contains, and that have a coefficient.
        """
        outside = ~self._member
        for first, own in enumerate(self._member):
            places = np.flatnonzero(own)
            subsets = np.arange(2 ** len(places))
            digits = 1 << np.arange(len(places))
            contained = (subsets[:, None] & (outside[:, places] @ digits)) == 0
            of_windows = contained * self._levels[:, np.bitwise_count(subsets)].T
            new = (contained.argmax(axis=1) == first) & of_windows.any(axis=1)
            if new.any():
                chosen = np.zeros((new.sum(), len(own)), bool)
                chosen[:, places] = (subsets[new, None] & digits) != 0
                yield chosen, float64.spectrum(of_windows[new])

    def monomials(self, limit: int) -> dict[tuple[int, ...], float]:  # noqa: D102
        rule = checks.integer(
            1, LARGEST_LISTED_WINDOW, f"1 to {LARGEST_LISTED_WINDOW} for a list of coefficients"
        )
        rule.check("window", self._window)
        p, count, listed = self._pointer_bits, 0, {}
        for values, spectra in self._parts():
            count += np.count_nonzero(spectra)
            if count > limit:
                continue  # to count them all
            for row, pointers in np.argwhere(spectra).tolist():
                mine = [i for i in range(p) if pointers >> (p - 1 - i) & 1]
                mine += (np.flatnonzero(values[row]) + p).tolist()
                listed[tuple(mine)] = float(spectra[row, pointers])
        facts.check_limit(count, limit)
        return listed
