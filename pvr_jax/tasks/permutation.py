"""A random permutation that is evaluated at given positions, without listing it."""

import jax
import jax.numpy as jnp

# An entry is still unmoved after r rounds with probability 2^-r.
ROUNDS = 32


def permuted(key: jax.Array, positions: jax.Array, size: int) -> jax.Array:
    """Return the images of positions under a random permutation of 0..size-1.

    positions int32[...] in 0..size-1 -> int32[...] in 0..size-1, size up to 2^30; one key is one
    permutation. A batch of 64 rows costs 64 evaluations of some hundred operations each, while
    sorting random numbers would cost all `size` rows at every step. Each round reflects the numbers
    about a random center and swaps each pair or not by a random bit, so it is its own inverse, and
    needs no data-dependent loop.

    Source: Hoang, Morris and Rogaway 2012, "An enciphering scheme based on a card shuffle".
    """
    center_key, bit_key = jax.random.split(key)
    centers = jax.random.randint(center_key, (ROUNDS,), 0, size, jnp.int32)
    words = jax.random.bits(bit_key, (ROUNDS,), jnp.uint32)

    def one_round(turn: int, numbers: jax.Array) -> jax.Array:
        difference = centers[turn] - numbers
        partners = jnp.where(difference < 0, difference + size, difference)
        # Both numbers of a pair need the same bit: that of the larger one.
        larger = jnp.maximum(numbers, partners).astype(jnp.uint32)
        is_swapped = _mixed(larger ^ words[turn]) >> 31 == 1
        return jnp.where(is_swapped, partners, numbers)

    return jax.lax.fori_loop(0, ROUNDS, one_round, positions.astype(jnp.int32))


def _mixed(words: jax.Array) -> jax.Array:
    """Scramble uint32 words so that each bit depends on all (the finalizer of MurmurHash3)."""
    words = (words ^ (words >> 16)) * jnp.uint32(0x85EBCA6B)
    words = (words ^ (words >> 13)) * jnp.uint32(0xC2B2AE35)
    return words ^ (words >> 16)
