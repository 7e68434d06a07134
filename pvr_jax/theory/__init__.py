"""Exact predictions of what a trained network becomes."""

from pvr_jax.theory.linear import linear_regression_error

__all__ = ["linear_regression_error"]
