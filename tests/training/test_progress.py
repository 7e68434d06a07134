"""What a run shows while it works: lines of a known form, and none of a stage that is soon over."""

import io
import logging
from functools import partial

import numpy as np
import pytest

from pvr_jax.training import probe, progress, run
from pvr_jax.training.progress import ProgressDisplay


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def followed(stream, count=3):
    with ProgressDisplay(count, stream=stream) as display:
        return list(display.follow(range(count), lambda index: f"step {index}/{count}"))


def test_a_stage_that_is_soon_over_prints_nothing():
    stream = io.StringIO()
    assert followed(stream) == [0, 1, 2]
    assert stream.getvalue() == ""


def test_a_long_stage_says_where_it_is_and_how_long_it_takes(monkeypatch):
    clock = iter([0.0, 0.0, 31.0, 31.0, 62.0, 62.0, 62.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    followed(stream)
    assert stream.getvalue().splitlines() == ["step 1/3  1 min 02 s left", "step 2/3  31 s left"]


def test_a_terminal_shows_every_item():
    stream = Terminal()
    assert followed(stream) == [0, 1, 2]
    assert "step 2/3" in stream.getvalue()


def test_training_shows_losses_rate_and_time_left():
    stream = io.StringIO()
    with ProgressDisplay(10, replicas=4, stream=stream) as display:
        display.update(2, np.array([0.5, np.nan, 1.0, 0.25]), seconds_per_step=2.0)
    assert stream.getvalue() == (
        "step 2/10  median loss 0.5 (0.25 to 1)  2 replica-steps/s  16 s left\n"
    )


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_the_probe_is_of_interest_to_those_who_ask(monkeypatch, request, tmp_path, level):
    class Members:
        alternatives, mode = ("map",), "vmap"
        mesh = np.zeros(1)

    found = {"tried": [{"mode": "map", "replica_steps_per_second": 1234.0}]}
    monkeypatch.setattr(probe, "fastest", lambda ensemble, steps: (ensemble, dict(found)))
    request.addfinalizer(partial(run.LOG.setLevel, run.LOG.level))
    run.LOG.setLevel(level)
    stream = io.StringIO()
    with ProgressDisplay(10, stream=stream) as display:
        _, record = run._in_chosen_mode(tmp_path, Members(), 10, display)
    assert record == {**found, "devices": 1}
    assert ("map 1,234; chosen: vmap" in stream.getvalue()) == (level == logging.INFO)
