"""Find experiments: the folders of this package with a report.py."""

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

import experiments
from pvr_jax.refusal import Refusal

if TYPE_CHECKING:  # reports do not need JAX
    from pvr_jax.experiment import Experiment

STAGES = ("train", "analyse", "predict", "report")


class UsageError(Refusal):
    """One line: a mistake on the command line or in a configuration."""


def names() -> list[str]:
    """Return the names of all experiments."""
    places = map(Path, experiments.__path__)
    return sorted(path.parent.name for place in places for path in place.glob("*/report.py"))


def load(name: Any, module: str) -> Any:
    """Import `experiments.<name>.<module>`.

    Raises:
        UsageError: there is no such experiment.
    """
    known = names()
    if not isinstance(name, str) or name not in known:
        raise UsageError(f"config.experiment: given {name!r}; allowed {', '.join(known)}")
    return importlib.import_module(f"experiments.{name}.{module}")


def experiment_of(config: ConfigDict) -> "Experiment":
    """Return the experiment of a configuration.

    Raises:
        UsageError: there is no such experiment.
    """
    return load(config.get("experiment"), "experiment").EXPERIMENT


def check_data(config: ConfigDict) -> None:
    """Check, before importing anything, that the data of a configuration exist.

    Calls `check(config)` of the experiment's module `data`, if any, which raises a one-line error.
    """
    name = config.get("experiment")
    if name in names() and importlib.util.find_spec(f"experiments.{name}.data") is not None:
        load(name, "data").check(config)


def stages_of(config: ConfigDict, stage: str = "all") -> tuple[str, ...]:
    """Return the stages that --stage=`stage` runs for a configuration, in order.

    Raises:
        UsageError: there is no such experiment, or it has no such stage.
    """
    known = experiment_of(config).stages
    if stage not in ("all", *known):
        name = config.experiment
        raise UsageError(f"--stage: given {stage}; allowed stages of {name}: {', '.join(known)}")
    return known if stage == "all" else (stage,)
