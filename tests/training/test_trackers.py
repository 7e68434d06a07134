"""What TensorBoard and Weights & Biases are told of a run, read back with their own readers."""

import json
import struct
import sys
import time
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from pvr_jax.refusal import Refusal
from pvr_jax.training import run_log, trackers

NAMES = ["bit0-seed0", "bit1-seed0"]
LINES = [
    {"step": 0, "seconds": 0.0, "error": [4.0, 2.0], "loss": [None, None], "mass": [[1.0], [0.0]]},
    {"step": 10, "seconds": 1.0, "error": [3.0, None], "loss": [1.0, 3.0], "mass": [[1.0], [0.0]]},
    {"step": 20, "seconds": 2.0, "error": [2.0, 0.5], "loss": [1.0, 2.0], "mass": [[1.0], [0.0]]},
]
EXPECTED = {
    "mean": {"error": {0: 3.0, 10: 3.0, 20: 1.25}, "loss": {10: 2.0, 20: 1.5}},
    "bit0-seed0": {"error": {0: 4.0, 10: 3.0, 20: 2.0}, "loss": {10: 1.0, 20: 1.0}},
    "bit1-seed0": {"error": {0: 2.0, 20: 0.5}, "loss": {10: 3.0, 20: 2.0}},
}


@pytest.fixture
def directory(tmp_path):
    """A run directory with the first two evaluations, of which a killed process logged both."""
    for line in LINES[:2]:
        run_log.append_metrics(tmp_path, line)
    run_log.write_json(tmp_path / run_log.RECORD, {"replicas": NAMES, "stages": {}})
    return tmp_path


def test_curves_are_the_mean_of_what_is_finite_and_each_replica():
    found = [trackers.curves(line, NAMES) for line in LINES]
    for curve, measures in EXPECTED.items():
        for measure, values in measures.items():
            points = zip(LINES, found, strict=True)
            steps = {
                line["step"]: own[curve][measure] for line, own in points if measure in own[curve]
            }
            assert steps == values
    assert all("mass" not in own and "seconds" not in own for own in found[2].values())


def test_of_many_replicas_only_the_mean_is_a_curve():
    line = {"step": 3, "seconds": 0.5, "error": np.arange(17.0)}
    assert trackers.curves(line, [str(i) for i in range(17)]) == {"mean": {"error": 8.0}}
    few = {"step": 3, "seconds": 0.5, "error": np.arange(16.0)}
    assert len(trackers.curves(few, [str(i) for i in range(16)])) == 17


def test_names_are_read_and_mistakes_named(monkeypatch):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    assert trackers.named("") == ()
    both = trackers.named("wandb, tensorboard,wandb", installed=False)
    assert both == ("wandb", "tensorboard")
    with pytest.raises(Refusal, match=r"^log: given 'wandbb'; allowed tensorboard, wandb \(did yo"):
        trackers.named("tensorboard,wandbb", installed=False)
    with pytest.raises(Refusal, match=r"^log: given tensorboard, which is not installed; allowed"):
        trackers.named("tensorboard")


def test_a_folder_of_the_same_name_is_no_library(tmp_path, monkeypatch):
    (tmp_path / "wandb_of_a_run").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(trackers.TRACKERS, "wandb_of_a_run", None)
    assert find_spec("wandb_of_a_run") is not None
    with pytest.raises(Refusal, match="which is not installed"):
        trackers.named("wandb_of_a_run")


def logged_twice(name, directory):
    """Log a run whose first process is killed, and the second goes on from step 10."""
    trackers.copy([name], directory, {"train": {"seeds": 1}})
    with trackers.opened([name], directory, NAMES, {"train": {"seeds": 1}}) as track:
        for line in LINES:
            track(line)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_shows_every_step_once(directory):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    logged_twice("tensorboard", directory)
    shown = EventMultiplexer().AddRunsFromDirectory(str(directory / "tensorboard"))
    shown.Reload()
    found = {
        curve: {
            measure: [(event.step, event.value) for event in shown.Scalars(curve, measure)]
            for measure in tags["scalars"]
        }
        for curve, tags in shown.Runs().items()
    }
    assert found == {
        curve: {measure: [*values.items()] for measure, values in measures.items()}
        for curve, measures in EXPECTED.items()
    }
    (command,) = trackers.commands(["tensorboard"], directory)
    assert command == f"{sys.executable} -m tensorboard.main --logdir {directory}"


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_a_tensorboard_that_is_open_forgets_what_is_made_again(directory, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.summary.writer import event_file_writer

    clock = SimpleNamespace(time=time.time)
    monkeypatch.setattr(event_file_writer, "time", clock)
    shown = EventAccumulator(str(directory / "tensorboard" / "mean"))
    first = [LINES[0], LINES[1], LINES[2] | {"error": [9.0, 9.0]}]
    with trackers.opened(["tensorboard"], directory, NAMES, {}) as track:
        for line in first:
            track(line)
        shown.Reload()
        assert shown.Scalars("error")[-1].value == 9.0
    clock.time = lambda: time.time() + 60  # files are read in the order of their times
    with trackers.opened(["tensorboard"], directory, NAMES, {}) as track:
        for line in LINES:
            track(line)
        shown.Reload()
    assert {event.step: event.value for event in shown.Scalars("error")} == EXPECTED["mean"][
        "error"
    ]
    assert len(shown.Scalars("error")) == len(LINES)


def wandb_records(path):
    """Yield the records of a .wandb file: pieces in blocks of 32 KiB, as in a log of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, pieces = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if (left := -place % 2**15) and left < 7:
            place += left
        _, length, kind = struct.unpack_from("<IHB", data, place)
        pieces += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole record, or its last piece
            yield Record.FromString(pieces)
            pieces = b""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_keeps_every_step_once_and_stays_offline(directory, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_ERROR_REPORTING"):
        monkeypatch.delenv(name, raising=False)
    logged_twice("wandb", directory)
    (place,) = (directory / "wandb").glob("offline-run-*")
    (path,) = place.glob("*.wandb")
    assert trackers.commands(["wandb"], directory) == [f"{sys.executable} -m wandb sync {place}"]
    rows, settings = [], {}
    for record in wandb_records(path):
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({i.key or i.nested_key[0]: json.loads(i.value_json) for i in items})
        if record.WhichOneof("record_type") == "run":
            settings = {i.key: json.loads(i.value_json) for i in record.run.config.update}
    assert settings["train"] == {"seeds": 1}
    assert [row["_step"] for row in rows] == [0, 10, 20]
    for curve, measures in EXPECTED.items():
        for measure, values in measures.items():
            name = f"{measure}/{curve}"
            assert {row["_step"]: row[name] for row in rows if name in row} == values
