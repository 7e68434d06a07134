"""Summaries of the Fourier spectrum of learned functions."""

import jax

from pvr_jax.boolean import fourier


def profile(learned: jax.Array, target: jax.Array, seen: jax.Array) -> dict[str, jax.Array]:
    """Return the degree profile [n + 1]: the Fourier mass of the learned function per degree."""
    return {"degree_profile": fourier.degree_profile(fourier.walsh_hadamard(learned))}
