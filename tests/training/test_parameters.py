"""Parameters of a run load in any process: on another number of devices, without padding."""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pvr_jax
from pvr_jax.training import environment, run_log
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints
from pvr_jax.training.replicas import device_mesh, pad
from pvr_jax.training.state import State

NAMES = ["bit0-seed1", "bit0-seed2", "bit3-seed1", "bit3-seed2", "bit5-seed1"]


def values(dtype, step=10):
    """Return parameters of five replicas that float32 cannot hold, other ones at every step."""
    return {
        "Dense_0": {"kernel": (np.arange(30) + step).reshape(5, 3, 2).astype(dtype) / 3},
        "scale": np.arange(5).astype(dtype) / 7 - step,
    }


def save(directory, dtype="float32", steps=(0, 4, 10), devices=4, names=NAMES, run="abcd0123"):
    """Write a run of as many replicas as names, whose last device holds padding."""
    directory.mkdir(parents=True)
    run_log.write_json(directory / "run.json", {"replicas": names})
    mesh = device_mesh(jax.devices()[:devices])
    with (
        environment.arithmetic(dtype),
        Checkpoints(directory / "checkpoints", run, kept=steps) as checkpoints,
    ):
        for step in steps:
            params = pad(jax.tree.map(jnp.asarray, values(dtype, step)), mesh)
            rows = jnp.zeros(params["scale"].shape[0], jnp.int32)
            assert len(params["scale"].sharding.device_set) == devices
            assert len(rows) == 8 or devices != 4
            state = State(params, (), rows, rows, rows, rows)
            checkpoints.save(step, state, len(names))
    return directory


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(partial(np.testing.assert_array_equal, strict=True), left, right)


SCRIPT = """
import sys
import pvr_jax
assert "jax" not in sys.modules
import jax
import numpy as np
assert len(jax.devices()) == int(sys.argv[1])
for path in sys.argv[2:]:
    run = pvr_jax.load_params(path)
    leaves = jax.tree.leaves(run.params)
    assert all(type(leaf) is np.ndarray for leaf in leaves)
    print(path, run.step, *run.names)
    np.savez(path + "/loaded.npz", *leaves)
"""


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_a_fresh_process_with_other_devices_loads_every_run(tmp_path, devices):
    runs = {
        "single": save(tmp_path / "single", devices=4),
        "double": save(tmp_path / "double", "float64", devices=4),
        "pair": save(tmp_path / "pair", devices=2),
        "one": save(tmp_path / "one", devices=1),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(devices), *map(str, runs.values())],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    expected = "".join(f"{path} 10 {' '.join(NAMES)}\n" for path in runs.values())
    assert done.stdout == expected
    for name, path in runs.items():
        loaded = np.load(path / "loaded.npz")
        right = jax.tree.leaves(values("float64" if name == "double" else "float32"))
        assert_equal([loaded[key] for key in loaded.files], right)


def test_any_checkpoint_loads_by_its_step_and_any_replica_by_its_name(tmp_path):
    directory = save(tmp_path / "run")
    run = pvr_jax.load_params(str(directory), step=4)
    assert (run.names, run.step) == (tuple(NAMES), 4)
    assert_equal(run.params, values("float32", 4))
    own = jax.tree.map(lambda leaf: leaf[3], values("float32", 4))
    assert_equal(jax.tree.map(np.asarray, run.of("bit3-seed2")), jax.tree.map(np.asarray, own))
    with pytest.raises(ValueError, match=r"^replica: given 'bit1'; allowed bit0-seed1, .*seed1$"):
        run.of("bit1")


@pytest.mark.parametrize("step", [5, -1, 11, "last", 4.5])
def test_a_step_without_checkpoint_is_refused_with_those_there_are(tmp_path, step):
    directory = save(tmp_path / "run")
    with pytest.raises(ValueError) as raised:
        pvr_jax.load_params(directory, step=step)
    message = f"step: given {step!r}; {directory} has checkpoints of the steps 0, 4, 10"
    assert str(raised.value) == message


def test_a_directory_that_is_no_run_is_refused_with_one_that_is(tmp_path):
    directory = save(tmp_path / "canonical_holdout" / "parity-mlp-abcd0123")
    for given, instead in ((tmp_path, f", such as {directory}"), (tmp_path / "none", "")):
        with pytest.raises(ValueError) as raised:
            pvr_jax.load_params(given)
        message = f"run: given {given}; allowed a directory that holds run.json{instead}"
        assert str(raised.value) == message


def test_a_run_without_a_finished_checkpoint_says_so(tmp_path):
    directory = save(tmp_path / "run", steps=())
    with pytest.raises(ValueError, match=r"^step: given None; .* checkpoints of the steps –$"):
        pvr_jax.load_params(directory)
    (directory / "checkpoints").rmdir()
    with pytest.raises(CheckpointError, match="no such directory"):
        pvr_jax.load_params(directory)


def test_a_damaged_last_checkpoint_is_named_and_none_taken_for_it(tmp_path):
    directory = save(tmp_path / "run")
    files = (directory / "checkpoints" / "10" / "params").rglob("*")
    path = max((p for p in files if p.is_file()), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError) as raised:
        pvr_jax.load_params(directory)
    assert "\n" not in str(raised.value)
    assert "checkpoints/10 is damaged: its file params/" in str(raised.value)
    assert str(raised.value).endswith(f"; {directory} has checkpoints of the steps 0, 4, 10")
    assert_equal(pvr_jax.load_params(directory, 4).params, values("float32", 4))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    directory = save(tmp_path / "run", steps=(0, 4))
    other = save(tmp_path / "other", steps=(10,), run="ffff0000")
    (other / "checkpoints" / "10").rename(directory / "checkpoints" / "10")
    with pytest.raises(CheckpointError, match="it belongs to run ffff0000, this one is abcd0123"):
        pvr_jax.load_params(directory)


def test_names_that_are_not_those_of_the_checkpoint_are_refused(tmp_path):
    directory = save(tmp_path / "run")
    run_log.write_json(directory / "run.json", {"replicas": NAMES[:4]})
    with pytest.raises(CheckpointError, match=r"it has 5 replicas, run\.json names 4; "):
        pvr_jax.load_params(directory)
    (directory / "run.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"^\S+run.json cannot be read: Expecting"):
        pvr_jax.load_params(directory)


def test_a_cell_of_a_sweep_has_the_rows_of_its_pack(tmp_path):
    names = ["a-mlp-1/bit0-seed1", "b-mlp-2/bit0-seed1", "b-mlp-2/bit3-seed1", *"cd"]
    save(tmp_path / "packs" / "pack", names=names)
    cell = tmp_path / "canonical_holdout" / "b-mlp-2"
    cell.mkdir(parents=True)
    record = {"replicas": ["bit0-seed1", "bit3-seed1"], "pack": "pack"}
    run_log.write_json(cell / "run.json", record)
    run = pvr_jax.load_params(cell)
    assert run.names == ("bit0-seed1", "bit3-seed1")
    assert_equal(run.params, jax.tree.map(lambda leaf: leaf[1:3], values("float32")))
    moved = cell.rename(cell.with_name("moved"))
    with pytest.raises(CheckpointError, match="does not name moved/bit0-seed1, moved/bit3-seed1"):
        pvr_jax.load_params(moved)


@pytest.mark.slow
def test_rooms_are_imported_when_they_are_used():
    script = (
        "import sys, pvr_jax\n"
        "assert 'jax' not in sys.modules and 'tasks' in dir(pvr_jax)\n"
        "pvr_jax.results.open, pvr_jax.reporting\n"
        "assert 'jax' not in sys.modules\n"
        "print(pvr_jax.tasks.make('parity', n=5, degree=2).n, callable(pvr_jax.load_params))\n"
        "pvr_jax.task"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "5 True\n"
    assert "AttributeError: module 'pvr_jax' has no attribute 'task'" in done.stderr
