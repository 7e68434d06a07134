"""Exact predictions of the functions that networks learn."""

from pvr_jax.theory.degree_temperature import degree_temperature, noise_kernel_interpolator
from pvr_jax.theory.empirical_kernel import empirical_kernel, mean_empirical_kernel, symmetrized
from pvr_jax.theory.kernel_features import symmetric_interpolator, symmetric_kernel
from pvr_jax.theory.kernel_limit import (
    feature_interpolator,
    kernel_error,
    kernel_influences,
    kernel_interpolator,
)
from pvr_jax.theory.linear import conserved_quantity, linear_regression_error
from pvr_jax.theory.min_degree import (
    TooManyPointsError,
    hilbert_function,
    min_degree_interpolator,
)
from pvr_jax.theory.rational import exact_min_degree_interpolator
from pvr_jax.theory.wide_networks import erf_kernel_eigenvalues, relu_kernel_eigenvalues

__all__ = [
    "TooManyPointsError",
    "conserved_quantity",
    "degree_temperature",
    "empirical_kernel",
    "erf_kernel_eigenvalues",
    "exact_min_degree_interpolator",
    "feature_interpolator",
    "hilbert_function",
    "kernel_error",
    "kernel_influences",
    "kernel_interpolator",
    "linear_regression_error",
    "mean_empirical_kernel",
    "min_degree_interpolator",
    "noise_kernel_interpolator",
    "relu_kernel_eigenvalues",
    "symmetric_interpolator",
    "symmetric_kernel",
    "symmetrized",
]
