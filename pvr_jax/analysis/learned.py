"""The learned function of a network: its values on the whole cube."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pvr_jax.boolean import cube

CHUNK = 4096


def on_cube(
    apply: Callable[[Any, jax.Array], jax.Array], params: Any, n: int, chunk: int = CHUNK
) -> jax.Array:
    """Return the values [2^n] of `apply(params, x[b, n]) -> y[b]` at all points of the cube.

    The points are made and evaluated `chunk` (a power of two) at a time, so the activations of the
    network take the memory of one chunk at any n.
    """
    size = min(chunk, 2**n)

    def values(first: jax.Array) -> jax.Array:
        return apply(params, cube.points_at(first + jnp.arange(size), n))

    if size == 2**n:
        return values(jnp.int32(0))
    return lax.map(values, jnp.arange(0, 2**n, size)).reshape(-1)


def at_points(
    apply: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    points: jax.Array,
    chunk: int = CHUNK,
) -> jax.Array:
    """Return the values [P] of `apply(params, x[b, n]) -> y[b]` at points [P, n].

    `chunk` of them are evaluated at a time, the last ones in a smaller group.
    """
    return lax.map(lambda x: apply(params, x[None])[0], points, batch_size=min(chunk, len(points)))
