"""Checkpoints: what is saved comes back, and what is broken is named and passed over."""

import contextlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import logging
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from pvr_jax.training import checkpoint as checkpoint_module
from pvr_jax.training import run_log
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints
from pvr_jax.training.replicas import AXIS, device_mesh


@pytest.fixture
def built(build):
    return build([0, 1, 2], [0, 1, 2])


def saved(built, directory, steps=(0, 5, 10), kept=(0, 10), run="abcd0123"):
    """Save the states after the given steps; return them by step."""
    states = {}
    with Checkpoints(directory, run, kept) as checkpoints:
        for step in steps:
            states[step] = built.advance(built.start(), 0, step)
            checkpoints.save(step, states[step])
    return states


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def largest_file(directory: Path) -> Path:
    return max((p for p in directory.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def test_the_newest_state_comes_back_bit_for_bit(built, tmp_path):
    states = saved(built, tmp_path)
    with Checkpoints(tmp_path, "abcd0123") as checkpoints:
        state, passed_over = checkpoints.restore(built.shapes())
    assert passed_over == []
    assert jax.tree.structure(state) == jax.tree.structure(states[10])
    assert_equal(state, states[10])


def test_parameters_load_without_the_optimiser(built, tmp_path):
    states = saved(built, tmp_path, steps=(0, 5, 10, 15), kept=(0, 10))
    with Checkpoints(tmp_path, "abcd0123", read_only=True) as checkpoints:
        # 0 is kept, 5 is not, 10 and 15 are the newest two.
        assert checkpoints.steps() == [0, 10, 15]
        assert not (tmp_path / "0" / "optimizer").exists()
        assert (tmp_path / "10" / "optimizer").exists()
        params = checkpoints.load_params(0, built.shapes().params)
    assert_equal(params, states[0].params)


@pytest.mark.slow
def test_a_state_saved_on_four_devices_loads_on_one(build, tmp_path):
    four = build([0, 1, 2, 3], [0, 1, 2, 3], devices=4)
    state = four.advance(four.start(), 0, 3)
    assert len(jax.tree.leaves(state)[0].sharding.device_set) == 4
    with Checkpoints(tmp_path, "run") as checkpoints:
        checkpoints.save(3, state)
        loaded, _ = checkpoints.restore(four.shapes())
    assert len(jax.tree.leaves(loaded)[0].sharding.device_set) == 1
    assert_equal(loaded, state)


def truncate(directory):
    with largest_file(directory).open("r+b") as handle:
        handle.truncate(50)


def flip_a_bit(directory):
    # In the middle of the numbers, where no file format notices.
    path = largest_file(directory)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def remove_metadata(directory):
    (directory / "_CHECKPOINT_METADATA").unlink()


def remove_manifest(directory):
    (directory / "seal.json").unlink()


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove_metadata, remove_manifest])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(built, tmp_path, damage):
    states = saved(built, tmp_path)
    damage(tmp_path / "10" if "remove" in damage.__name__ else tmp_path / "10" / "params")
    with Checkpoints(tmp_path, "abcd0123") as checkpoints:
        state, passed_over = checkpoints.restore(built.shapes())
    assert len(passed_over) == 1
    assert str(tmp_path / "10") in passed_over[0] and "\n" not in passed_over[0]
    assert "damaged" in passed_over[0]
    assert_equal(state, states[5])


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def garble(path):
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


def another_document(path):
    path.write_text("[1]")


def remove(path):
    path.unlink()


def directory_instead(path):
    path.unlink()
    path.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [cut, empty, garble, another_document, remove, directory_instead]
)
def test_whichever_file_of_the_newest_checkpoint_is_damaged_the_one_before_is_used(
    built, tmp_path, damage
):
    states = saved(built, tmp_path / "whole", steps=(5, 10), kept=())
    newest = tmp_path / "whole" / "10"
    files = [path.relative_to(newest) for path in newest.rglob("*") if path.is_file()]
    assert {"seal.json", "_CHECKPOINT_METADATA"} < {str(path) for path in files}
    for number, file in enumerate(files):
        directory = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", directory)
        damage(directory / "10" / file)
        with Checkpoints(directory, "abcd0123") as checkpoints:
            state, passed_over = checkpoints.restore(built.shapes())
        assert state is not None, file
        assert len(passed_over) == 1, file
        assert str(directory / "10") in passed_over[0] and "\n" not in passed_over[0]
        assert_equal(state, states[5])


def test_a_checkpoint_of_another_run_is_named_and_never_deleted(built, tmp_path):
    states = saved(built, tmp_path / "own", steps=(0, 5))
    saved(built, tmp_path / "other", steps=(7,), run="ffff0000")
    shutil.copytree(tmp_path / "other" / "7", tmp_path / "own" / "7")
    (tmp_path / "own" / "9").mkdir()
    with Checkpoints(tmp_path / "own", "abcd0123", kept=(0,)) as checkpoints:
        state, passed_over = checkpoints.restore(built.shapes())
        assert_equal(state, states[5])
        assert any("foreign: it belongs to run ffff0000" in line for line in passed_over)
        for step in (20, 30, 40):
            checkpoints.save(step, states[5])
        assert checkpoints.steps() == [0, 7, 9, 30, 40]


def test_other_shapes_are_refused_with_the_name_of_the_leaf(built, build, tmp_path):
    saved(built, tmp_path)
    other = build([0, 1], [0, 1])
    with (
        Checkpoints(tmp_path, "abcd0123", read_only=True) as checkpoints,
        pytest.raises(
            CheckpointError, match=r"parameter \['Dense_0'\]\['bias'\] is float32\[3, 16\]"
        ),
    ):
        checkpoints.load_params(10, other.shapes().params)


def test_nothing_usable_is_no_state_but_every_reason(built, tmp_path):
    saved(built, tmp_path, steps=(0, 5))
    for step in ("0", "5"):
        truncate(tmp_path / step / "params")
    with Checkpoints(tmp_path, "abcd0123") as checkpoints:
        state, passed_over = checkpoints.restore(built.shapes())
    assert state is None and len(passed_over) == 2


def test_a_missing_directory_is_one_line_for_readers(tmp_path):
    with pytest.raises(CheckpointError, match="no such directory"):
        Checkpoints(tmp_path / "none", "run", read_only=True)


def test_too_little_space_is_said_before_anything_is_written(built, tmp_path, monkeypatch):
    states = saved(built, tmp_path)
    monkeypatch.setattr(checkpoint_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with Checkpoints(tmp_path, "abcd0123") as checkpoints:
        with pytest.raises(CheckpointError, match="the disk is full") as raised:
            checkpoints.save(20, states[10])
        assert "checkpoint 20" in str(raised.value) and "\n" not in str(raised.value)
        assert checkpoints.steps() == [0, 5, 10]
        assert_equal(checkpoints.restore(built.shapes())[0], states[10])


def test_leaves_on_a_mesh_are_saved_as_they_are(tmp_path):
    from pvr_jax.training.state import State

    mesh = device_mesh(jax.devices()[:2])
    leaf = jax.device_put(jnp.arange(4.0), NamedSharding(mesh, P(AXIS)))
    ints = jnp.arange(4, dtype=jnp.int32)
    state = State({"w": leaf}, (), ints, leaf, ints, ints)
    with Checkpoints(tmp_path, "run") as checkpoints:
        checkpoints.save(1, state)
        loaded, _ = checkpoints.restore(jax.eval_shape(lambda: state))
    assert_equal(loaded, state)


def test_the_log_of_orbax_is_silent_and_that_of_others_is_not(built, tmp_path, monkeypatch, caplog):
    write_json = run_log.write_json

    def heard(*arguments):
        logging.warning("from elsewhere")
        write_json(*arguments)

    monkeypatch.setattr(run_log, "write_json", heard)  # of the manifest, in the middle of a save
    with caplog.at_level("DEBUG", logger="absl"):
        saved(built, tmp_path / "quiet", steps=(0,))
        assert [record.getMessage() for record in caplog.records] == ["from elsewhere"]
        monkeypatch.setattr(checkpoint_module, "_quiet", contextlib.nullcontext)
        saved(built, tmp_path / "loud", steps=(0,))
        paths = {record.pathname for record in caplog.records} - {__file__}
        assert paths and all("/orbax/checkpoint/" in path for path in paths)
