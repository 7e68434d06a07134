"""Reduce a problem to a smaller cube by irrelevant, free and constant coordinates.

*   Irrelevant: neither the seen set nor the seen values change when it flips. The unique solution
    of a problem with this symmetry is symmetric too, so it does not use the coordinate.
*   Free: the seen set does not change when it flips. Then f = Σ_T f_T χ_T over the sets T of free
    coordinates, the seen values constrain each f_T separately, and the degree profile of f is the
    sum of those of f_T, shifted by |T|. So the min-degree interpolator acts on each f_T, and, since
    it is linear, on the function at each value of the free coordinates.
*   Constant: all seen points agree in it. If an interpolator uses x_i, setting x_i to its seen
    value gives an interpolator with a smaller degree profile: the mass of sets with i moves to
    lower degrees.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reduced:
    """A problem on the r kept coordinates, one function per value of the f free ones.

    Solutions do not use the other coordinates.
    """

    n: int
    kept: tuple[int, ...]  # ascending
    free: tuple[int, ...]  # ascending
    values: np.ndarray  # [2^f, 2^r], 0 where unseen
    seen: np.ndarray  # bool [2^r]

    def restored(self, values: np.ndarray) -> np.ndarray:
        """Return a solution on the whole cube: values [2^f, 2^r] -> [2^n]."""
        used = (*self.free, *self.kept)
        cube = values.reshape((2,) * len(used)).transpose(np.argsort(used))
        sides = [2 if i in used else 1 for i in range(self.n)]
        return np.broadcast_to(cube.reshape(sides), (2,) * self.n).reshape(-1)


def without_irrelevant_coordinates(values: np.ndarray, seen: np.ndarray) -> Reduced:
    """Return the problem without its irrelevant coordinates; none is treated as free.

    values float64 [2^n] (0 where unseen) and seen bool [2^n].
    """
    # Unseen values are 0, so if the seen halves are equal, all values may be compared.
    irrelevant = [
        i for i in range(_dimension(seen)) if _equal_halves(seen, i) and _equal_halves(values, i)
    ]
    return _reduced(values, seen, dict.fromkeys(irrelevant, 0), ())


def without_free_and_constant_coordinates(values: np.ndarray, seen: np.ndarray) -> Reduced:
    """Return the problem on the coordinates that the seen set depends on, except constant ones.

    For the min-degree interpolator only: kernels weight degrees instead of ranking them.
    values float64 [2^n] (0 where unseen) and seen bool [2^n].
    """
    sides = {}
    for i in range(_dimension(seen)):
        halves = _halves(seen, i)
        if not halves[:, 0].any() or not halves[:, 1].any():
            sides[i] = int(halves[:, 1].any())
    return _reduced(values, seen, sides, _free_coordinates(seen))


def without_free_coordinates(values: np.ndarray, seen: np.ndarray) -> Reduced:
    """Return the problem on the coordinates that the seen set depends on.

    For the min-degree interpolator and for kernels that are products over the coordinates: the norm
    of f = Σ_T f_T χ_T is then a sum of multiples of the norms of the f_T.
    values float64 [2^n] (0 where unseen) and seen bool [2^n].
    """
    return _reduced(values, seen, {}, _free_coordinates(seen))


def _reduced(
    values: np.ndarray, seen: np.ndarray, sides: dict[int, int], free: tuple[int, ...]
) -> Reduced:
    """Restrict the cube to one side of some coordinates, and put the free ones first."""
    n = _dimension(seen)
    kept = tuple(i for i in range(n) if i not in sides and i not in free)
    cut = tuple(sides.get(i, slice(None)) for i in range(n))
    left = [i for i in range(n) if i not in sides]
    axes = [left.index(i) for i in (*free, *kept)]
    shape = (2 ** len(free), 2 ** len(kept))
    values, seen = (
        array.reshape((2,) * n)[cut].transpose(axes).reshape(shape) for array in (values, seen)
    )
    return Reduced(n, kept, free, values, seen[0])


def _free_coordinates(seen: np.ndarray) -> tuple[int, ...]:
    return tuple(i for i in range(_dimension(seen)) if _equal_halves(seen, i))


def _dimension(array: np.ndarray) -> int:
    return int(array.size).bit_length() - 1


def _halves(array: np.ndarray, coordinate: int) -> np.ndarray:
    return array.reshape(2**coordinate, 2, -1)


def _equal_halves(array: np.ndarray, coordinate: int) -> bool:
    halves = _halves(array, coordinate)
    return np.array_equal(halves[:, 0], halves[:, 1])
