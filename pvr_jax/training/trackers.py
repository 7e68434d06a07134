"""Evaluations as TensorBoard and Weights & Biases show them: copies of a run's metrics.jsonl.

Every process that trains a run makes the copy anew, from the first evaluation on. So it has each
step once, however often the run was killed, and also the steps from before anyone asked for it.
"""

import contextlib
import importlib.util
import os
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pvr_jax.refusal import Refusal, did_you_mean
from pvr_jax.training import run_log

# Takes an evaluation, a line of metrics.jsonl.
Tracker = Callable[[Mapping[str, Any]], None]
PROJECT = "pvr_jax"
MAX_CURVES = 16  # of replicas, beside their mean


def named(text: str, installed: bool = True) -> tuple[str, ...]:
    """Return the trackers that a text names, such as "tensorboard,wandb"; "" names none.

    Raises:
        Refusal: there is no such tracker, or, where they have to be `installed`, not its library;
            begins with "log".
    """
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    for name in names:
        if name not in TRACKERS:
            hint = did_you_mean(name, TRACKERS, str)
            raise Refusal(f"log: given {name!r}; allowed {', '.join(TRACKERS)}{hint}")
        # A folder of this name in the working directory is found, and has no origin.
        if installed and getattr(importlib.util.find_spec(name), "origin", None) is None:
            raise Refusal(
                f"log: given {name}, which is not installed; allowed after ./launch.sh setup log, "
                f"or pip install {name}"
            )
    return names


def curves(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the points of an evaluation: of each curve, its values by measure.

    The curve "mean" is over the replicas whose value is finite. Of up to `MAX_CURVES` replicas
    each has a curve too, by its name. Measures with dimensions of their own are left out.
    """
    table = {
        measure: np.asarray(values, float)
        for measure, values in record.items()
        if np.shape(values) == (len(names),)
    }
    finite = {measure: values[np.isfinite(values)] for measure, values in table.items()}
    found = {"mean": {measure: float(own.mean()) for measure, own in finite.items() if own.size}}
    for row, name in enumerate(names if len(names) <= MAX_CURVES else ()):
        own = {measure: float(values[row]) for measure, values in table.items()}
        found[name] = {measure: value for measure, value in own.items() if np.isfinite(value)}
    return found


@contextlib.contextmanager
def tensorboard(directory: Path, names: Sequence[str], config: Any) -> Iterator[Tracker]:
    """Yield what writes RUN/tensorboard/, a folder per curve: TensorBoard overlays these."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writers: dict[str, EventFileWriter] = {}
    # At this TensorBoard forgets the files of earlier processes. Without them one that is open
    # would show nothing more.
    start = SessionLog(status=SessionLog.START)

    def track(record: Mapping[str, Any]) -> None:
        for curve, values in curves(record, names).items():
            if curve not in writers:
                writers[curve] = EventFileWriter(str(directory / "tensorboard" / curve))
                held.callback(writers[curve].close)
                writers[curve].add_event(Event(wall_time=time.time(), step=0, session_log=start))
            points = [Summary.Value(tag=name, simple_value=own) for name, own in values.items()]
            event = Event(wall_time=time.time(), step=record["step"], summary=Summary(value=points))
            writers[curve].add_event(event)
            writers[curve].flush()

    with contextlib.ExitStack() as held:
        yield track


@contextlib.contextmanager
def wandb(directory: Path, names: Sequence[str], config: Any) -> Iterator[Tracker]:
    """Yield what logs to Weights & Biases: online where its environment variables say so.

    Those are WANDB_API_KEY and WANDB_MODE. Otherwise RUN/wandb/ holds it, for `wandb sync`.

    Raises:
        RunError: W&B cannot begin; one line.
    """
    key = os.environ.get("WANDB_API_KEY")
    mode = os.environ.get("WANDB_MODE") or ("online" if key else "offline")
    if mode == "offline":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    place = directory / "wandb"
    place.mkdir(exist_ok=True)
    for old in place.glob("offline-run-*"):
        shutil.rmtree(old)
    # A synced run of the same identity is replaced, an online one is resumed.
    identity = place / "id"
    if not identity.is_file():
        identity.write_text(uuid.uuid4().hex[:8])
    try:
        begun = wandb.init(
            dir=directory,
            mode=mode,
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=directory.parent.name,
            name=directory.name,
            id=identity.read_text(),
            resume="allow" if mode == "online" else None,
            config=config,
            settings=wandb.Settings(console="off", silent=True, disable_git=True, save_code=False),
        )
    except wandb.errors.Error as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise run_log.RunError(f"--log=wandb: {reason}; WANDB_MODE=offline does without") from error

    def track(record: Mapping[str, Any]) -> None:
        if record["step"] < begun.starting_step:
            return
        points = {
            f"{measure}/{curve}": value
            for curve, values in curves(record, names).items()
            for measure, value in values.items()
        }
        begun.log(points, step=record["step"], commit=True)

    with begun:
        yield track


TRACKERS = {"tensorboard": tensorboard, "wandb": wandb}


def commands(log: Sequence[str], directory: Path) -> list[str]:
    """Return what to type to see what trackers have written to a run directory."""
    places = {"tensorboard": [directory], "wandb": [*(directory / "wandb").glob("offline-run-*")]}
    arguments = {"tensorboard": "tensorboard.main --logdir", "wandb": "wandb sync"}
    python = shlex.quote(sys.executable)  # whose environment may not be active
    return [
        f"{python} -m {arguments[name]} {shlex.quote(str(own))}"
        for name in log
        for own in places[name]
    ]


@contextlib.contextmanager
def opened(
    log: Sequence[str], directory: Path, names: Sequence[str], config: Any
) -> Iterator[Tracker]:
    """Yield what hands evaluations to trackers.

    Args:
        log: names of trackers.
        directory: the run directory.
        names: of the replicas.
        config: the configuration, a document.
    """
    with contextlib.ExitStack() as held:
        each = [held.enter_context(TRACKERS[name](directory, names, config)) for name in log]

        def track(record: Mapping[str, Any]) -> None:
            for own in each:
                own(record)

        yield track


def copy(log: Sequence[str], directory: Path, config: Any) -> None:
    """Hand all evaluations of a trained run to trackers."""
    if log:
        names = run_log.read_record(directory)["replicas"]
        with opened(log, directory, names, config) as track:
            for record in run_log.read_metrics(directory):
                track(record)
