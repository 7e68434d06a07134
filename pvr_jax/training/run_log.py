"""Files of a run besides checkpoints: lock, metrics, JSON documents."""

import contextlib
import fcntl
import itertools
import json
import math
import os
import socket
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

METRICS, RECORD, PARTS = "metrics.jsonl", "run.json", "parts.json"
# Errors raised by reading a file in an unexpected form.
DAMAGES = (
    *(KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError),
    *(EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError),
)


class RunError(RuntimeError):
    """One line: a run cannot continue, for a reason that the user can fix."""


class RunBusyError(RunError):
    """Another process uses the same run directory."""


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Lock the run directory; the lock is released when the process ends, in whatever way.

    Raises:
        RunBusyError: another process holds it; the message names the process.
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
    """Convert `value` for JSON: arrays become lists, nonfinite numbers None."""
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
    """Write `document` to `path` atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as handle:
        json.dump(plain(document), handle, indent=1, allow_nan=False)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """Return the document at `path`."""
    return json.loads(path.read_text())


@contextlib.contextmanager
def damage_named(path: Path, remedy: str) -> Iterator[None]:
    """Turn errors from reading a damaged file into one line that names it.

    Raises:
        RunError: the file cannot be read, or has an unexpected form.
    """
    try:
        yield
    except (OSError, *DAMAGES) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, OSError) and error.errno:
            reason = os.strerror(error.errno)
        reason = " ".join(reason.split()) or type(error).__name__
        raise RunError(f"damaged file {path}: {reason}; {remedy}") from error


def record_damage_named(directory: Path) -> contextlib.AbstractContextManager[None]:
    """Return `damage_named` of run.json."""
    remedy = (
        f"remove it and, where it is there, {directory / 'train.done'}, and give the same command "
        "again: the record is made anew from the last checkpoint"
    )
    return damage_named(directory / RECORD, remedy)


def read_record(directory: Path) -> dict[str, Any]:
    """Return run.json, the record of a run.

    Raises:
        RunError: it is damaged; the message says what to do.
    """
    with record_damage_named(directory):
        record = read_json(directory / RECORD)
        steps, stages = record.get("diverged", []), record["stages"]
        if not all(step is None or isinstance(step, int) for step in steps):
            raise TypeError("diverged holds more than steps")
        if len(steps) != len(record["replicas"]) and "diverged" in record:
            raise ValueError(f"{len(steps)} steps of {len(record['replicas'])} replicas")
        if "diverged" in record and not isinstance(stages["train"]["last_step"], int):
            raise TypeError("last_step is no whole number")
    return record


def append_metrics(directory: Path, record: dict[str, Any]) -> None:
    """Append one evaluation as one line to metrics.jsonl."""
    line = json.dumps(plain(record), allow_nan=False)
    with (directory / METRICS).open("a") as handle:
        handle.write(line + "\n")


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Return the readable lines of metrics.jsonl, with ascending steps and equal forms."""
    path = directory / METRICS
    records: list[dict[str, Any]] = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("seconds"), int | float):
                records += [_renamed(record)] if isinstance(record.get("step"), int) else []
    forms = list(map(_form, records))
    usual = Counter(forms).most_common(1)
    alike = [record for record, form in zip(records, forms, strict=True) if form == usual[0][0]]
    steps = [record["step"] for record in alike]
    highest = list(itertools.accumulate(steps, max, initial=-1))
    lowest = list(itertools.accumulate(reversed(steps), min, initial=math.inf))[::-1]
    # Of two lines in the wrong order, either may be the damaged one.
    return [
        record
        for record, step, before, after in zip(alike, steps, highest, lowest[1:], strict=False)
        if before < step < after
    ]


def _renamed(record: dict[str, Any]) -> dict[str, Any]:
    """Return a line of metrics with the mean batch loss as "batch_loss".

    Earlier versions called it "train_loss", unless the evaluation had a "train_loss" of its own.
    """
    if "batch_loss" in record or "train_loss" not in record:
        return record
    if isinstance(record.get("train_accuracy"), list):
        return record | {"batch_loss": [None] * len(record["train_accuracy"])}
    return {"batch_loss" if name == "train_loss" else name: v for name, v in record.items()}


def _form(record: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the names of a line of metrics and the shapes of its values."""
    try:
        return tuple((name, np.shape(record[name])) for name in sorted(record))
    except ValueError:  # rows of different lengths
        return ()


def lost_evaluations(
    directory: Path, records: Sequence[Mapping[str, Any]], expected: Iterable[int]
) -> str:
    """Return one line with the evaluations missing from metrics.jsonl, or "".

    `records` are its lines, `expected` the steps of all evaluations.
    """
    expected = sorted(expected)
    lost = sorted(set(expected) - {record["step"] for record in records})
    if not lost:
        return ""
    steps = ", ".join(map(str, lost[:10])) + (", …" if len(lost) > 10 else "")
    return (
        f"{directory / METRICS} is damaged: of {len(expected)} evaluations {len(lost)} are lost, "
        f"at step {steps}; to make them again, move {directory} away and give the same command"
    )


def rewind_metrics(directory: Path, step: int, evaluations: Iterable[int]) -> tuple[float, str]:
    """Drop all lines from `step` on, and partial ones; these evaluations will be repeated.

    Returns:
        The training seconds in the last line up to `step`, or 0, and one line about missing
        `evaluations` before `step`, or "".
    """
    records = [record for record in read_metrics(directory) if record["step"] <= step]
    kept = [record for record in records if record["step"] < step]
    lost = lost_evaluations(directory, kept, (each for each in evaluations if each < step))
    temporary = directory / f".{METRICS}.{os.getpid()}"
    temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))
    temporary.replace(directory / METRICS)
    return (records[-1]["seconds"] if records else 0.0), lost


def mark_done(directory: Path, stage: str) -> None:
    """Write the marker of a finished stage; a rerun skips the stage."""
    (directory / f"{stage}.done").touch()


def is_done(directory: Path, stage: str) -> bool:
    """Return whether the stage has its marker."""
    return (directory / f"{stage}.done").exists()
