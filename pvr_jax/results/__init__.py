"""Labeled results: datasets, studies and their statistics. No JAX.

from pvr_jax import results

study = results.open("runs/EXPERIMENT")
study.final()                     # a row per replica
study.curve("degree_profile")     # a row per step, replica and degree
study.array("degree_profile")     # the same as a labeled array
"""

from pvr_jax.results.contract import (
    MEASURES_FILE,
    PREDICTIONS_FILE,
    Measure,
    check,
    dataset,
    read,
    write,
)
from pvr_jax.results.study import Study, open_study

open = open_study  # results.open reads as xarray.open_dataset does

__all__ = [
    "MEASURES_FILE",
    "PREDICTIONS_FILE",
    "Measure",
    "Study",
    "check",
    "dataset",
    "open",
    "read",
    "write",
]
