"""Runs of the command line as a user starts them: in a process of their own, from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pvr_jax import on_disk
from pvr_jax.tasks import digit_images

ROOT = Path(__file__).parents[2]


def command(*arguments):
    return [sys.executable, "-m", "experiments.main", *map(str, arguments)]


@pytest.fixture(scope="session")
def environment():
    # One device, as on a laptop; the four of the suite are for the tests of replication.
    return {**os.environ, "JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def run(environment):
    """Return `run(*arguments)` -> CompletedProcess of the experiment's command line."""

    def start(*arguments, check=True, **overrides):
        done = subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            env={**environment, **overrides},
            timeout=300,
        )
        if check:
            assert done.returncode == 0, done.stderr + done.stdout
        return done

    return start


@pytest.fixture(scope="session")
def own_programs(tmp_path_factory):
    """Where processes that are killed keep compiled programs: JAX never mends half a file."""
    return {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("programs"))}


@pytest.fixture
def start(environment, own_programs):
    """Return `start(*arguments)` -> a running Popen of the command line, ended with the test."""
    running = []

    def begin(*arguments, **overrides):
        process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**environment, **own_programs, **overrides},
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def stand_in_for_mnist(monkeypatch):
    """Images of MNIST's size for the real ones, which have to be prepared once."""
    split = digit_images.LabeledImages(
        np.zeros((10, 28, 28), np.float32), np.arange(10, dtype=np.int32)
    )
    images = digit_images.DigitImages(split, split)
    monkeypatch.setattr(on_disk, "mnist", lambda data_dir: ROOT)
    monkeypatch.setattr(digit_images, "_mnist", lambda directory: images)
