"""Models as pure functions: `init(key, x) -> params`, `apply(params, x) -> y`, `activations`."""

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
