"""Pointer value retrieval on bits: the target aggregates the window that pointer bits select."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks

AGGREGATIONS = ("parity", "majority", "min", "max")
BOUNDARIES = ("cyclic", "truncated")
TIES = (-1, 0, 1)
MAX_POINTER_BITS = 10
# The paper's f3.
F3 = {"pointer_bits": 3, "window": 3, "aggregation": "majority", "boundary": "truncated"}


def binary_number(x: jax.Array) -> jax.Array:
    """The number whose binary digits are the coordinates of x.

    x[..., p] -> int32[...] in 0..2^p-1. The first coordinate is the most significant bit and +1
    is binary 1: pointer bits -1, ..., -1 address the first window (Abbe et al. 2022), and the
    number of a whole point is its index in `cube.points`.
    """
    number = jnp.zeros(x.shape[:-1], jnp.int32)
    for position in range(x.shape[-1]):
        number = 2 * number + (x[..., position] > 0).astype(jnp.int32)
    return number


def in_window(start: jax.Array, values: int, window: int, boundary: str) -> jax.Array:
    """Whether each value bit is in the window that begins at `start`.

    start[...] -> bool[..., values]. A cyclic window continues at the first value bit; a truncated
    one ends with the last value bit, so the last windows are shorter.
    """
    places = np.arange(values, dtype=np.int32).reshape((1,) * start.ndim + (values,))
    offset = places - start[..., None]
    if boundary == "cyclic":
        offset = offset & (values - 1)  # modulo, as the number of value bits is a power of two
    return (offset >= 0) & (offset < window)


def aggregate(values: jax.Array, member: jax.Array, aggregation: str, tie: int) -> jax.Array:
    """Aggregate the member values: their product, sign of their sum, minimum or maximum.

    values[..., v], member[..., v] -> y[...]. A majority without a winner is `tie`; the authors'
    sign(0) = 0 makes it 0 (so that majority of two bits is 0 on half of the cube).
    """
    if aggregation == "parity":
        return jnp.prod(jnp.where(member, values, 1), axis=-1)
    if aggregation == "min":
        return jnp.min(jnp.where(member, values, jnp.inf), axis=-1)
    if aggregation == "max":
        return jnp.max(jnp.where(member, values, -jnp.inf), axis=-1)
    total = jnp.sum(jnp.where(member, values, 0), axis=-1)
    return jnp.sign(total) if tie == 0 else jnp.where(total == 0, tie, jnp.sign(total))


def evaluate(
    x: jax.Array, *, pointer_bits: int, window: int, aggregation: str, boundary: str, tie: int
) -> jax.Array:
    """Value of the pointer-value-retrieval function at the points x[..., n] -> y[...].

    Membership in the window is compared, not gathered: a few elementwise operations on
    [..., 2^p], which XLA fuses, also under vmap.
    """
    values = x[..., pointer_bits:]
    member = in_window(binary_number(x[..., :pointer_bits]), 2**pointer_bits, window, boundary)
    return aggregate(values, member, aggregation, tie)


def pvr(
    pointer_bits: int = 3,
    window: int = 1,
    aggregation: str = "parity",
    boundary: str = "cyclic",
    tie: int = 0,
) -> tuple[int, Callable[[jax.Array], jax.Array], dict[str, Any]]:
    """Pointer value retrieval: p pointer bits address a window of w of the 2^p value bits.

    n = p + 2^p; the value bits are the coordinates p..n-1. `tie` matters to majority alone.
    As in the authors' code, majority uses sign(0) = 0 (tie = 0), and windows are cyclic, while
    those of their f3 (`pvr_majority`) are truncated: the influences differ. "max" is redundant,
    since min(x) = -max(-x), but their code has it.

    Raises ValueError for parameters out of range. Source: Abbe et al. 2022, the authors' code.
    """
    bits = checks.integer(1, MAX_POINTER_BITS).check("pointer_bits", pointer_bits)
    note = " (2**pointer_bits value bits)"
    chosen = {
        "pointer_bits": bits,
        "window": checks.integer(1, 2**bits, f"1 to {2**bits}{note}").check("window", window),
        "aggregation": checks.one_of(*AGGREGATIONS).check("aggregation", aggregation),
        "boundary": checks.one_of(*BOUNDARIES).check("boundary", boundary),
        "tie": checks.one_of(*TIES).check("tie", tie),
    }
    return bits + 2**bits, partial(evaluate, **chosen), chosen


def pvr_majority(tie: int = 0) -> tuple[int, Callable[[jax.Array], jax.Array], dict[str, Any]]:
    """Majority of three bits behind three pointer bits, truncated windows: the paper's f3.

    n = 11. The window at the seventh value bit has two bits: with tie = 0, the authors'
    sign(0) = 0, the function is 0 on 1/16 of the cube and E f^2 = 0.9375.

    Source: Abbe et al. 2022, f3.
    """
    n, target, chosen = pvr(**F3, tie=tie)
    return n, target, {"tie": chosen["tie"]}
