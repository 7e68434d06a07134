"""Finding and reading the result files of runs."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pvr_jax.number_text import exact
from pvr_jax.refusal import Refusal
from pvr_jax.reporting.runs import Replica

MEASURES_FILE = "measures.json"
PREDICTIONS_FILE = "predictions.json"
EXAMPLES_FILE = "examples.npz"
# Its predicted error is in measures.json.
INFLUENCE = "influence"
_STAGE_OF = {MEASURES_FILE: "analyse", EXAMPLES_FILE: "analyse", PREDICTIONS_FILE: "predict"}
# What reading a document of another form than expected raises.
DAMAGES = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
RUN_FILES = (
    "config.json",
    "run.json",
    "metrics.jsonl",
    MEASURES_FILE,
    "measures.nc",
    "checkpoints",
)


def run_directories(experiment: Path) -> list[Path]:
    """Return the directories of an experiment that hold a run, finished or not, by name."""
    if not experiment.is_dir():
        return []
    return [
        d
        for d in sorted(experiment.iterdir())
        if d.is_dir() and any((d / name).exists() for name in RUN_FILES)
    ]


def runs_of(root: Path, experiment: str, example: str) -> tuple[list[Path], list[str]]:
    """Return the directories of an experiment's finished runs, and the names of the unfinished.

    A run is finished when it has its measures.

    Args:
        root: WORKDIR/<experiment>, or the directory of one finished run.
        experiment: its name, for the message.
        example: a configuration of it that a user without any run may begin with.

    Raises:
        FileNotFoundError: there is no run at all.
    """
    root = Path(root)
    directories = [root] if (root / MEASURES_FILE).exists() else run_directories(root)
    if not directories:
        raise FileNotFoundError(
            f"no run found in {root}: expected WORKDIR/{experiment} with directories "
            f"<task>-<model>-<8 hex> in it; make one with: ./launch.sh run {example} "
            f"--workdir={root.parent}"
        )
    return by_state(directories)


def by_state(directories: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the directories of runs that have their measures, and the names of the others."""
    finished = [d for d in directories if (d / MEASURES_FILE).exists()]
    unfinished = [d.name for d in directories if not (d / MEASURES_FILE).exists()]
    return finished, unfinished


def variants_of(replicas: list[Replica]) -> list[tuple[str, list[int]]]:
    """Return, per learning rate and init scale, the words for it and the replicas' indices.

    The words name only what differs, so they are empty when nothing does.
    """
    settings = [(r.learning_rate, r.init_scale) for r in replicas]
    differing = [len({setting[i] for setting in settings}) > 1 for i in (0, 1)]
    names = ("learning rate", "init scale")
    found = []
    for setting in sorted(set(settings), key=lambda s: [(v is not None, v or 0.0) for v in s]):
        words = [
            f"{name} unknown" if value is None else f"{name} {exact(value)}"
            for name, value, differs in zip(names, setting, differing, strict=True)
            if differs
        ]
        found.append((", ".join(words), [i for i, s in enumerate(settings) if s == setting]))
    return found or [("", [])]


def array_of(values: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return values of a document as an array of the expected shape, null as NaN.

    Raises ValueError for another shape; `name` is what the message calls the values.
    """
    array = np.array(values, dtype=float)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {list(array.shape)}, expected {list(shape)}")
    return array


def read_json(path: Path, optional: bool = False) -> dict[str, Any]:
    """Return the JSON object in a file; with `optional`, {} where there is no file.

    Raises ValueError naming a file that is damaged.
    """
    if optional and not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # OSError: a directory, say
        raise damaged(path, error) from error
    if not isinstance(document, dict):
        raise damaged(path, TypeError("not a JSON object"))
    return document


def damaged(path: Path, error: Exception) -> Refusal:
    """Return the one-line error about a file that has not the content it should have."""
    reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
    if isinstance(error, OSError) and error.errno:
        reason = os.strerror(error.errno)
    return Refusal(f"damaged file {path}: {reason}; {_remedy(path)}")


def _remedy(path: Path) -> str:
    workdir = path.parent.parent.parent
    if path.name in _STAGE_OF:
        stage = _STAGE_OF[path.name]
        return (
            f"delete it and {stage}.done beside it, then give the run's command again (run.json "
            "has it): ./launch.sh run CONFIG "
            f"--stage={stage} --workdir={workdir}"
        )
    return (
        f"move {path.parent} away and give the run's command again: ./launch.sh run CONFIG "
        f"--workdir={workdir}"
    )
