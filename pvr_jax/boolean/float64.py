"""Double precision, and Fourier transforms of host arrays.

Theory and analysis need double precision, which JAX disables by default; `exact` enables it.
"""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.boolean import fourier

# Rounding of a coefficient, relative to the largest value: fifty times the spacing of float64.
ROUNDING = 1e-14


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Enable float64 in a block, or in every call of a decorated function.

    In this thread only; training in float64, whose checkpoints are read by other threads, uses
    `training.environment.arithmetic`.
    """
    with jax.enable_x64(True):
        yield


@exact()
def spectrum(values: np.ndarray) -> np.ndarray:
    """Fourier coefficients in float64: values [..., 2^n] to coefficients [..., 2^n]."""
    return np.asarray(fourier.walsh_hadamard(jnp.asarray(values, jnp.float64)))


def exact_spectrum(values: np.ndarray) -> np.ndarray:
    """Fourier coefficients of a function given by its values [2^n], rounded to float64.

    Coefficients within rounding of 0 become 0: 0.1 x0 + 0.3 x1 x2 gets no influences of 1e-35.
    """
    coefficients = spectrum(values)
    return np.where(np.abs(coefficients) > ROUNDING * np.abs(values).max(), coefficients, 0.0)


@exact()
def values_of(coefficients: np.ndarray) -> np.ndarray:
    """Values in float64: coefficients [..., 2^n] to values [..., 2^n]."""
    return np.asarray(fourier.inverse_walsh_hadamard(jnp.asarray(coefficients, jnp.float64)))


def scaled_by_degree(values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Multiply the part of each degree d by factors[d]: values [..., 2^n], factors [n + 1]."""
    sizes = np.bitwise_count(np.arange(values.shape[-1]))
    return values_of(spectrum(values) * factors[sizes])


def of_degree(values: np.ndarray, degree: int) -> np.ndarray:
    """The part of one degree of functions: values [..., 2^n] to values [..., 2^n]."""
    n = int(values.shape[-1]).bit_length() - 1
    return scaled_by_degree(values, np.arange(n + 1) == degree)
