"""The files a run writes besides checkpoints: its lock, its metrics, its JSON documents."""

import contextlib
import fcntl
import json
import math
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

METRICS = "metrics.jsonl"


class RunError(RuntimeError):
    """A run cannot go on, for a reason its user can do something about; one line."""


class RunBusyError(RunError):
    """Another process works in the same run directory."""


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold the run directory for this process; the lock ends with the process, however it ends.

    Raises:
        RunBusyError: another process holds it; one line that names the process.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            raise RunBusyError(
                f"{directory} is in use by {holder}: wait for it, stop it, or give another "
                "--workdir"
            ) from error
        handle.seek(0)
        handle.truncate()
        handle.write(f"process {os.getpid()} on {socket.gethostname()}")
        handle.flush()
        yield


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: arrays as lists, numbers that are not finite as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, document: Any) -> None:
    """Write `document` to `path` so that no reader ever sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as handle:
        json.dump(plain(document), handle, indent=1, allow_nan=False)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write the .npz file `path` so that no reader ever sees half of it."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(temporary, **arrays)
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """Return the document at `path`."""
    return json.loads(path.read_text())


def append_metrics(directory: Path, record: dict[str, Any]) -> None:
    """Append one evaluation as one line to metrics.jsonl."""
    line = json.dumps(plain(record), allow_nan=False)
    with (directory / METRICS).open("a") as handle:
        handle.write(line + "\n")


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Return the complete lines of metrics.jsonl; a line cut off by a crash ends the reading."""
    path = directory / METRICS
    records: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return records


def rewind_metrics(directory: Path, step: int) -> float:
    """Drop every line from `step` on, and a half-written one: those evaluations are made again.

    Returns the training seconds that the last line up to `step` speaks of, 0 if there is none.
    """
    records = [record for record in read_metrics(directory) if record["step"] <= step]
    kept = [record for record in records if record["step"] < step]
    temporary = directory / f".{METRICS}.{os.getpid()}"
    temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))
    temporary.replace(directory / METRICS)
    return records[-1]["seconds"] if records else 0.0


def mark_done(directory: Path, stage: str) -> None:
    """Leave the marker of a finished stage; a rerun skips the stage."""
    (directory / f"{stage}.done").touch()


def is_done(directory: Path, stage: str) -> bool:
    """Return whether the stage has left its marker."""
    return (directory / f"{stage}.done").exists()
