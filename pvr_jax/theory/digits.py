"""Arithmetic with hundreds of digits, for eigenvalues far below the rounding of float64.

The eigenvalues of an erf network fall geometrically with the degree, and each is an alternating sum
of values of order 1: in float64 only the first few are above rounding. Arrays hold
`decimal.Decimal`, for which NumPy has sums, products and square roots.
"""

import numpy as np

DIGITS = 400
LOST = 40  # digits that sums may lose at most
HALVINGS = 8


def arcsin(x: np.ndarray) -> np.ndarray:
    """Return arcsin x of an array of floats, or of decimals to the precision of their context."""
    if x.dtype != object:
        return np.arcsin(x)
    # Halving the angle: sin(a/2) = sin a / √(2 + 2 cos a).
    for _ in range(HALVINGS):
        x = x / np.sqrt(2 + 2 * np.sqrt(1 - x * x))
    term, total, index = x, x, 0
    while np.any(total + term != total) or index == 0:
        index += 1
        term = term * x * x * (2 * index - 1) / (2 * index)
        total = total + term / (2 * index + 1)
    return 2**HALVINGS * total


def rounded(numbers: np.ndarray) -> np.ndarray:
    """Return sums of decimals as float64: 0 within rounding of 0, NaN if too small for float64."""
    largest = max(map(abs, numbers))
    zero = [abs(number) <= largest.scaleb(LOST - DIGITS) for number in numbers]
    values = numbers.astype(np.float64)
    values[np.abs(values) < np.finfo(float).tiny] = np.nan
    return np.where(zero, 0.0, values)
