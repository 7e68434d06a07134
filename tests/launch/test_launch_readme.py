"""The commands of the documents are carried out, block by block, in checkouts that train little.

There every configuration is tiny, a study has one run, "all" are the control and the studies that
the document reproduces by name, and the suite is the tests of the cube. Commands for other
machines, `slurm`, `tpu` and `setup`, are tested with stand-ins in this folder. The first block runs
as it is, with the 11 bits of the quickstart and a probe, on one device, all others on two.
"""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from documents import GUIDES, blocks
from stand_ins import ROOT

COMMANDS = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\./launch\.sh|python -m|pip install) ", re.M)
ELSEWHERE = re.compile(r"^\./launch\.sh (?:slurm|tpu|setup) ", re.M)
TEXTS = {path: path.read_text() for path in GUIDES}
BLOCKS = [
    (path, text)
    for path, document in TEXTS.items()
    for _, language, text in blocks(document)
    if not language and COMMANDS.search(text)
]
CARRIED_OUT = [(path, text) for path, text in BLOCKS if not ELSEWHERE.search(text)]
SHARDS = 1000  # of the sweeps, which have fewer packs; the first shard of each is trained
# Of an MLP, which compiles quickly, where the study has one.
ONE_RUN = """

every_run = runs


def runs(size):
    return sorted(every_run(size), key=lambda run: "mlp" in run)[-1:]
"""
FEWER = """    if tiny:
        config.train.execution = "vmap"  # without a probe
        if config.task.get("pointer_bits", 0) > 2:
            config.task.pointer_bits = 2
        elif config.task.get("n", 0) > 8:
            config.task.n = 8
"""


def changed(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory):
    """Return a document's checkout for a number of devices, where blocks build on earlier runs."""
    made = {}

    def checkout(document, devices):
        key = document, devices
        if key not in made:
            made[key] = place = tmp_path_factory.mktemp(f"devices{devices}")
            for name in ("configs", "experiments"):
                shutil.copytree(ROOT / name, place / name)
            for name in ("README.md", "launch.sh", "setup.py", "pyproject.toml"):
                shutil.copy(ROOT / name, place / name)
            (place / "tests").mkdir()
            suite = ("tests/conftest.py", "tests/boolean/test_cube.py")
            for name in ("pvr_jax", "benchmarks", "launch", "requirements.lock", *suite):
                (place / name.replace("boolean/", "")).symlink_to(ROOT / name)
            base = place / "configs/canonical_holdout.py"
            changed(base, '["tiny"] = False', '["tiny"] = True')
            changed(base, "for bit in range(11)]", "for bit in range(2)]")
            changed(base, "for model in PAPER_MODELS]", 'for model in ("mlp",)]')
            scripts = [script_of(text) for path, text in CARRIED_OUT if path == document]
            for path in (place / "configs").glob("*.py"):
                if devices > 1 and "\ndef finished(" in path.read_text():
                    changed(path, "    if tiny:\n", FEWER)
                by_name = any(f"reproduce {path.stem} " in script for script in scripts)
                if by_name or path.stem == "control":
                    path.write_text(path.read_text() + ONE_RUN)
                elif "\ndef runs(" in path.read_text():
                    changed(path, "\ndef runs(", "\ndef every_run(")
        return made[key]

    return checkout


def carry_out(script, place, devices, environment, timeout=900):
    """Run a Bash script as a user would in a checkout; return what it printed."""
    unlike_a_users = re.compile("JAX_NUMPY_|PYTEST_|CI$")
    kept = {k: v for k, v in os.environ.items() if not unlike_a_users.match(k)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={
            **kept,
            "PVR_VENV": str(environment),
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "JAX_NUM_CPU_DEVICES": str(devices),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "0" if devices == 1 else "1",
        },
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def script_of(block):
    """Return a block with what stands for something else filled in."""
    block = re.sub(
        r"( --sweep=\S+)(.*?)( --shard=\S+)?$", rf"\1\2 --shard=0/{SHARDS}", block, flags=re.M
    )
    if "PVR_PROCESS_INDEX=0" in block:  # the same on every machine, each with its number
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            block = block.replace("host0:9876", f"127.0.0.1:{listener.getsockname()[1]}")
        block = block.replace("CONFIG", "configs/quickstart.py").replace("/shared/runs", "shared")
        block = f"{block.strip()} &\n{block.replace('INDEX=0', 'INDEX=1')}wait $!\n"
    if "NAME" in block:  # of something that was reproduced
        block = "./launch.sh reproduce NAME --workdir=runs\n" + block
        block = block.replace("NAME", "pvr_majority")
    return block


@pytest.fixture(scope="module")
def fresh_environment(tmp_path_factory):
    """An environment of its own in which all packages are found but the project."""
    place = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    paths = {key: str(place) for key in ("base", "platbase")}
    site = sysconfig.get_path("purelib", vars=paths)
    Path(site, "packages.pth").write_text(sysconfig.get_path("purelib"))
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    ("document", "block"),
    CARRIED_OUT,
    ids=lambda value: value.splitlines()[-1][:60] if isinstance(value, str) else value.stem,
)
def test_a_block_is_carried_out(document, block, checkouts, real_environment, request):
    devices = 1 if (document, block) == CARRIED_OUT[0] else 2
    script, environment = script_of(block), real_environment
    if "pip " in block:
        environment = request.getfixturevalue("fresh_environment")
        if all(map(importlib.util.find_spec, ("setuptools", "wheel"))):  # nothing is fetched
            script = f'pip() {{ command pip "$@" --no-index --no-build-isolation; }}\n{script}'
    place = checkouts(document, devices)
    printed = carry_out(script, place, devices, environment)
    reports = re.findall(r"^report: (.*)$", printed, re.M)
    assert reports and all((place / report).is_file() for report in reports)


def test_every_command_at_the_start_of_a_line_is_in_a_block():
    everywhere = sum(len(COMMANDS.findall(text)) for text in TEXTS.values())
    assert sum(len(COMMANDS.findall(block)) for _, block in BLOCKS) == everywhere
    assert sum(len(COMMANDS.findall(block)) for _, block in CARRIED_OUT) > 20
