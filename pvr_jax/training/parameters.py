"""Load the parameters of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pvr_jax.refusal import Refusal
from pvr_jax.training import run_log
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints


@dataclass(frozen=True)
class Parameters:
    """The parameters of all replicas of a run at one step.

    `params` is a tree as from the model's `init`, whose leaves are NumPy arrays [R, ...] in the
    dtype of training, in the order of `names` [R].
    """

    names: tuple[str, ...]
    step: int
    params: Any

    def of(self, name: str) -> Any:
        """Return the parameters of one replica, without the axis R.

        Raises:
            ValueError: no replica has this name.
        """
        if name not in self.names:
            raise Refusal(f"replica: given {name!r}; allowed {', '.join(self.names)}")
        return jax.tree.map(lambda leaf: leaf[self.names.index(name)], self.params)

    def for_replicas(self, names: Sequence[str]) -> Any:
        """Return the parameters [R, ...] for replicas with these names.

        Each gets those of the replica of the same name, else of the only one of the same seed.

        Raises:
            Refusal: there is none, or several; the message starts with "start".
        """
        rows = []
        for name in names:
            seed = name.rpartition("-")[2]
            alike = [own for own in self.names if own == name]
            alike = alike or [own for own in self.names if own.rpartition("-")[2] == seed]
            if len(alike) != 1:
                raise Refusal(
                    f"start: given a run with {len(alike)} replicas for {name}; allowed one with a "
                    f"replica of that name, or one of each seed; it has {', '.join(self.names)}"
                )
            rows.append(self.names.index(alike[0]))
        return jax.tree.map(lambda leaf: leaf[np.array(rows)], self.params)


def load_params(run: str | Path, step: int | None = None) -> Parameters:
    """Load the parameters of all replicas of a run.

    They load in any process, on any devices. The checkpoints of cells of a sweep that were trained
    together are those of the pack; replicas that a run shares with earlier ones are read there.

    Args:
        run: a run directory, such as runs/EXPERIMENT/pvr_majority-mlp-4c3645f3.
        step: step of a checkpoint (an epoch, for a curriculum); None: the last. A run keeps
            log-spaced steps and the two newest.

    Raises:
        Refusal: no run directory, or no checkpoint at this step.
        CheckpointError: the checkpoint is damaged or from another run; the message lists others.
    """
    directory = Path(run).expanduser().resolve()
    if (directory / run_log.PARTS).is_file():
        parts = [_load_some(*part, step) for part in _parts(directory)]
        if len({part.step for part in parts}) > 1:
            there = ", ".join(str(part.step) for part in parts)
            raise CheckpointError(f"{directory}: its parts have checkpoints of the steps {there}")
        params = jax.tree.map(lambda *own: np.concatenate(own), *(part.params for part in parts))
        return Parameters(sum((part.names for part in parts), ()), parts[0].step, params)
    if not (directory / "run.json").is_file():
        below = [*directory.glob("*/run.json"), *directory.glob("*/*/run.json")]
        instead = "".join(f", such as {path.parent}" for path in below[:1])
        raise Refusal(f"run: given {run}; allowed a directory that holds run.json{instead}")
    return _load(directory, step)


def _parts(directory: Path) -> list[tuple[Path, list[str]]]:
    """Return the directories that have the replicas of a run, and the replicas' names there."""
    path = directory / run_log.PARTS
    with run_log.damage_named(path, "give the command that made the run again"):
        document = run_log.read_json(path)
        others = [(directory.parent / name, own) for name, own in document["others"].items()]
        return [*others, (directory, document["own"])] if document["own"] else others


def _load_some(directory: Path, names: list[str], step: int | None) -> Parameters:
    found = _load(directory, step)
    rows = np.array([found.names.index(name) for name in names])
    return Parameters(tuple(names), found.step, jax.tree.map(lambda leaf: leaf[rows], found.params))


def _load(directory: Path, step: int | None) -> Parameters:
    """Load what is in the checkpoints of a run directory, or for a cell in those of its pack."""
    record = _record(directory)
    names = own = saved = record["replicas"]
    if "pack" in record:
        own = [f"{directory.name}/{name}" for name in names]
        directory = directory.parents[1] / "packs" / record["pack"]
        saved = _record(directory)["replicas"]
        if not set(own) <= set(saved):
            raise CheckpointError(f"{directory / 'run.json'} does not name {', '.join(own)}")
    with Checkpoints(directory / "checkpoints", read_only=True) as checkpoints:
        steps = checkpoints.steps()
        there = f"{directory} has checkpoints of the steps {', '.join(map(str, steps)) or '–'}"
        if step is None and steps:
            step = steps[-1]
        if step not in steps:
            raise Refusal(f"step: given {step!r}; {there}")
        try:
            params = checkpoints.load_arrays(step, len(saved))
        except CheckpointError as error:
            raise CheckpointError(f"{error}; {there}") from error
    if own is not saved:
        rows = np.array([saved.index(name) for name in own])
        params = jax.tree.map(lambda leaf: leaf[rows], params)
    return Parameters(tuple(names), int(step), params)


def _record(directory: Path) -> dict[str, Any]:
    """Return run.json, whose "replicas" are the names of replicas."""
    path = directory / "run.json"
    try:
        record = run_log.read_json(path)
        return record | {"replicas": list(record["replicas"])}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
