"""The loop saves before whatever may take longer than a machine that is taken away waits."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from pvr_jax.training import loop, run_log

SCHEDULE = loop.Schedule(
    total=8, evaluations=frozenset({0, 3, 8}), kept=frozenset({0, 6, 8}), save_every_seconds=1e9
)


class Saved:
    """Checkpoints that remember their steps, in the list of all that happens."""

    def __init__(self, events, restored=lambda: None):
        self.events, self.restored = events, restored

    def restore(self, shapes, count):
        return self.restored(), []

    def save(self, step, state, count):
        self.events.append(("saved", step))


@pytest.fixture
def trained(build, monkeypatch, tmp_path):
    """Return `trained(restored=)`, which trains to step 8 and returns its `events` in order."""

    def evaluate(ensemble, state, directory, clock, track):
        with clock.measure("evaluate"):
            events.append(("evaluated", loop.step_of(state)))
        return state

    events = []
    monkeypatch.setattr(loop, "_evaluate", evaluate)
    display = SimpleNamespace(say=lambda message: None, update=lambda *_: None)

    def train(**restored):
        checkpoints = Saved(events, **restored)
        loop.train(build((0,), (0,)), SCHEDULE, checkpoints, tmp_path, display, ["only"])
        return events

    train.events = events
    return train


def test_short_steps_and_evaluations_are_saved_at_the_kept_steps_alone(trained, monkeypatch):
    monkeypatch.setattr(loop, "LONG_SECONDS", float("inf"))
    assert trained() == [
        ("saved", 0),
        ("evaluated", 0),
        ("evaluated", 3),
        ("saved", 6),
        ("saved", 8),
        ("evaluated", 8),
    ]


def test_every_evaluation_is_tracked_once_however_often_the_run_was_stopped(build, tmp_path):
    for step in (0, 3, 8):  # of a process that saved step 6 and was killed after the last one
        line = {"step": step, "seconds": 1.0, "batch_loss": [0.0], "mean": [7.0], "bit": [0]}
        run_log.append_metrics(tmp_path, line)
    members, tracked = build((0,), (0,)), []
    checkpoints = Saved([], lambda: members.advance(members.start(), 0, 6))
    display = SimpleNamespace(say=lambda message: None, update=lambda *_: None)
    loop.train(members, SCHEDULE, checkpoints, tmp_path, display, ["only"], tracked.append)
    assert [record["step"] for record in tracked] == [0, 3, 8]
    assert [list(record["mean"]) == [7.0] for record in tracked] == [True, True, False]
    assert [record["step"] for record in run_log.read_metrics(tmp_path)] == [0, 3, 8]


def test_a_state_is_saved_before_a_long_evaluation(trained, monkeypatch):
    monkeypatch.setattr(loop, "LONG_SECONDS", 60.0)
    # As after an evaluation that took two minutes.
    clock = loop._Clock()
    clock.longest["evaluate"] = 120.0
    monkeypatch.setattr(loop, "_Clock", lambda: clock)
    events = trained()
    assert events[events.index(("evaluated", 3)) - 1] == ("saved", 3)
    assert [step for what, step in events if what == "saved"] == [0, 3, 6, 8]


def test_a_state_is_saved_before_the_first_evaluation_after_a_restart(trained, build):
    members = build((0,), (0,))
    events = trained(restored=lambda: members.advance(members.start(), 0, 1))
    assert events[:2] == [("saved", 3), ("evaluated", 3)]


def test_a_state_is_saved_after_every_long_step(trained, monkeypatch):
    monkeypatch.setattr(loop, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(loop, "DISPATCH_SECONDS", 0.0)
    saved = [step for what, step in trained() if what == "saved"]
    assert saved == list(range(9))


def test_training_goes_on_in_another_thread_without_handlers(trained):
    handler = signal.getsignal(signal.SIGTERM)
    handlers = []

    def look():
        handlers.append(signal.getsignal(signal.SIGTERM))

    with ThreadPoolExecutor(max_workers=1) as executor:
        events = executor.submit(trained, restored=look).result()
    assert events[-2:] == [("saved", 8), ("evaluated", 8)]
    assert handlers == [handler] and signal.getsignal(signal.SIGTERM) == handler


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_compilation_is_heard_before_the_first_evaluation(trained, number):
    with pytest.raises(loop.InterruptedRun, match="saved at step 0 of 8; give the same command"):
        trained(restored=lambda: os.kill(os.getpid(), number))
    assert trained.events == [("saved", 0)]
