"""Pointer Value Retrieval on tokens: a pointer digit, ten value digits, a function of a window.

An input is int32[11]: the pointer p and the values v_0 .. v_9, digits 0 to 9. The window holds the
`complexity` + 1 values from v_p on, and its aggregation is the label, a digit. All functions take
one input or many, [..., 11], and complexity and aggregation may be traced, so that one program
trains replicas on different tasks.

Source: Zhang, Raghu, Kleinberg and Bengio 2021, Pointer Value Retrieval.
"""

from functools import partial

import jax
import jax.numpy as jnp

from pvr_jax import checks

DIGITS = 10
VALUES = 10
LENGTH = 1 + VALUES
MAX_COMPLEXITY = VALUES - 1
# A trace holds the place of an aggregation in this tuple.
AGGREGATIONS = ("mod_sum", "min", "max", "median", "majority_vote")
BOUNDARIES = ("bounded", "cyclic")


def aggregation_number(name: str) -> int:
    """Return the place of an aggregation in `AGGREGATIONS`; ValueError for another name."""
    return AGGREGATIONS.index(checks.one_of(*AGGREGATIONS).check("aggregation", name))


def pointers(complexity: int | jax.Array, boundary: str) -> int | jax.Array:
    """Return how many values the pointer takes, 0 up to one less.

    "bounded", the paper's: 10 - complexity, so that every window fits. "cyclic": all ten, and the
    window goes on from v_9 to v_0.
    """
    if checks.one_of(*BOUNDARIES).check("boundary", boundary) == "cyclic":
        return DIGITS
    return DIGITS - complexity


def draw(key: jax.Array, complexity: int | jax.Array, boundary: str = "bounded") -> jax.Array:
    """Return one input int32[11], uniform: the pointer over `pointers`, the values over digits."""
    pointer_key, value_key = jax.random.split(key)
    pointer = jax.random.randint(pointer_key, (), 0, pointers(complexity, boundary), jnp.int32)
    values = jax.random.randint(value_key, (VALUES,), 0, DIGITS, jnp.int32)
    return jnp.concatenate([pointer[None], values])


@partial(jnp.vectorize, signature="(n)->(m)")
def window_places(tokens: jax.Array) -> jax.Array:
    """Return the places int32[..., 10] of the values in an input, in order from the pointer's on.

    The first complexity + 1 of them are the window's.
    """
    return 1 + (tokens[0] + jnp.arange(VALUES, dtype=jnp.int32)) % VALUES


def window(tokens: jax.Array) -> jax.Array:
    """Return the values [..., 10] in order from the pointer's on; the window is at their front."""
    return jnp.take_along_axis(tokens, window_places(tokens), axis=-1)


def label(
    tokens: jax.Array, aggregation: int | jax.Array, complexity: int | jax.Array
) -> jax.Array:
    """Return the label int32[...] of inputs [..., 11]; `aggregation` is a place in `AGGREGATIONS`.

    The window wraps around where it reaches the end, which bounded pointers never do.

    Raises ValueError for inputs that are no digits, unless they are traced.
    """
    tokens = checks.tokens("tokens", tokens, DIGITS)
    return aggregate(counts(window(tokens), complexity), aggregation)


@partial(jnp.vectorize, signature="(m),()->(c)")
def counts(ordered: jax.Array, complexity: int | jax.Array) -> jax.Array:
    """Return how often each digit is among the first complexity + 1 of `ordered` [..., m].

    -> int32[..., 10]. Every aggregation is symmetric, hence a function of these.
    """
    inside = jnp.arange(ordered.shape[0]) <= complexity
    equal = ordered[:, None] == jnp.arange(DIGITS)[None, :]
    return jnp.sum(equal & inside[:, None], axis=0, dtype=jnp.int32)


@partial(jnp.vectorize, signature="(c),()->()")
def aggregate(counted: jax.Array, aggregation: int | jax.Array) -> jax.Array:
    """Return the aggregation int32[...] of a window, given how often each digit is in it [..., 10].

    "mod_sum": the sum modulo 10. "min", "max". "median": of an even number of digits the lower of
    the two in the middle. "majority_vote": the most frequent digit, of several the smallest.
    """
    candidates = jnp.stack(
        [
            jnp.sum(counted * jnp.arange(DIGITS)) % DIGITS,
            jnp.argmax(counted > 0),
            DIGITS - 1 - jnp.argmax(counted[::-1] > 0),
            jnp.argmax(jnp.cumsum(counted) >= (jnp.sum(counted) + 1) // 2),
            jnp.argmax(counted),
        ]
    )
    return candidates[aggregation].astype(jnp.int32)
