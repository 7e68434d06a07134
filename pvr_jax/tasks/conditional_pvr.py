"""Conditional Pointer Value Retrieval: how many hops a pointer makes before it turns back.

An input is int32[n], numbers 0 to n - 1. The pointer starts at 0; while the number it points at is
larger than itself it goes there. The label is how many times it went.

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

    At least h hops are made along any of the C(n - 1, h) rising paths from 0, each with probability
    n^-h, and no two of them together.
    """
    at_least = [math.comb(length - 1, h) / length**h for h in range(length + 1)]
    return -np.diff(at_least)
