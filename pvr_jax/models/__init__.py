"""The models, each a pair of pure functions: `init(key, x) -> params`, `apply(params, x) -> y`."""

from pvr_jax.models.registry import (
    Model,
    build,
    build_classifier,
    classifier_names,
    classifier_parameters,
    label,
    names,
    parameter_count,
    parameters,
)

__all__ = [
    "Model",
    "build",
    "build_classifier",
    "classifier_names",
    "classifier_parameters",
    "label",
    "names",
    "parameter_count",
    "parameters",
]
