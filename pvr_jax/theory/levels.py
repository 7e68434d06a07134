"""Spans of monomials by degree on a set of points, for the min-degree interpolator.

On m points the monomials of degree d span a subspace of R^m. Degree by degree, upwards or
downwards, each adds directions to the previous ones. The matrix of monomials [m, C(n, d)] is never
needed: its Gram matrix is a Krawtchouk number per pair of points.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from pvr_jax.boolean.krawtchouk import distances, krawtchouk

# Threshold for squared singular values of the characters of one degree, over C(n, d). On slices,
# balls and random sets of up to 4,096 points, those of absent directions were at most 3e-15, those
# of present ones at least 2e-6.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Level:
    """The directions that the monomials of one degree add on m points.

    `directions` [m, r] are orthonormal, and orthogonal to those of every level before this one;
    the Gram matrix G of the degree has directions^T G directions = diag(`strengths` [r]).
    """

    degree: int
    directions: np.ndarray
    strengths: np.ndarray

    @property
    def rank(self) -> int:
        """Number of directions that the degree adds."""
        return len(self.strengths)


def levels(points: np.ndarray, n: int, degrees: Iterable[int]) -> list[Level]:
    """Return the level of each degree on points [m], given by index, until R^m is spanned.

    Takes the time of a few decompositions of an m by m matrix, and the memory of about five.
    """
    remaining = np.eye(len(points))
    found = []
    for degree in degrees:
        if remaining.shape[1] == 0:
            break
        basis, strengths = _strongest_first(points, n, degree, remaining)
        rank = int((strengths > TOLERANCE * math.comb(n, degree)).sum())
        found.append(Level(degree, remaining @ basis[:, :rank], strengths[:rank]))
        remaining = remaining @ basis[:, rank:]
    return found


def _strongest_first(
    points: np.ndarray, n: int, degree: int, remaining: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Diagonalize a degree's Gram matrix within the columns of `remaining` [m, p].

    Returns the basis [p, p] and the eigenvalues [p], largest first.
    """
    size = remaining.shape[1]
    count = math.comb(n, degree)
    if count < size:
        left, singular, _ = scipy.linalg.svd(
            remaining.T @ _monomials(points, n, degree), check_finite=False
        )
        return left, np.pad(np.square(singular), (0, size - count))
    # A table of one number per distance: the Gram matrix is exact.
    gram = krawtchouk(n)[degree][distances(points, points)]
    strengths, basis = scipy.linalg.eigh(remaining.T @ gram @ remaining, check_finite=False)
    return basis[:, ::-1], strengths[::-1]


def _monomials(points: np.ndarray, n: int, degree: int) -> np.ndarray:
    """The monomials of one degree on points [m], given by index: float64[m, C(n, degree)]."""
    masks = np.array(
        [sum(1 << i for i in chosen) for chosen in itertools.combinations(range(n), degree)],
        np.int64,
    )
    minus_signs = np.bitwise_count(~points[:, None] & masks[None, :])
    return 1.0 - 2.0 * (minus_signs & 1)
