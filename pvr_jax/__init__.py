"""How neural networks generalize to inputs that training never showed.

The rooms: `boolean` analyses functions on {-1, +1}^n, `tasks` say what to learn, `models` with
what, `training` trains many replicas and keeps them, `theory` predicts, `analysis` measures what
was learned, `reporting` shows it. `load_params` returns the parameters of a run. Importing this
package imports none of them, and not JAX: each is imported when it is first used.

`pvr_jax.builders`, data sets for other frameworks, has to be imported by name.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvr_jax.training.parameters import load_params

__version__ = "0.1.0"

ROOMS = ("analysis", "boolean", "models", "reporting", "tasks", "theory", "training")
__all__ = ["load_params", *ROOMS]


def __getattr__(name: str) -> Any:
    if name == "load_params":
        return importlib.import_module("pvr_jax.training.parameters").load_params
    if name in ROOMS:
        return importlib.import_module(f"pvr_jax.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
