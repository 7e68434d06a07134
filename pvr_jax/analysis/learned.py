"""The learned function of a network: its values on the whole cube."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pvr_jax.boolean import cube

# Inputs evaluated at once: enough to keep an accelerator busy, and few enough for its memory, where
# every replica evaluates as many (with 2048, 28 of the paper's Transformer took 17.5 GiB, more than
# a TPU v5e has). On a CPU few enough that activations stay in cache between layers (256 instead of
# 4096 halve the time of a small Mixer, take .6 of that of a small Transformer, and do not change
# that of the MLP).
CHUNK, CHUNK_ON_CPU = 1024, 256
_PLATFORM: ContextVar[str] = ContextVar("platform", default="")


@contextlib.contextmanager
def for_platform(name: str) -> Iterator[None]:
    """Build and trace within the context as on another platform, such as "tpu"."""
    token = _PLATFORM.set(name)
    try:
        yield
    finally:
        _PLATFORM.reset(token)


def chunk_size() -> int:
    """Return the number of inputs to evaluate at once on this machine."""
    return CHUNK_ON_CPU if (_PLATFORM.get() or jax.default_backend()) == "cpu" else CHUNK


def on_cube(
    apply: Callable[[Any, jax.Array], jax.Array], params: Any, n: int, chunk: int | None = None
) -> jax.Array:
    """Return the values [2^n] of `apply(params, x[b, n]) -> y[b]` at all points of the cube.

    Points are generated and evaluated `chunk` (a power of two; None: `chunk_size`) at a time, so
    activations take the memory of one chunk at any n.
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

    Evaluates `chunk` at a time, and the remainder in a smaller group.
    """
    size = min(chunk or chunk_size(), len(points))
    return lax.map(lambda x: apply(params, x[None])[0], points, batch_size=size)
