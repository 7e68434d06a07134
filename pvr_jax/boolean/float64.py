"""Fourier transforms of host arrays in float64.

Theory and analysis are exact only in double precision, which JAX leaves off by default: here it is
switched on for the one call that needs it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.boolean import fourier


def spectrum(values: np.ndarray) -> np.ndarray:
    """Fourier coefficients in float64: values [..., 2^n] to coefficients [..., 2^n]."""
    with jax.enable_x64(True):
        return np.asarray(fourier.walsh_hadamard(jnp.asarray(values, jnp.float64)))


def values_of(coefficients: np.ndarray) -> np.ndarray:
    """Values in float64: coefficients [..., 2^n] to values [..., 2^n]."""
    with jax.enable_x64(True):
        return np.asarray(fourier.inverse_walsh_hadamard(jnp.asarray(coefficients, jnp.float64)))


def scaled_by_degree(values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Multiply the part of each degree d by factors[d]: values [..., 2^n], factors [n + 1]."""
    sizes = np.bitwise_count(np.arange(values.shape[-1]))
    return values_of(spectrum(values) * factors[sizes])


def of_degree(values: np.ndarray, degree: int) -> np.ndarray:
    """The part of one degree of functions: values [..., 2^n] to values [..., 2^n]."""
    n = int(values.shape[-1]).bit_length() - 1
    return scaled_by_degree(values, np.arange(n + 1) == degree)
