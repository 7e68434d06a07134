"""The frame of every stage: the configuration is checked, its run directory found, the work done.

An experiment hands its module `settings`, which has `validate(config)`, `identity(config)` and
`run_name(config)`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from ml_collections import ConfigDict

from pvr_jax.training import run


class Settings(Protocol):
    """What the module `settings` of an experiment has to define."""

    def validate(self, config: ConfigDict) -> None:
        """Raise ValueError, one line, for a configuration that cannot be."""

    def identity(self, config: ConfigDict) -> str:
        """Return what has to be the same for a checkpoint to go on."""

    def run_name(self, config: ConfigDict) -> str:
        """Return the name of the run directory, `<task>-<model>-<8 hex>`."""


def run_directory(settings: Settings, config: ConfigDict, workdir: Path) -> Path:
    """Return the directory of a configuration's run, `workdir/<experiment>/<run name>`."""
    return Path(workdir) / config.experiment / settings.run_name(config)


def train(
    settings: Settings, config: ConfigDict, workdir: Path, plan: Callable[[ConfigDict], run.Plan]
) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    `plan` returns what is trained, and when what happens. Returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        RunError: the directory is in use, a checkpoint cannot be written, or a signal came.
    """
    settings.validate(config)
    directory = run_directory(settings, config, workdir)
    run.train_run(directory, config.to_dict(), settings.identity(config), partial(plan, config))
    return directory


def follow(
    settings: Settings,
    config: ConfigDict,
    workdir: Path,
    stage: run.Stage,
    work: Callable[[ConfigDict, Path], None],
) -> Path:
    """Do a stage after training, unless it is done; returns the run directory.

    `work` writes the stage's files into the directory it is given.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the stage before is not done.
        RunError: the directory is in use.
    """
    settings.validate(config)
    directory = run_directory(settings, config, workdir)
    run.later_stage(directory, stage, config.train.dtype, partial(work, config, directory))
    return directory
