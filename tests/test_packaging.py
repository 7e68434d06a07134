"""The lock, the launcher and the README say what is true of this checkout."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pvr_jax.reporting import stored

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()


def locked(python):
    """Return {package: version} that the lock gives a Python version on Linux."""
    environment = {
        "python_full_version": f"{python}.9",
        "python_version": python,
        "sys_platform": "linux",
    }
    versions = {}
    for line in LOCK.splitlines():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            assert requirement.name not in versions, f"{requirement.name} is pinned twice"
            versions[requirement.name] = specifier.version
    return versions


@pytest.mark.parametrize("python, jax", [("3.11", "0.10."), ("3.12", "0.12."), ("3.13", "0.12.")])
def test_the_lock_is_universal(python, jax):
    versions = locked(python)
    assert versions["jax"].startswith(jax) and versions["jaxlib"].startswith(jax)
    for text in re.findall(r'"([a-z-]+(?:\[\w+\])?>=[^"]+)"', (ROOT / "setup.py").read_text()):
        requirement = Requirement(text)
        if requirement.name in ("torch",) or requirement.extras:
            continue  # of extras for other machines, which the lock leaves open
        assert versions[requirement.name] in requirement.specifier, text


def test_the_lock_names_no_index():
    assert "://" not in LOCK and "--" not in LOCK


def launch(*arguments, **environment):
    return subprocess.run(
        ["bash", str(ROOT / "launch.sh"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_the_launcher_explains_itself():
    done = launch("help")
    assert done.returncode == 0
    for command in ("setup", "run", "reproduce", "report", "test", "bench", "tpu", "slurm"):
        assert re.search(rf"^  {command}\b", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["rum"], "error: command: given rum; allowed setup, run, reproduce, report, test"),
        (["setup", "gpu"], "error: extra: given gpu; allowed cuda, tpu, tfds, test, torch, bench"),
        (["report"], "error: report: given no directory; allowed the --workdir of a run"),
    ],
)
def test_the_launcher_names_mistakes(arguments, message):
    done = launch(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(message)


def test_the_launcher_needs_a_python_that_is_new_enough(tmp_path):
    for tool in ("bash", "dirname", "cat", "cksum"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = launch("setup", PATH=str(tmp_path), PVR_VENV=str(tmp_path / "venv"), PVR_PYTHON="")
    assert done.returncode == 2
    assert "Python: none found that is 3.11 or newer" in done.stderr


def test_the_tables_of_the_readme_are_the_stored_ones():
    text = (ROOT / "README.md").read_text()
    assert text.count("<!-- table: ") >= 3
    assert stored.fill(text, ROOT) == text, "run: python -m experiments.reports fill README.md"


def test_the_readme_points_at_files_that_are_there():
    text = (ROOT / "README.md").read_text()
    paths = re.findall(r"\]\(([^)#]+)\)", text)
    paths += re.findall(r"`((?:pvr_jax|experiments|configs|tests)/[\w/.]*)`", text)
    assert len(paths) > 8
    for path in paths:
        assert (ROOT / path).exists(), path


def test_the_stored_results_say_how_they_were_made():
    directories = sorted((ROOT / "experiments").glob("*/results/*"))
    assert directories
    for directory in directories:
        records = json.loads((directory / "run.json").read_text())
        if "runs" not in records:  # one run, with its configuration beside it
            config = json.loads((directory / "config.json").read_text())
            records = {"runs": {directory.name: {"config": config, "run": records}}}
        assert records["runs"]
        for record in records["runs"].values():
            assert {"versions", "devices", "git_commit", "command"} <= set(record["run"])
            assert "+changes" not in record["run"]["git_commit"]
            assert record["config"]["train"]["seeds"] >= 1
        names = {path.name for path in directory.iterdir()}
        assert {"table.csv", "table.md"} <= names or {"matched.csv", "matched.md"} <= names
        rows = (directory / "replicas.csv").read_text().splitlines()
        assert len(rows) > 1
