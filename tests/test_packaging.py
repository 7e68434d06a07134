"""The lock, the launcher and the documents say what is true of this checkout."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from documents import DOCUMENTS, GUIDES, anchors, prose
from packaging.requirements import Requirement

import pvr_jax
from pvr_jax.reporting.keep import fill

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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return {name: text} of the files of a wheel, built from a copy without older builds."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    left_out = shutil.ignore_patterns(
        ".*", "__pycache__", "experiments", "runs", "build", "*.egg-info", "tests"
    )
    shutil.copytree(ROOT, source, ignore=left_out)
    # Where the tools of building are installed, nothing is fetched.
    tools = all(map(importlib.util.find_spec, ("setuptools", "wheel")))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        + ["--no-build-isolation"] * tools
        + ["--disable-pip-version-check", "--wheel-dir", place, source],
        check=True,
        timeout=120,
    )
    (path,) = place.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@pytest.mark.slow
def test_an_installed_wheel_is_the_library_alone(wheel):
    metadata = f"pvr_jax-{pvr_jax.__version__}.dist-info"
    assert {name.split("/")[0] for name in wheel} == {"pvr_jax", metadata}
    paths = [path for kind in ("py", "jinja") for path in (ROOT / "pvr_jax").rglob(f"*.{kind}")]
    modules = {path.relative_to(ROOT).as_posix() for path in paths}
    assert modules == {name for name in wheel if name.startswith("pvr_jax/")}


@pytest.mark.slow
def test_an_installed_wheel_has_its_license(wheel):
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Copyright 2026 The pvr_jax Authors" in text
    assert [wheel[name] for name in wheel if name.endswith("/LICENSE")] == [text]
    (name,) = (name for name in wheel if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel[name])
    assert "Apache-2.0" in (metadata["License"], metadata["License-Expression"])


def test_the_citation_is_of_this_version_and_its_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == pvr_jax.__version__
    assert citation["license"] == "Apache-2.0"
    papers = [paper["url"].rpartition("/")[2] for paper in citation["references"]]
    assert papers == ["2205.13647", "2301.13105", "2107.12580"]


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
        (["rum"], "error: command: given rum; allowed setup, run, plan, reproduce, report, test"),
        (
            ["setup", "gpu"],
            "error: extra: given gpu; allowed cuda, tpu, tfds, log, test, torch, bench",
        ),
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


def named(path):
    return path.relative_to(ROOT).as_posix()


def test_there_is_a_guide_to_every_experiment_that_keeps_results():
    kept = {path.parent for path in (ROOT / "experiments").glob("*/results")}
    assert kept == {path.parent for path in GUIDES if path.parent.parent.name == "experiments"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_the_tables_of_a_document_are_the_stored_ones(path):
    text = path.read_text()
    filled = fill(text, path.parent)
    assert filled == text, f"run: python -m experiments.reports fill {named(path)}"
    marks = text.count("<!-- table: "), text.count("<!-- end of table -->")
    assert marks[0] == marks[1]
    if path.parent.parent.name == "experiments":
        assert marks[0] >= 1


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_a_document_points_at_what_is_there(path):
    text = path.read_text()
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", prose(text)):
        if "://" in target:
            continue
        place = path.parent / target if target else path
        assert place.exists(), target
        assert not heading or heading in anchors(place.read_text()), f"{target}#{heading}"
    for name in re.findall(r"`((?:pvr_jax|experiments|configs|benchmarks|tests)/[\w/.]*)`", text):
        assert (ROOT / name).exists(), name


def test_the_layout_names_files_that_are_there():
    text = (ROOT / "docs/layout.md").read_text()
    rows = re.findall(r"^\| `(\S+)` \| (.*) \|$", text, re.M)
    assert len(rows) > 8
    for room, files in rows:
        for name in re.findall(r"`(\w+\.py)`", files):
            assert (ROOT / room / name).is_file(), f"{room}{name}"


def test_the_readme_is_short_and_leads_to_all_other_documents():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 300
    assert "<!-- table: experiments/canonical_holdout/results/quickstart/table.md -->" in text
    targets = {(ROOT / target).resolve() for target in re.findall(r"\]\(([^)#]+)", text)}
    assert set(GUIDES) - {ROOT / "README.md"} <= targets


def test_every_study_has_a_row_and_a_section():
    text = (ROOT / "README.md").read_text()
    for config in sorted((ROOT / "configs").glob("*.py")):
        if "\ndef runs(" in config.read_text():
            assert re.search(rf"^\| \[`{config.stem}`\]\(\S+#{config.stem}\) \|", text, re.M)


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
