"""What a run will take, before it begins: seconds and memory, from a rehearsal of its programs.

A rehearsal trains some of the replicas for seconds, evaluates, saves, measures and predicts once,
in the run's own programs, and counts how often a run does each.
"""

import contextlib
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from pvr_jax.building import Built, rows_of_axes
from pvr_jax.experiment import Experiment
from pvr_jax.measuring import draws, measure_of
from pvr_jax.refusal import Refusal
from pvr_jax.training import cost, probe
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.cost import Memory
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.environment import resident_bytes
from pvr_jax.training.loop import DISPATCH_SECONDS
from pvr_jax.training.replicas import AXIS, Mode, to_host
from pvr_jax.training.state import State

# States of a device in a rehearsal: more replicas tell nothing new.
REHEARSED_BYTES = 1 << 28
TIMED_SECONDS = 1.0  # of training steps, in each of two turns
# Theories solve systems of as many equations as a function has values: of more than this, a single
# one takes longer than a plan may, and so do the kernels of large networks.
LARGEST_THEORY = 1 << 12
LONGEST_THEORY_SECONDS = 60.0
REPORT_SECONDS = 10.0  # for tables, figures and page: hardly depends on the run


class Rehearsal(NamedTuple):
    """What a rehearsal found.

    `seconds` of each part of the run, in order; None: not timed. `memory` is that of a device, of
    `process_bytes` the whole process if its devices are the CPU.
    """

    mode: Mode
    seconds: dict[str, float | None]
    memory: Memory
    process_bytes: int


def rehearse(experiment: Experiment, config: ConfigDict, built: Built) -> Rehearsal:
    """Rehearse a run of one configuration; nothing is kept.

    Raises:
        RunError: training would show a withheld input.
    """
    seconds: dict[str, float | None] = {"start-up": time.process_time()}
    full, schedule = built.ensemble, built.schedule
    (checked,) = _timed(lambda: built.programs[0].training_rows(built.replicas))
    some = _some(full)
    begin = time.perf_counter()
    if some.alternatives:
        some, _ = probe.fastest(some, schedule.total)
    tried = time.perf_counter() - begin
    begin = time.perf_counter()
    programs = cost.compiled(some)
    some = replace(some, advance_program=programs.advance, evaluate_program=programs.evaluate)
    _, before = resident_bytes()
    state = jax.block_until_ready(programs.start(some.replicas))
    seconds["compile"] = checked + tried + time.perf_counter() - begin
    scale = full.share / some.share
    state, step, evaluation = _training(some, state, scale)
    seconds["train"] = schedule.total * step * scale
    seconds["evaluate"] = len(schedule.evaluations | {0, schedule.total}) * evaluation * scale
    saving, loading = _saving(some, state)
    often = len(schedule.kept) + seconds["train"] / schedule.save_every_seconds
    seconds["save"] = often * saving * scale
    some_built = built._replace(ensemble=some)
    first, again, outputs = _measuring(some_built, state)
    kept = len(schedule.kept)
    seconds["analyse"] = first - again + kept * scale * (again + loading)
    if experiment.predict:
        seconds["predict"] = _predicting(experiment, config, built, outputs)
    seconds["report"] = REPORT_SECONDS
    memory = programs.memory
    if some.share < full.share:
        memory = cost.compiled(full.planned(full.mesh, some.mode, full.count)).memory
    del state
    _, peak = resident_bytes()
    needed = before + full.mesh.size * max(memory)
    return Rehearsal(some.mode, seconds, memory, max(needed, peak))


def _some(full: Ensemble) -> Ensemble:
    """Return the replicas of a rehearsal: equally many on every device, or all."""
    each = cost.bytes_of(full.shapes()) // full.count
    share = max(1, REHEARSED_BYTES // each)
    return full if share >= full.share else full.of_first(share * full.mesh.shape[AXIS])


def _timed(*work: Callable[[], Any]) -> list[float]:
    """Return the seconds of each call."""
    seconds = []
    for call in work:
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return seconds


def _training(some: Ensemble, state: State, scale: float) -> tuple[State, float, float]:
    """Train; return the state, the seconds of a step, and those of an evaluation.

    A replica is in cache from its second step in a dispatch on. So no dispatch takes more steps
    than those of the run, which has `scale` times as many replicas.
    """
    state, at, _ = probe.advance_timed(some, state, 0, 1)
    state, at, one = probe.advance_timed(some, state, at, 1)
    steps = max(1, int(min(TIMED_SECONDS, DISPATCH_SECONDS / scale) / one))
    turns = []
    for _ in range(probe.ROUNDS):
        state, at, seconds = probe.advance_timed(some, state, at, steps)
        turns.append(seconds / steps)

    def evaluate() -> None:
        to_host(some.evaluate(state), some.count)

    return state, sum(turns) / len(turns), _timed(evaluate, evaluate)[1]


def _saving(some: Ensemble, state: State) -> tuple[float, float]:
    """Return the seconds of saving a state, and of loading its parameters."""
    with (
        tempfile.TemporaryDirectory(prefix="pvr_jax_") as place,
        Checkpoints(Path(place) / "checkpoints", "rehearsal", (0, 1)) as checkpoints,
    ):
        shapes = some.shapes()
        _, saving, loading = _timed(
            lambda: checkpoints.save(0, state, some.count),
            lambda: checkpoints.save(1, state, some.count),
            lambda: checkpoints.load_params(1, shapes.params),
        )
    return saving, loading


def _measuring(built: Built, state: State) -> tuple[float, float, np.ndarray]:
    """Return the seconds of measuring a first and another checkpoint, and one replica's outputs."""
    some: list[Any] = []
    count, is_carried = built.ensemble.count, built.programs[0].carry is not None
    params = (state.params, state.carry) if is_carried else state.params
    params = jax.tree.map(lambda leaf: leaf[:count], params)

    def keep(group: slice, outputs: Any) -> None:
        some.append(jax.tree.map(lambda leaf: leaf[:1], outputs))

    begin = time.perf_counter()
    measure = measure_of(built, draws(built))
    measure(params, keep, True)
    first = time.perf_counter() - begin
    (again,) = _timed(lambda: measure(params, keep, True))
    return first, again, some[0]


def _predicting(
    experiment: Experiment, config: ConfigDict, built: Built, outputs: Any
) -> float | None:
    """Return the seconds of all theories, from those of one replica, if those are soon known."""
    if built.programs[0].outputs_size > LARGEST_THEORY:
        return None
    table = built.tables[0].head(1)

    def learned() -> Iterator[np.ndarray]:
        if experiment.kept:
            yield np.asarray(experiment.kept.of(outputs))[0]

    def of_one(theory: Callable[..., Any]) -> None:
        try:
            theory(config, table, learned)
        except (Refusal, np.linalg.LinAlgError):
            return

    total, conditions = 0.0, len(rows_of_axes(experiment, config))
    try:
        with _at_most(LONGEST_THEORY_SECONDS):
            for theory in experiment.predict.values():
                work = partial(of_one, theory)
                first, again = _timed(work, work)
                total += first + (conditions - 1) * again
    except TimeoutError:
        return None
    return total


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the body after so many seconds; in other threads this has no effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError

    handler = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
