"""The training loop: advance, evaluate, save, and stop on signals."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.training import hosts, run_log
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.progress import ProgressDisplay, describe_duration
from pvr_jax.training.replicas import to_host
from pvr_jax.training.state import State

# Duration of a dispatch: short enough to react to SIGTERM, and long enough to take several steps of
# each replica in turn, which find it in cache. (264 of the paper's MLP on 2 cores: 140
# replica-steps/s with one step in a dispatch, 180 with two, 190 with four, 220 with eight.)
DISPATCH_SECONDS = 10.0
# Signals wait for the end of a dispatch or an evaluation. The state is saved before one that takes
# longer than this, so a machine that is preempted with 30 s of notice loses only that one.
LONG_SECONDS = 10.0


class InterruptedRun(run_log.RunError):
    """The run was stopped by the signal `signal_number`; its state is saved.

    Only the primary process has a message.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


@dataclass(frozen=True)
class Schedule:
    """When a run evaluates and which checkpoints it keeps; the last step is always in both."""

    total: int
    evaluations: frozenset[int]
    kept: frozenset[int]
    save_every_seconds: float = 60.0

    def next_stop(self, step: int) -> int:
        """Return the first step after `step` with an evaluation or a checkpoint."""
        return min(stop for stop in self.evaluations | self.kept | {self.total} if stop > step)


class Timing(NamedTuple):
    """Seconds of this process: compiling, training, evaluating, saving."""

    first_step: int
    last_step: int
    compile_seconds: float
    train_seconds: float
    evaluate_seconds: float
    save_seconds: float
    replica_steps_per_second: float | None


class Result(NamedTuple):
    """The result of a run: the step at which each replica diverged (or None), and the times."""

    diverged: list[int | None]
    timing: Timing


def logarithmic_steps(first: int, total: int, count: int) -> tuple[int, ...]:
    """Return 0 and about `count` - 1 log-spaced steps from `first` to `total`."""
    spaced = np.geomspace(min(first, total), total, num=max(count - 1, 1))
    return tuple(sorted({0, total, *(round(step) for step in spaced)}))


@contextlib.contextmanager
def listen(*signals: int) -> Iterator[list[int]]:
    """Record the given signals instead of terminating; restore the previous handlers on exit.

    Only the main thread may set handlers; in other threads this has no effect.
    """
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    previous = {
        number: signal.signal(number, lambda received, _: heard.append(received))
        for number in signals
    }
    try:
        yield heard
    finally:
        for number, handler in previous.items():
            # None: the handler was not set from Python and cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Clock:
    """Adds up seconds per activity; `before` are the training seconds of earlier processes."""

    def __init__(self) -> None:
        self.before = 0.0
        self.seconds = {"compile": 0.0, "train": 0.0, "evaluate": 0.0, "save": 0.0}
        self.longest = dict(self.seconds)  # at once

    @contextlib.contextmanager
    def measure(self, activity: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        elapsed = time.perf_counter() - begin
        self.seconds[activity] += elapsed
        self.longest[activity] = max(self.longest[activity], elapsed)

    def timing(self, first_step: int, last_step: int, replicas: int) -> Timing:
        trained = (last_step - first_step) * replicas
        rate = trained / self.seconds["train"] if self.seconds["train"] else None
        return Timing(
            first_step=first_step,
            last_step=last_step,
            replica_steps_per_second=rate,
            **{f"{activity}_seconds": round(total, 3) for activity, total in self.seconds.items()},
        )


def restore_or_start(
    ensemble: Ensemble, checkpoints: Checkpoints, say: Callable[[str], None]
) -> State:
    """Return the newest usable checkpoint, else the initial state."""
    state, passed_over = checkpoints.restore(ensemble.shapes(padded=True), ensemble.count)
    for message in passed_over:
        say(f"warning: {message}; using the one before it")
    if state is None:
        return ensemble.start()
    say(f"continuing from the checkpoint at step {step_of(state)}")
    return state


def step_of(state: State) -> int:
    """Return the current step of the replicas."""
    return int(to_host(state.step, 1)[0])


def train(
    ensemble: Ensemble,
    schedule: Schedule,
    checkpoints: Checkpoints,
    directory: Path,
    display: ProgressDisplay,
    names: list[str],
    track: Callable[[Mapping[str, Any]], None] | None = None,
) -> Result:
    """Train all replicas from the newest checkpoint to the last step.

    Writes metrics.jsonl (one line per evaluation) and checkpoints. The result does not depend on
    interruptions.

    Args:
        ensemble: the replicas and their programs.
        schedule: when to evaluate and save.
        checkpoints: where the state is saved.
        directory: the run directory.
        display: where progress is shown.
        names: names of the replicas [R], for messages.
        track: takes every evaluation, those of earlier processes too; on the primary alone.

    Raises:
        InterruptedRun: SIGTERM or SIGINT arrived; the state is saved.
        CheckpointError: a checkpoint could not be written.
    """
    clock = _Clock()
    with listen(signal.SIGTERM, signal.SIGINT) as heard:
        with clock.measure("compile"):
            state = restore_or_start(ensemble, checkpoints, display.say)
            first_step = step = step_of(state)
            # Takes no step: compiles the program of all later dispatches.
            state = jax.block_until_ready(ensemble.advance(state, step, step))
            ensemble = ensemble.with_compiled_evaluation(state)
        display.say(f"compiled in {describe_duration(clock.seconds['compile'])}")
        evaluations = schedule.evaluations | {0, schedule.total}
        rewound = partial(run_log.rewind_metrics, directory, step, evaluations)
        clock.before, lost = hosts.on_primary(rewound) or (0.0, "")
        if lost:
            display.say(f"warning: {lost}")
        if track:
            for record in run_log.read_metrics(directory):
                track(record)
        diverged = _report_divergence(state, names, set(), display.say)
        # A state is saved before it is evaluated, since evaluations may take long. So the
        # evaluation at the step of a checkpoint is repeated.
        if step == 0:
            _save(ensemble, state, checkpoints, clock)
        last_save = time.monotonic()
        (stopped_by,) = hosts.largest(heard[0] if heard else 0)
        if stopped_by:
            raise _interruption(int(stopped_by), step, schedule.total)
        if step in schedule.evaluations | {0, schedule.total}:
            state = _evaluate(ensemble, state, directory, clock, track)
        per_dispatch = 1
        while step < schedule.total:
            last = min(step + per_dispatch, schedule.next_stop(step))
            with clock.measure("train"):
                begin = time.perf_counter()
                state = jax.block_until_ready(ensemble.advance(state, step, last))
                seconds_per_step = (time.perf_counter() - begin) / (last - step)
            step = last
            waited = time.monotonic() - last_save
            # The duration of the first evaluation is unknown.
            evaluation = clock.longest["evaluate"] or float("inf")
            # Decisions based on clocks and signals must agree between processes.
            slowest, waited, evaluation, stopped_by = hosts.largest(
                seconds_per_step, waited, evaluation, heard[0] if heard else 0
            )
            per_dispatch = max(1, int(DISPATCH_SECONDS / max(slowest, 1e-6)))
            # The first dispatch is one step, and not representative of the rate.
            started = step - first_step > 1
            mean = clock.seconds["train"] / (step - first_step) if started else 0.0
            display.update(step, _mean_losses(ensemble, state), mean)
            diverged = _report_divergence(state, names, diverged, display.say)
            evaluates = step in schedule.evaluations or step == schedule.total
            long = slowest > LONG_SECONDS or (evaluates and evaluation > LONG_SECONDS)
            due = waited > schedule.save_every_seconds or long
            if step in schedule.kept or step == schedule.total or due or stopped_by:
                _save(ensemble, state, checkpoints, clock)
                last_save = time.monotonic()
            if stopped_by:
                raise _interruption(int(stopped_by), step, schedule.total)
            if evaluates:
                state = _evaluate(ensemble, state, directory, clock, track)
    steps = to_host(state.diverged_at, ensemble.count)
    return Result(
        diverged=[int(at) if at >= 0 else None for at in steps],
        timing=clock.timing(first_step, step, ensemble.count),
    )


def _interruption(stopped_by: int, step: int, total: int) -> InterruptedRun:
    """Return the error to raise after a signal, once the state is saved."""
    said = (
        f"stopped by {signal.Signals(stopped_by).name}: saved at step {step} of {total}; give the "
        "same command again to go on"
    )
    return InterruptedRun(said if hosts.is_primary() else "", stopped_by)


def _mean_losses(ensemble: Ensemble, state: State) -> np.ndarray:
    """Return the mean batch loss [R] since the last evaluation (NaN without batches)."""
    total, count = to_host((state.loss_sum, state.loss_count), ensemble.count)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _evaluate(
    ensemble: Ensemble,
    state: State,
    directory: Path,
    clock: _Clock,
    track: Callable[[Mapping[str, Any]], None] | None,
) -> State:
    """Append a line of metrics, and reset the mean of the batch losses."""
    with clock.measure("evaluate"):
        measured: dict[str, Any] = to_host(ensemble.evaluate(state), ensemble.count)
        record = {
            "step": step_of(state),
            "seconds": round(clock.before + clock.seconds["train"], 3),
            "batch_loss": _mean_losses(ensemble, state),
            **measured,
        }
        if hosts.is_primary():
            run_log.append_metrics(directory, record)
        if track:
            track(record)
    return state._replace(
        loss_sum=jnp.zeros_like(state.loss_sum), loss_count=jnp.zeros_like(state.loss_count)
    )


def _save(ensemble: Ensemble, state: State, checkpoints: Checkpoints, clock: _Clock) -> None:
    with clock.measure("save"):
        checkpoints.save(step_of(state), state, ensemble.count)


def _report_divergence(
    state: State, names: list[str], known: set[int], say: Callable[[str], None]
) -> set[int]:
    """Report, once per replica, the step at which its loss became nonfinite."""
    steps = to_host(state.diverged_at, len(names))
    for replica in np.flatnonzero(steps >= 0):
        if int(replica) not in known:
            say(f"warning: {names[replica]} diverged at step {steps[replica]}; the others go on")
    return {int(replica) for replica in np.flatnonzero(steps >= 0)}
