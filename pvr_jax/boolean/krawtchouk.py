"""Krawtchouk polynomials: the functions of Hamming distance on the cube, degree by degree.

The projection onto degree d has the kernel 2^-n K_d(h) between points at Hamming distance h, so
K_d is the Gram matrix of the monomials of degree d, and maps kernels of the distance to their
eigenvalues.
"""

import functools
import math

import numpy as np


@functools.cache
def integer_krawtchouk(n: int) -> np.ndarray:
    """The Krawtchouk numbers K_d(h), whole numbers [n+1, n+1], degree d down and distance h across.

    K_d(h) = Σ_j (-1)^j C(h, j) C(n-h, d-j) is the sum of χ_S(x) χ_S(y) over the sets S of size d,
    for x and y that differ in h coordinates. Python's integers, exact at any n; read-only.

    Source: O'Donnell 2014, "Analysis of Boolean Functions", section 5.3.
    """
    table = np.empty((n + 1, n + 1), object)
    table[:, 0] = [math.comb(n, d) for d in range(n + 1)]
    table[0] = 1
    # Of the generating functions (1 - z)^h (1 + z)^(n-h): one more h is a factor (1 - z) / (1 + z).
    for h in range(n):
        for d in range(n):
            table[d + 1, h + 1] = table[d + 1, h] - table[d, h] - table[d, h + 1]
    table.flags.writeable = False
    return table


@functools.cache
def krawtchouk(n: int) -> np.ndarray:
    """The same in float64, exact up to n = 56; read-only."""
    table = integer_krawtchouk(n).astype(np.float64)
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
        return kernel_by_distance @ integer_krawtchouk(n) / 2**n
    return np.asarray(kernel_by_distance, np.float64) @ krawtchouk(n) / 2.0**n


def kernel_of(eigenvalues: np.ndarray) -> np.ndarray:
    """The kernel κ [n+1] by Hamming distance with the eigenvalues μ [n+1] by degree."""
    return np.asarray(eigenvalues, np.float64) @ krawtchouk(len(eigenvalues) - 1)
