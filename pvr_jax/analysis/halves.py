"""Errors of all functions that share a seen half, from one learned unseen half.

With one bit frozen, a function f on n bits is two halves on n - 1: the seen half F, which training
shows, and the unseen half h. What a network g learns depends on F alone, so the generalization
error ½E(g - f)² of each of the 2^N functions with that F, N = 2^(n-1), is arithmetic:

    ¼ (E(g₊ - F)² + E(u - h)²),

g₊ and u the seen and the unseen half of g. Functions are of -1 and +1; the influence of the frozen
bit is the share of points at which h differs from F.
"""

from typing import NamedTuple

import numpy as np

MAX_POINTS = 16  # of a half whose 2^N unseen halves are enumerated
BATCH = 128  # replicas whose errors are enumerated at once


class Line(NamedTuple):
    """The mean error of all functions with a seen half: `at_zero + slope * influence`."""

    at_zero: np.ndarray
    slope: np.ndarray


def error_line(seen_half: np.ndarray, learned: np.ndarray, unseen: np.ndarray) -> Line:
    """Return the mean error as a function of the influence I, which is a line.

    The mean is over the unseen halves that differ from the seen one at I N points. At I = 0 it is
    the error of the function that ignores the frozen bit; the slope is c = E[u F], the projection
    of `canonical.extrapolation`. The low-degree bias, u = F, has the line error = I.

    Args:
        seen_half: F [..., N] of -1 and +1.
        learned: g₊ [..., N].
        unseen: u [..., N].
    """
    missed = np.mean((learned - seen_half) ** 2 + (unseen - seen_half) ** 2, axis=-1)
    return Line(missed / 4, np.mean(unseen * seen_half, axis=-1))


class Errors(NamedTuple):
    """The errors of all functions with a seen half by the influence d/N, d = 0, …, N; [..., N + 1].

    `variance` is that over functions of one network.
    """

    mean: np.ndarray
    variance: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray


def errors_by_influence(seen_half: np.ndarray, learned: np.ndarray, unseen: np.ndarray) -> Errors:
    """Return the mean, variance, smallest and largest error at each influence, in closed form.

    Arguments as `error_line`. Differing at d points adds the sum of d of the numbers w = u F to
    the error, drawn without replacement: its variance is d (N - d) / (N - 1) times that of w.
    """
    products = np.sort(unseen * seen_half, axis=-1)
    count = products.shape[-1]
    differing = np.arange(count + 1)
    line = error_line(seen_half, learned, unseen)
    shape = (*products.shape[:-1], 1)
    first, slope = (np.reshape(part, shape) for part in line)
    drawn = differing * (count - differing) / max(count - 1, 1) / count**2
    sums = [np.cumsum(ordered, axis=-1) for ordered in (products, products[..., ::-1])]
    extremes = [first + np.concatenate([np.zeros(shape), part], axis=-1) / count for part in sums]
    return Errors(
        first + slope * differing / count,
        np.var(products, axis=-1, keepdims=True) * drawn,
        *extremes,
    )


def share_below_influence(
    seen_half: np.ndarray, learned: np.ndarray, unseen: np.ndarray
) -> np.ndarray:
    """Return the share of functions whose error is below the influence, by influence [R, N + 1].

    Arguments as `error_line`, [R, N], N up to 16: all 2^N unseen halves are enumerated.
    """
    count = unseen.shape[-1]
    differs = (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(float)
    distance = differs.sum(axis=1).astype(int)
    first = error_line(seen_half, learned, unseen).at_zero
    products = unseen * seen_half
    functions = np.bincount(distance)
    found = []
    for start in range(0, len(unseen), BATCH):
        own = slice(start, start + BATCH)
        # error - influence, of every unseen half and replica
        over = differs @ (products[own] - 1).T / count + first[own]
        found += [np.bincount(distance, column < 0) / functions for column in over.T]
    return np.array(found)
