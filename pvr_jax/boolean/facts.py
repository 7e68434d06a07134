"""Exact facts about one function on {-1, +1}^n, from whatever determines its Fourier coefficients.

All facts are sums over sets of coordinates, so a function whose coefficients are known in closed
form, or of which few are not 0, needs no enumeration of the cube, and n has no limit.
"""

import abc
from collections.abc import Iterable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.boolean import cube, float64, fourier, measures
from pvr_jax.refusal import Refusal

# Sums [n] by degree d of T over the sets T without a bit k: f^(T)^2, f^(T) f^(T + k), f^(T + k)^2.
CrossSums = tuple[np.ndarray, np.ndarray, np.ndarray]


class ExactFacts(abc.ABC):
    """Exact facts about a function f, float64.

    Attributes:
        n: the number of coordinates.
        influences: Inf_k, the sum of f^(S)^2 over the sets S that contain k, [n].
        degree_profile: the sums of f^(S)^2 over the sets of each size, [n + 1].
    """

    n: int
    influences: np.ndarray
    degree_profile: np.ndarray

    @abc.abstractmethod
    def cross_sums(self, bit: int) -> CrossSums:
        """Return what is shared by the sets with and without a coordinate k = `bit`.

        Returns:
            (low_squares, products, high_squares), each float64[n], entry d: the sums of f^(T)^2,
            of f^(T) f^(T ∪ k) and of f^(T ∪ k)^2 over the sets T of size d that lack k.

        Raises:
            Refusal: `bit` is not from 0 to n - 1.
        """

    @abc.abstractmethod
    def coefficients(self, sets: Sequence[Iterable[int]]) -> np.ndarray:
        """Return f^(S) of sets of coordinates: a sequence of m sets to float64[m].

        Raises:
            Refusal: a coordinate is not from 0 to n - 1, or is twice in a set.
        """

    @abc.abstractmethod
    def monomials(self, limit: int) -> dict[tuple[int, ...], float]:
        """Return all coefficients that are not 0, by their sets, coordinates ascending.

        Raises:
            Refusal: there are more than `limit`; the message says how many.
        """

    @property
    def mean(self) -> float:
        """E f, the coefficient of the empty set."""
        return float(self.coefficients([()])[0])

    @property
    def mean_square(self) -> float:
        """E f^2."""
        return float(self.degree_profile.sum())

    @float64.exact()
    def noise_stability(self, rho: float) -> float:
        """Return Stab_rho = Σ_d rho^d W_d, as `measures.noise_stability`.

        Raises:
            Refusal: rho is not in [-1, 1].
        """
        checks.in_range("rho", rho, -1, 1)
        return float(measures.stability_of(jnp.asarray(self.degree_profile), jnp.asarray(rho)))

    def frozen(self, bit: int, value: int) -> np.ndarray:
        """Return the degree profile, float64[n], of f with x_bit = `value`, -1 or +1.

        That is a function of the other n - 1 coordinates with coefficients f^(T) + v f^(T ∪ k).
        """
        checks.is_sign("value", value)
        low_squares, products, high_squares = self.cross_sums(bit)
        return low_squares + 2 * value * products + high_squares


def mask_of(coordinates: Iterable[int], n: int) -> int:
    """Return a set of coordinates as a number of any size, whose bit i is 1 for i in the set.

    Raises:
        Refusal: a coordinate is not from 0 to n - 1, or is listed twice.
    """
    mask = 0
    for coordinate in coordinates:
        one = 1 << checks.integer(0, n - 1).check("coordinate", coordinate)
        if mask & one:
            raise Refusal(f"coordinate: given {coordinate} twice; allowed once in a set")
        mask |= one
    return mask


def set_of(mask: int) -> tuple[int, ...]:
    """Return the set with this `mask_of`, its coordinates in ascending order."""
    return tuple(i for i, digit in enumerate(reversed(bin(mask)[2:])) if digit == "1")


def check_limit(count: int, limit: int) -> None:
    """Refuse to list more than `limit` coefficients."""
    if count > limit:
        raise Refusal(
            f"limit: given {limit}; allowed from {count}, the coefficients that are not 0"
        )


class DenseFacts(ExactFacts):
    """Exact facts from all coefficients [2^n], in the order of `fourier.walsh_hadamard`."""

    @float64.exact()
    def __init__(self, coefficients: np.ndarray) -> None:
        self._coefficients = np.asarray(coefficients, np.float64)
        self.n = checks.dimension(jnp.asarray(self._coefficients), "coefficients")
        self.influences = np.asarray(measures.influences(self._coefficients))
        self.degree_profile = np.asarray(fourier.degree_profile(self._coefficients))

    @float64.exact()
    def cross_sums(self, bit: int) -> CrossSums:  # noqa: D102
        bit = checks.integer(0, self.n - 1).check("bit", bit)
        return tuple(map(np.asarray, measures.cross_sums(self._coefficients, bit)))

    def coefficients(self, sets: Sequence[Iterable[int]]) -> np.ndarray:  # noqa: D102
        places = [cube.index(set_of(mask_of(one, self.n)), self.n) for one in sets]
        return self._coefficients[np.asarray(places, int)]

    def monomials(self, limit: int) -> dict[tuple[int, ...], float]:  # noqa: D102
        places = np.flatnonzero(self._coefficients)
        check_limit(len(places), limit)
        values = self._coefficients[places].tolist()
        return {cube.coordinates(p, self.n): v for p, v in zip(places, values, strict=True)}


class SparseFacts(ExactFacts):
    """Exact facts from the coefficients that are not 0, by `mask_of` their sets; n is any."""

    def __init__(self, n: int, coefficients: Mapping[int, float]) -> None:
        self.n = n
        self._terms = {mask: float(value) for mask, value in coefficients.items() if value}
        self._masks = list(self._terms)
        self._values = np.array(list(self._terms.values()), np.float64)
        self._sizes = np.array([mask.bit_count() for mask in self._masks], int)
        squares = np.square(self._values)
        self.degree_profile = np.bincount(self._sizes, squares, n + 1)
        length = -(-n // 8)
        digits = b"".join(mask.to_bytes(length, "little") for mask in self._masks)
        octets = np.frombuffer(digits, np.uint8).reshape(len(self._masks), length)
        self._contains = np.unpackbits(octets, axis=1, count=n, bitorder="little").astype(bool)
        self.influences = np.array([squares[own].sum() for own in self._contains.T])

    def cross_sums(self, bit: int) -> CrossSums:  # noqa: D102
        bit = checks.integer(0, self.n - 1).check("bit", bit)
        having = self._contains[:, bit]
        values, sizes = self._values[~having], self._sizes[~having]
        twins = [
            self._terms.get(self._masks[place] | 1 << bit, 0.0) for place in np.flatnonzero(~having)
        ]
        return (
            np.bincount(sizes, np.square(values), self.n),
            np.bincount(sizes, values * np.array(twins, np.float64), self.n),
            np.bincount(self._sizes[having] - 1, np.square(self._values[having]), self.n),
        )

    def coefficients(self, sets: Sequence[Iterable[int]]) -> np.ndarray:  # noqa: D102
        return np.array([self._terms.get(mask_of(one, self.n), 0.0) for one in sets], np.float64)

    def monomials(self, limit: int) -> dict[tuple[int, ...], float]:  # noqa: D102
        check_limit(len(self._terms), limit)
        return {set_of(mask): value for mask, value in self._terms.items()}
