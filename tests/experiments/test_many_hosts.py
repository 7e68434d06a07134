"""Several processes train as one: real processes, real collectives, one machine.

Each process is started as a host would start it, with CPU devices of its own; they find each other
over TCP, exchange by Gloo, and write one run directory.
"""

import json
import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
from run_directories import only_run, wait_for_checkpoint

ROOT = Path(__file__).parents[2]
# Three replicas, which divide neither two nor four devices.
CONFIG = (
    f"--config={ROOT / 'configs' / 'quickstart.py'}:tiny",
    "--config.task.pointer_bits=2",
    "--config.holdout.bits=2",
    "--config.train.seeds=3",
    "--config.model.widths=32,16",
    "--config.train.execution=map",
    "--config.train.learning_rates=1e-3",
)
SHORT = (*CONFIG, "--config.train.epochs=60", "--config.evaluation.every_epochs=20")
LONG = (
    *CONFIG,
    "--config.train.epochs=10000",
    "--config.evaluation.every_epochs=1000",
    "--config.checkpoint.save_every_seconds=1",
)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def hosts(start):
    """Return `hosts(count, workdir, *flags)`: processes that train together, one device each."""

    def begin(count, workdir, *flags):
        address = f"127.0.0.1:{free_port()}"
        return [
            start(
                *flags,
                f"--workdir={workdir}",
                "--hosts=all",
                JAX_COORDINATOR_ADDRESS=address,
                PVR_PROCESS_COUNT=str(count),
                PVR_PROCESS_INDEX=str(index),
            )
            for index in range(count)
        ]

    return begin


def ended(processes, timeout=240):
    """Wait for all; return what each has printed, and its exit status."""
    outputs = [process.communicate(timeout=timeout)[0] for process in processes]
    return outputs, [process.returncode for process in processes]


def metrics(workdir):
    lines = (only_run(workdir) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_same_numbers(left, right):
    """Compare all evaluations of two runs: the same steps, values within float32's rounding."""
    left, right = metrics(left), metrics(right)
    assert [record["step"] for record in left] == [record["step"] for record in right]
    for one, other in zip(left, right, strict=True):
        for name in one.keys() - {"seconds", "step"}:
            np.testing.assert_allclose(
                np.array(one[name], float), np.array(other[name], float), rtol=2e-3, atol=2e-5
            )


@pytest.mark.slow
def test_processes_together_give_the_numbers_of_one(hosts, run, tmp_path):
    run(*SHORT, "--stage=train", f"--workdir={tmp_path / 'one'}")
    outputs, statuses = ended(hosts(2, tmp_path / "many", *SHORT))
    assert statuses == [0, 0], outputs
    assert_same_numbers(tmp_path / "one", tmp_path / "many")
    directory = only_run(tmp_path / "many")
    record = json.loads((directory / "run.json").read_text())
    assert record["devices"]["processes"] == record["devices"]["count"] == 2
    assert record["replicas"] == [f"bit2-seed{seed}" for seed in range(3)]
    assert all(len(line["generalization_error"]) == 3 for line in metrics(tmp_path / "many"))
    newest = max((directory / "checkpoints").glob("*/seal.json")).parent
    shares = {path.name for path in newest.glob("params/ocdbt.process_*")}
    assert shares == {"ocdbt.process_0", "ocdbt.process_1"}
    # One process speaks, and it alone goes on to analyse and report.
    assert "train: " in outputs[0] and not any("train: " in text for text in outputs[1:])
    assert "report: " in outputs[0] and (directory / "measures.nc").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("killed, restarted", [(1, 2), (0, 4)])
def test_killed_in_the_middle_they_go_on_on_any_number_of_hosts(
    killed, restarted, hosts, uninterrupted, tmp_path
):
    processes = hosts(2, tmp_path, *LONG, "--stage=train")
    wait_for_checkpoint(tmp_path, 600, *processes)
    processes[killed].kill()
    outputs, statuses = ended(processes)
    assert 0 not in statuses
    # In a barrier of a save, JAX itself ends the process that waits for one that is gone.
    if killed == 1 and statuses[0] != -signal.SIGABRT:
        assert statuses[0] == 1
        assert "error: another process of this run is gone" in outputs[0]
        assert "give the same command again on every host" in outputs[0]
    outputs, statuses = ended(hosts(restarted, tmp_path, *LONG, "--stage=train"))
    assert statuses == [0] * restarted, outputs
    assert "continuing from the checkpoint at step" in outputs[0]
    assert_same_numbers(uninterrupted, tmp_path)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, run):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    run(*LONG, "--stage=train", f"--workdir={workdir}")
    return workdir


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_and_saves(hosts, run, uninterrupted, tmp_path):
    processes = hosts(2, tmp_path, *LONG, "--stage=train")
    wait_for_checkpoint(tmp_path, 100, *processes)
    processes[1].send_signal(signal.SIGTERM)
    outputs, statuses = ended(processes)
    assert statuses == [128 + signal.SIGTERM] * 2, outputs
    assert outputs[0].count("stopped by SIGTERM: saved at step") == 1
    assert "stopped by" not in outputs[1]
    run(*LONG, "--stage=train", f"--workdir={tmp_path}")
    assert_same_numbers(uninterrupted, tmp_path)


@pytest.mark.slow
def test_a_directory_in_use_is_refused_by_all(hosts, tmp_path):
    first = hosts(1, tmp_path, *LONG, "--config.train.epochs=100000000", "--stage=train")
    wait_for_checkpoint(tmp_path, 0, *first)
    second = hosts(2, tmp_path, *LONG, "--config.train.epochs=100000000", "--stage=train")
    outputs, statuses = ended(second)
    assert statuses == [1, 1]
    assert "is in use by process" in outputs[0]
    assert "process 0 of this run could not go on, and says why" in outputs[1]


def test_half_an_address_is_one_line(run, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PVR_")}
    done = run(
        *SHORT,
        f"--workdir={tmp_path}",
        "--hosts=all",
        check=False,
        **{**environment, "PVR_PROCESS_COUNT": "2"},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: --hosts=all: given JAX_COORDINATOR_ADDRESS=, ")
    assert done.stderr.count("\n") == 1
