"""The learned function of a network: its values on the whole cube."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pvr_jax.boolean import cube

# How many inputs are evaluated at once: as many as keep an accelerator busy; on a CPU so few that
# what a layer makes of them is still in its cache when the next one reads it (256 beside 4096 take
# half the time for a small Mixer, .6 of it for a small Transformer, the same for the MLP).
CHUNK, CHUNK_ON_CPU = 4096, 256


def chunk_size() -> int:
    """Return how many inputs are evaluated at once on this machine."""
    return CHUNK_ON_CPU if jax.default_backend() == "cpu" else CHUNK


def on_cube(
    apply: Callable[[Any, jax.Array], jax.Array], params: Any, n: int, chunk: int | None = None
) -> jax.Array:
    """Return the values [2^n] of `apply(params, x[b, n]) -> y[b]` at all points of the cube.

    The points are made and evaluated `chunk` (a power of two; None: `chunk_size`) at a time, so the
    activations of the network take the memory of one chunk at any n.
    """
    size = min(chunk or chunk_size(), 2**n)

    def values(first: jax.Array) -> jax.Array:
        return apply(params, cube.points_at(first + jnp.arange(size), n))

    if size == 2**n:
        return values(jnp.int32(0))
    return lax.map(values, jnp.arange(0, 2**n, size)).reshape(-1)


def at_points(
    apply: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    points: jax.Array,
    chunk: int | None = None,
) -> jax.Array:
    """Return the values [P] of `apply(params, x[b, n]) -> y[b]` at points [P, n].

    `chunk` of them are evaluated at a time, the last ones in a smaller group.
    """
    size = min(chunk or chunk_size(), len(points))
    return lax.map(lambda x: apply(params, x[None])[0], points, batch_size=size)
