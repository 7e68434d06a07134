"""Finding experiments: a folder of this package with a report.py is one."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

import experiments
from pvr_jax.refusal import Refusal

STAGES = ("train", "analyse", "predict", "report")
FRAMED = ("settings", "train", "analyse", "predict")  # what the frame does for an experiment


class UsageError(Refusal):
    """A mistake on the command line or in a configuration, in one line."""


def load_experiment(name: Any, module: str = "") -> Any:
    """Import `experiments.<name>.<module>`, or the package alone where no module is given.

    Raises:
        UsageError: there is no such experiment.
    """
    places = map(Path, experiments.__path__)
    known = sorted(path.parent.name for place in places for path in place.glob("*/report.py"))
    if not isinstance(name, str) or name not in known:
        raise UsageError(f"config.experiment: given {name!r}; allowed {', '.join(known)}")
    if module in FRAMED and importlib.util.find_spec(f"experiments.{name}.experiment"):
        from pvr_jax import frame  # a report is made without JAX

        own = importlib.import_module(f"experiments.{name}.experiment").EXPERIMENT
        return frame.bound(own)
    return importlib.import_module(".".join(filter(None, ["experiments", name, module])))


def check_data(config: ConfigDict) -> None:
    """Check that the data which a configuration asks for are there, before anything is imported.

    For experiments with a module `data`; its `check(config)` raises the one-line ValueError.
    """
    name = config.get("experiment")
    load_experiment(name)
    if importlib.util.find_spec(f"experiments.{name}.data") is not None:
        load_experiment(name, "data").check(config)


def stages_of(name: str, stage: str = "all") -> tuple[str, ...]:
    """Return the stages of an experiment that --stage=`stage` runs.

    An experiment has the stages of which its package has a module, in order.

    Raises:
        UsageError: there is no such experiment, or it has no such stage.
    """
    load_experiment(name)
    if importlib.util.find_spec(f"experiments.{name}.experiment"):
        known = load_experiment(name, "settings").stages
    else:
        known = tuple(s for s in STAGES if importlib.util.find_spec(f"experiments.{name}.{s}"))
    if stage not in ("all", *known):
        raise UsageError(f"--stage: given {stage}; allowed stages of {name}: {', '.join(known)}")
    return known if stage == "all" else (stage,)
