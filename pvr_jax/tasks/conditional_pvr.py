"""Conditional Pointer Value Retrieval: the number of hops of a pointer until it turns back.

An input is int32[n] with entries 0 to n - 1. The pointer starts at 0, and moves to the entry it
points at as long as that is larger than itself. The label is the number of moves.

Source: Abnar et al. 2023, adaptive computation and the task C-PVR, n = 100.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks


def draw(key: jax.Array, length: int) -> jax.Array:
    """Return one input int32[length], uniform."""
    return jax.random.randint(key, (length,), 0, length, jnp.int32)


def label(numbers: jax.Array) -> jax.Array:
    """Return the number of hops int32[...] of inputs [..., n]: 0 to n - 1.

    Raises ValueError for inputs that are not in 0..n-1, unless they are traced.
    """
    numbers = jnp.asarray(numbers)
    numbers = checks.tokens("tokens", numbers, numbers.shape[-1])

    def hops(row: jax.Array) -> jax.Array:
        def hop(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            pointer, made = state
            return row[pointer], made + 1

        def goes_on(state: tuple[jax.Array, jax.Array]) -> jax.Array:
            pointer, _ = state
            return row[pointer] > pointer

        return jax.lax.while_loop(goes_on, hop, (jnp.int32(0), jnp.int32(0)))[1]

    flat = numbers.reshape(-1, numbers.shape[-1]).astype(jnp.int32)
    return jax.vmap(hops)(flat).reshape(numbers.shape[:-1])


def label_distribution(length: int) -> np.ndarray:
    """Return the probability of every label, float64[length], for uniform inputs.

    An input has at least h hops if it follows one of the C(n - 1, h) increasing paths from 0, which
    are mutually exclusive and have probability n^-h each.
    """
    at_least = [math.comb(length - 1, h) / length**h for h in range(length + 1)]
    return -np.diff(at_least)
