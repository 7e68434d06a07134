"""The min-degree interpolator in exact arithmetic: a certificate for small cubes.

It has no rounding and no tolerance. It takes O(8^n) operations on fractions, and serves to check
the fast solvers for n up to 7.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jax.typing import ArrayLike

from pvr_jax import checks
from pvr_jax.boolean.krawtchouk import distances, krawtchouk
from pvr_jax.refusal import Refusal

LARGEST_N = 7

Matrix = list[list[Fraction]]


def exact_min_degree_interpolator(values: ArrayLike, seen: ArrayLike) -> list[Fraction]:
    """Return the values of the min-degree interpolator as fractions, [2^n].

    values [2^n], read at seen points as exact floats, and seen bool [2^n], n up to 7. Solves for
    the unseen values u: from the highest degree down, with G_d the Gram matrix of degree d at the
    unseen points, it restricts u to the solutions of the normal equations among those that remain.

    Raises ValueError as `min_degree_interpolator`, or if n is above 7.
    """
    floats, seen = checks.target_and_seen(values, seen)
    n = int(seen.size).bit_length() - 1
    if n > LARGEST_N:
        raise Refusal(f"values: given n = {n}; allowed up to {LARGEST_N} in exact fractions")
    learned = [Fraction(float(value)) for value in floats]
    everything, unseen = np.arange(seen.size), np.flatnonzero(~seen)
    between = distances(unseen, everything)
    # Columns span the remaining directions of the unseen values.
    directions = _identity(len(unseen))
    for degree in range(n, -1, -1):
        if not directions or not directions[0]:
            break
        rows = [[Fraction(int(entry)) for entry in row] for row in krawtchouk(n)[degree][between]]
        gram = [[row[point] for point in unseen] for row in rows]
        part = [sum(map(_product, row, learned), Fraction(0)) for row in rows]
        transposed = _transpose(directions)
        normal = _multiply(_multiply(transposed, gram), directions)
        right = [-sum(map(_product, row, part), Fraction(0)) for row in transposed]
        step, null = _solve(normal, right)
        for place, row in zip(unseen, directions, strict=True):
            learned[place] += sum(map(_product, row, step), Fraction(0))
        directions = _multiply(directions, null)
    return learned


def _product(a: Fraction, b: Fraction) -> Fraction:
    return a * b


def _identity(size: int) -> Matrix:
    return [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]


def _transpose(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def _multiply(a: Matrix, b: Matrix) -> Matrix:
    columns = _transpose(b) if b and b[0] else []
    return [[sum(map(_product, row, column), Fraction(0)) for column in columns] for row in a]


def _solve(matrix: Matrix, right: Sequence[Fraction]) -> tuple[list[Fraction], Matrix]:
    """Solve a consistent system by elimination: one solution [p], and a null basis [p, q]."""
    size = len(matrix)
    rows = [[*row, entry] for row, entry in zip(matrix, right, strict=True)]
    pivots: list[int] = []
    for column in range(size):
        at = next((i for i in range(len(pivots), size) if rows[i][column]), None)
        if at is None:
            continue
        place = len(pivots)
        rows[place], rows[at] = rows[at], rows[place]
        pivot = rows[place][column]
        rows[place] = [entry / pivot for entry in rows[place]]
        for i in range(size):
            if i != place and rows[i][column]:
                factor = rows[i][column]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[place], strict=True)]
        pivots.append(column)
    solution = [Fraction(0)] * size
    for place, column in enumerate(pivots):
        solution[column] = rows[place][size]
    free = [column for column in range(size) if column not in pivots]
    null = [[Fraction(0)] * len(free) for _ in range(size)]
    for j, column in enumerate(free):
        null[column][j] = Fraction(1)
        for place, pivot_column in enumerate(pivots):
            null[pivot_column][j] = -rows[place][column]
    return solution, null
