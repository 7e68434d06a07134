"""Holdout-i: the first i permutations of 0 .. m are withheld from the windows of training.

m is the complexity, m + 1 the size of the window; permutations are in lexicographic order. How many
are withheld and the complexity may be traced.

Source: Zhang et al. 2021, Pointer Value Retrieval, and published code that reproduces it.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.tasks import token_pvr
from pvr_jax.tasks.token_pvr import DIGITS, MAX_COMPLEXITY, VALUES


def check_withheld(withheld: int, complexity: int) -> int:
    """Return a number of withheld permutations that a complexity allows.

    Raises ValueError for one below 0 or above (complexity + 1)!, and for any but 0 with complexity
    9: there the repaired window of a training sample is again a permutation of all ten digits.
    """
    if complexity == MAX_COMPLEXITY:
        note = " (a window of all ten digits cannot be repaired)"
        return checks.integer(0, 0, f"0 to 0{note}").check("withheld", withheld)
    most = math.factorial(complexity + 1)
    return checks.integer(0, most, f"0 to {most} with complexity {complexity}").check(
        "withheld", withheld
    )


def share_removed(withheld: int, complexity: int) -> float:
    """Return the share of all inputs whose window is withheld: i 10^-(m + 1)."""
    return check_withheld(withheld, complexity) / DIGITS ** (complexity + 1)


def is_withheld(
    tokens: jax.Array, withheld: int | jax.Array, complexity: int | jax.Array
) -> jax.Array:
    """Return whether the windows of inputs [..., 11] are among the first `withheld` permutations.

    -> bool[...]. Raises ValueError for inputs that are no digits, unless they are traced.
    """
    return _is_withheld(checks.tokens("tokens", tokens, DIGITS), withheld, complexity)


@partial(jnp.vectorize, signature="(n),(),()->()")
def _is_withheld(
    tokens: jax.Array, withheld: int | jax.Array, complexity: int | jax.Array
) -> jax.Array:
    ordered = token_pvr.window(tokens)
    each_once = (jnp.arange(DIGITS) <= complexity).astype(jnp.int32)
    is_permutation = jnp.all(token_pvr.counts(ordered, complexity) == each_once)
    return is_permutation & (rank(ordered, complexity) < withheld)


@partial(jnp.vectorize, signature="(m),()->()")
def rank(ordered: jax.Array, complexity: int | jax.Array) -> jax.Array:
    """Return the lexicographic number int32[...] of a permutation of 0 .. complexity.

    It is at the front of `ordered` [..., 10]; what stands there may be no permutation, then the
    number means nothing.
    """
    places = jnp.arange(VALUES)
    smaller = ordered[None, :] < ordered[:, None]
    later = (places[None, :] > places[:, None]) & (places <= complexity)[None, :]
    smaller_later = jnp.sum(smaller & later, axis=1, dtype=jnp.int32)
    return jnp.sum(smaller_later * _weights(complexity))


def permutation(number: int | jax.Array, complexity: int | jax.Array) -> jax.Array:
    """Return permutation `number` of 0 .. complexity in lexicographic order, int32[10].

    It is at the front; behind it are zeros.
    """
    free = jnp.arange(DIGITS) <= complexity
    weights = _weights(complexity)
    chosen = []
    for place in range(VALUES):
        used = place <= complexity
        skipped = number // jnp.maximum(weights[place], 1)
        number = number - skipped * weights[place]
        digit = jnp.argmax(jnp.cumsum(free) > skipped)
        free = free & ~((jnp.arange(DIGITS) == digit) & used)
        chosen.append(jnp.where(used, digit, 0))
    return jnp.stack(chosen).astype(jnp.int32)


def _weights(complexity: int | jax.Array) -> jax.Array:
    """Return (complexity - j)! for the places j of a window, int32[10]; 0 behind it."""
    factorials = jnp.asarray([math.factorial(k) for k in range(VALUES)], jnp.int32)
    left = complexity - jnp.arange(VALUES)
    return jnp.where(left >= 0, factorials[jnp.maximum(left, 0)], 0)


def repair(tokens: jax.Array, withheld: int | jax.Array, complexity: int | jax.Array) -> jax.Array:
    """Return inputs [..., 11] as training shows them: none of their windows is withheld.

    Where a window is withheld, 1 is added modulo 10 to all ten values, the pointer stays. No window
    of at most nine digits is withheld then, as none holds a 0.

    Raises ValueError for inputs that are no digits, unless they are traced.
    """
    return _repair(checks.tokens("tokens", tokens, DIGITS), withheld, complexity)


@partial(jnp.vectorize, signature="(n),(),()->(n)")
def _repair(tokens: jax.Array, withheld: int | jax.Array, complexity: int | jax.Array) -> jax.Array:
    moved = tokens.at[1:].set((tokens[1:] + 1) % DIGITS)
    return jnp.where(is_withheld(tokens, withheld, complexity), moved, tokens)


def withheld_input(
    key: jax.Array,
    withheld: int | jax.Array,
    complexity: int | jax.Array,
    boundary: str = "bounded",
) -> jax.Array:
    """Return one input int32[11] of the adversarial test set.

    Drawn as any input, and then its window is overwritten with one of the withheld permutations,
    all alike. `withheld` is at least 1.
    """
    input_key, number_key = jax.random.split(key)
    tokens = token_pvr.draw(input_key, complexity, boundary)
    # Of nothing withheld, whose examples nobody looks at, the first.
    number = jax.random.randint(number_key, (), 0, jnp.maximum(withheld, 1), jnp.int32)
    inside = jnp.arange(VALUES) <= complexity
    written = jnp.where(inside, permutation(number, complexity), token_pvr.window(tokens))
    return tokens.at[token_pvr.window_places(tokens)].set(written)


def description(withheld: int, complexity: int) -> str:
    """Return what is withheld, in words; "" for nothing."""
    if not withheld:
        return ""
    which = f"the first {withheld} permutations" if withheld > 1 else "the first permutation"
    if withheld == math.factorial(complexity + 1):
        which = "every permutation"
    return f"{which} of {', '.join(map(str, np.arange(complexity + 1)))}"
