"""Functions as tables and as callables on rows, and how often intervals cover what is exact."""

import jax.numpy as jnp
import numpy as np
import scipy.stats
from jax.tree_util import Partial

from pvr_jax import tasks
from pvr_jax.boolean import cube

FROZEN = 1  # a coordinate that every target depends on


def _look_up(table, x):
    n = x.shape[-1]
    bits = (x > 0).astype(jnp.int32)
    return table[bits @ (1 << jnp.arange(n - 1, -1, -1, dtype=jnp.int32))]


def on_rows(table):
    """Return x[b, n] -> y[b] of a table [2^n]; all tables of one size share their programs."""
    return Partial(_look_up, jnp.asarray(table, jnp.float32))


def pvr(n):
    """Return a PVR function of n = 11 or 20 bits, or a smaller one with bits that it ignores."""
    if n == 20:
        made = tasks.make("pvr", pointer_bits=4, window=3, aggregation="majority")
    else:
        made = tasks.make("pvr_majority")
    return np.repeat(np.asarray(tasks.truth_table(made)), 2 ** (n - made.n))


def parity(n):
    """Return the parity of five bits."""
    return np.asarray(cube.points(n))[:, :5].prod(axis=1)


def heavy_tailed(n):
    """Return a polynomial with values from .004 to 17, and a kurtosis of its own of 32."""
    return (1 + 0.6 * np.asarray(cube.points(n))[:, :6]).prod(axis=1)


TARGETS = {"pvr": pvr, "parity": parity, "heavy_tailed": heavy_tailed}


def learned_like(target, seed=0):
    """Return what a network could have learned of a target with `FROZEN` held at +1.

    Nearly the target where it was seen, shrunk elsewhere, with a perturbation of every degree.
    """
    n = int(np.log2(len(target)))
    random = np.random.default_rng(seed).normal(size=len(target))
    x = np.asarray(cube.points(n))
    frozen = np.asarray(cube.frozen(target, FROZEN, 1))
    unseen = (1 - x[:, FROZEN]) / 2
    scale = np.sqrt(np.mean(target**2))
    off = 0.2 * frozen + 0.1 * scale * x[:, 0] - 0.3 * target
    return np.tanh(1.2 * frozen / scale) * scale - unseen * off + 0.1 * scale * random


def covered(value, standard_error, exact, freedom):
    """Return whether 95 % intervals [repetition, ...] of their own hold `exact` [...]."""
    half_width = scipy.stats.t.ppf(0.975, freedom) * np.asarray(standard_error, float)
    return within(value, half_width, exact)


def within(value, half_width, exact):
    """Return whether `exact` [...] is as near to `value` [repetition, ...] as `half_width` says."""
    exact = np.asarray(exact, float)
    rounding = 1e-5 * (1e-3 + np.abs(exact))  # of float32, where nothing varies
    return np.abs(np.asarray(value, float) - exact) <= np.asarray(half_width) + rounding
