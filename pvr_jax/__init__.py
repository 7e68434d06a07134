"""How neural networks generalize to inputs that training never showed.

Subpackages: `boolean` (functions on {-1, +1}^n), `tasks` (what to learn), `models` (networks),
`training` (many replicas in one program), `theory` (predictions), `analysis` (measures of learned
functions), `results` (labeled data) and `reporting` (tables, charts, pages). `run` runs a whole
experiment; `load_params` loads the parameters of a run. Subpackages, and JAX, are imported on first
use.

>>> import pvr_jax
>>> trained = pvr_jax.load_params("RUN")  # a run directory, here of two replicas
>>> trained.step, trained.names
(10, ('bit0-seed0', 'bit0-seed1'))
>>> trained.of("bit0-seed1")["kernel"].shape  # for the model's `apply`
(3, 2)

`pvr_jax.builders` (data sets for other frameworks) must be imported by name.

Raises:
    ImportError: on Windows; the message says what to use instead.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvr_jax.frame import run_all as run
    from pvr_jax.training.parameters import load_params

__version__ = "0.1.0"

if sys.platform == "win32":
    _complaint = (
        "platform: given Windows; allowed Linux, macOS: on Windows use WSL, the Linux inside it: "
        "wsl --install"
    )
    if sys.argv[:1] == ["-m"]:  # `python -m experiments.main` on its way to the command
        print(f"error: {_complaint}", file=sys.stderr)
        sys.exit(2)
    raise ImportError(_complaint)

ROOMS = ("analysis", "boolean", "models", "reporting", "results", "tasks", "theory", "training")
FUNCTIONS = {"run": ("frame", "run_all"), "load_params": ("training.parameters", "load_params")}
__all__ = ["load_params", "run", *ROOMS]


def __getattr__(name: str) -> Any:
    if name in FUNCTIONS:
        module, function = FUNCTIONS[name]
        return getattr(importlib.import_module(f"pvr_jax.{module}"), function)
    if name in ROOMS:
        return importlib.import_module(f"pvr_jax.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
