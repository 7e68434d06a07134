"""The min-degree interpolator from its definition, for comparison: dense, on all 2^n coefficients.

It shares nothing with the library: points by itertools, monomials by products, one least-squares
problem per degree on the affine set of all interpolators.
"""

import itertools

import numpy as np
import scipy.linalg


def monomials(n):
    """Return the matrix [2^n, 2^n] of all monomials, sets across, and their degrees [2^n]."""
    points = np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
    sets = list(itertools.product([0, 1], repeat=n))
    matrix = np.stack([np.prod(np.where(chosen, points, 1.0), axis=1) for chosen in sets], axis=1)
    return matrix, np.sum(sets, axis=1)


def dense_min_degree_interpolator(values, seen):
    """Return the values [2^n] of the min-degree interpolator."""
    n = len(seen).bit_length() - 1
    matrix, degrees = monomials(n)
    rows = matrix[seen]
    coefficients = np.linalg.lstsq(rows, values[seen], rcond=None)[0]
    null = scipy.linalg.null_space(rows, rcond=1e-9)
    for degree in range(n, -1, -1):
        if null.shape[1] == 0:
            break
        of_degree = null[degrees == degree]
        step = np.linalg.lstsq(of_degree, -coefficients[degrees == degree], rcond=1e-9)[0]
        coefficients = coefficients + null @ step
        if np.abs(of_degree).max() > 1e-9:
            null = null @ scipy.linalg.null_space(of_degree, rcond=1e-9)
    return matrix @ coefficients


def dense_rank(seen, degree):
    """Return the rank of the monomials of degree at most `degree` on the seen set."""
    matrix, degrees = monomials(len(seen).bit_length() - 1)
    return np.linalg.matrix_rank(matrix[seen][:, degrees <= degree])
