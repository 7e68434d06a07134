"""The models, each a pair of pure functions: `init(key, x) -> params`, `apply(params, x) -> y`."""

from pvr_jax.models.registry import Model, build, label, names, parameter_count, parameters

__all__ = ["Model", "build", "label", "names", "parameter_count", "parameters"]
