"""A launcher that installs nothing, and a Slurm of one machine where it can be started."""

import os
import subprocess
import sys

import pytest
import slurm_cluster
from stand_ins import ROOT, environment_of


@pytest.fixture
def recording_environment(tmp_path):
    """An environment whose Python writes its arguments to a file instead of running anything."""
    record = f"printf '%s\\0' \"$@\" >{tmp_path}/arguments\n"
    return environment_of(tmp_path / "environment", record)


@pytest.fixture(scope="session")
def real_environment(tmp_path_factory):
    """An environment whose Python is the one of the tests."""
    place = tmp_path_factory.mktemp("environment")
    return environment_of(place, f'exec {sys.executable} "$@"\n')


@pytest.fixture
def launch(tmp_path, recording_environment):
    """Call launch.sh from an empty directory: launch(*words, path=folder first on PATH)."""

    def call(*words, path=None, root=ROOT, **environment):
        here = tmp_path / "here"
        here.mkdir(exist_ok=True)
        search = os.environ["PATH"] if path is None else f"{path}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", str(root / "launch.sh"), *words],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=180,
            env={
                **os.environ,
                "PATH": search,
                "PVR_VENV": str(recording_environment),
                **environment,
            },
        )

    return call


@pytest.fixture(scope="session")
def slurm():
    if reason := slurm_cluster.why_not():
        pytest.skip(reason)
    with slurm_cluster.running() as cluster:
        yield cluster
