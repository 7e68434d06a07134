"""The commands of the README that train and report are carried out, with the smallest networks."""

import os
import re
import shlex
import subprocess

import pytest
from stand_ins import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```\n((?:\./launch\.sh (?:run configs/|report ).*\n)+)```$", README, re.M)
SHARDS = 96  # of the sweeps, which have a thousand cells; the first shard of each is trained


def smallest(command, place):
    """Return the words of a command that trains little."""
    words = shlex.split(command)
    if words[1] == "run":
        words[2] = f"{place}/{words[2]},tiny"
    if any(word.startswith("--sweep=") for word in words):
        words = [word for word in words if not word.startswith("--shard=")]
        words.append(f"--shard=0/{SHARDS}")
    return words


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[-1])
def test_a_block_is_carried_out(block, devices, real_environment, tmp_path):
    for command in block.splitlines():
        done = subprocess.run(
            ["bash", str(ROOT / "launch.sh"), *smallest(command, ROOT)[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            env={
                **{key: value for key, value in os.environ.items() if key[:10] != "JAX_NUMPY_"},
                "PVR_VENV": str(real_environment),
                "JAX_NUM_CPU_DEVICES": str(devices),
            },
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / done.stdout.split("report: ")[-1].strip()).is_file()


def test_the_blocks_are_found():
    commands = [command for block in BLOCKS for command in block.splitlines()]
    assert len(BLOCKS) == 2 and sum("--sweep=" in command for command in commands) == 2
    assert {shlex.split(command)[1] for command in commands} == {"run", "report"}
