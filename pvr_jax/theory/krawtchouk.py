"""Krawtchouk polynomials: the functions of Hamming distance on the cube, degree by degree.

The projection onto degree d has the kernel 2^-n K_d(h) between points at Hamming distance h, so
K_d is the Gram matrix of the monomials of degree d, and maps kernels of the distance to their
eigenvalues.
"""

import functools
import math

import numpy as np


@functools.cache
def krawtchouk(n: int) -> np.ndarray:
    """The Krawtchouk numbers K_d(h), float64[n+1, n+1], degree d down and distance h across.

    K_d(h) = Σ_j (-1)^j C(h, j) C(n-h, d-j) is the sum of χ_S(x) χ_S(y) over the sets S of size d,
    for x and y that differ in h coordinates. Whole numbers, exact up to n = 56; read-only.

    Source: O'Donnell 2014, "Analysis of Boolean Functions", section 5.3.
    """
    rows = [
        [
            sum((-1) ** j * math.comb(h, j) * math.comb(n - h, d - j) for j in range(d + 1))
            for h in range(n + 1)
        ]
        for d in range(n + 1)
    ]
    table = np.array(rows, np.float64)
    table.flags.writeable = False
    return table


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Hamming distances between points by index: integers [a] and [b] to uint8[a, b]."""
    return np.bitwise_count(first[:, None] ^ second[None, :])


def eigenvalues_of(kernel_by_distance: np.ndarray) -> np.ndarray:
    """Eigenvalues μ [n+1] by degree of a kernel κ [n+1] given by Hamming distance.

    k(x, y) = κ(h) = Σ_S μ_|S| χ_S(x) χ_S(y), so μ_d = 2^-n Σ_h κ(h) K_h(d). The rounding of each
    is up to 1e-16 max|κ| √n: an eigenvalue far below that is noise. Decimals give decimals.
    """
    n = len(kernel_by_distance) - 1
    if kernel_by_distance.dtype == object:
        return kernel_by_distance @ krawtchouk(n).astype(int).astype(object) / 2**n
    return np.asarray(kernel_by_distance, np.float64) @ krawtchouk(n) / 2.0**n


def kernel_of(eigenvalues: np.ndarray) -> np.ndarray:
    """The kernel κ [n+1] by Hamming distance with the eigenvalues μ [n+1] by degree."""
    return np.asarray(eigenvalues, np.float64) @ krawtchouk(len(eigenvalues) - 1)
