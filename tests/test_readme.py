"""Every block of the documents runs in a fresh process; what trains, on one device and on two."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from documents import ROOT, TEXTS, blocks, prose
from slow_cases import slow_but

from experiments import command_line, main, plan, reproduce

BLOCKS = [
    (f"{name} line {line}", language, content)
    for name, text in TEXTS.items()
    for line, language, content in blocks(text)
]
PYTHON = {place: code for place, language, code in BLOCKS if language == "python"}
OTHER = {place: text for place, language, text in BLOCKS if language != "python"}
# What a line that somebody types begins with, behind settings of the environment.
COMMAND = re.compile(r"^((?:[A-Z_]+=\S+ )*)(\./launch\.sh|python|pip) (.+)$")
# What stands for something else in a command of a document.
PLACEHOLDERS = {
    "CONFIG": "configs/quickstart.py",
    "NAME": "pvr_majority",
    "ZONE": "us-central2-b",
    "JOB": "1",
    "WORKDIR": "runs",
    "…": "",
}


def environment(devices, **more):
    """Return a user's environment with so many CPU devices: none of the suite's strict switches."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("JAX_NUMPY_")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**own, "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": path, **more}


def python(*arguments, place, devices, **more):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        env=environment(devices, **more),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The directory of a trained run of three replicas, made by a process with two devices."""
    place = tmp_path_factory.mktemp("readme")
    choices = ("--config.train.seeds=3", "--config.holdout.bits=1", "--stage=train")
    config = f"--config={ROOT}/configs/canonical_holdout.py:tiny"
    python("-m", "experiments.main", config, *choices, place=place, devices=2)
    (directory,) = place.glob("runs/canonical_holdout/*")
    return directory


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Where data sets are prepared, once for all blocks."""
    return tmp_path_factory.mktemp("data")


def test_the_blocks_are_found():
    assert sum(text.count("\n```") for text in TEXTS.values()) == 2 * len(BLOCKS)
    assert len(PYTHON) >= 7
    assert {"load_params" in code for code in PYTHON.values()} == {True, False}
    assert sum("./launch.sh" in text for text in OTHER.values()) >= 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "devices"),
    [(place, 2 if "pvr_jax.run(" in code else 1) for place, code in PYTHON.items()],
)
def test_python_runs_in_a_fresh_process(place, devices, request, data, tmp_path):
    code = PYTHON[place]
    if '"RUN"' in code:
        shutil.copytree(request.getfixturevalue("run"), tmp_path / "RUN")
    (tmp_path / "block.py").write_text(code)
    output = python("block.py", place=tmp_path, devices=devices, TFDS_DATA_DIR=str(data))
    assert ("print(" in code) == bool(output)
    # Numbers that a comment begins with are printed.
    for number in re.findall(r"print\(.*\)  # (\d+\.\d+)\b", code):
        printed = [float(text) for text in re.findall(r"\d+\.\d+", output)]
        assert float(number) in [round(value, len(number.split(".")[1])) for value in printed]


@pytest.mark.slow
def test_parameters_load_as_the_readme_says(run, tmp_path):
    (code,) = (code for code in PYTHON.values() if "load_params" in code)
    shutil.copytree(run, tmp_path / "RUN")
    (tmp_path / "block.py").write_text(code + "print(trained.params['Dense_0']['kernel'].shape)\n")
    output = python("block.py", place=tmp_path, devices=1)
    assert output == "8 ('bit1-seed0', 'bit1-seed1', 'bit1-seed2')\n(3, 11, 16)\n"


def commands():
    """Return the commands of the documents: lines of blocks, and what stands between backticks."""
    lines = [line for text in OTHER.values() for line in text.splitlines() if COMMAND.match(line)]
    spoken = "\n\n".join(map(prose, TEXTS.values()))
    spoken = re.sub(r"^\|.*\|$", "", spoken, flags=re.MULTILINE)
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", spoken))
    return list(dict.fromkeys([*lines, *(span for span in spans if COMMAND.match(span))]))


def words_of(command):
    """Return the words that a shell makes of a command, behind settings of the environment."""
    _, program, rest = COMMAND.match(command).groups()
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(rest, comments=True)]
    return [program, *filter(None, words)]


def check_run(words):
    """Check all that `launch.sh run WORDS` checks before anything is written."""
    given = bool(words) and not words[0].startswith("-")
    config = words.pop(0) if given else "configs/quickstart.py"
    if not any(word.startswith("--config=") for word in words):
        words = [f"--config={ROOT / config}", *words]
    try:
        main.prepared(command_line.parse(["main", *words]))
    except SystemExit as end:  # --help
        assert end.code == 0


def check(words):
    """Check what stands behind `./launch.sh`."""
    command, *rest = words
    if command == "run":
        check_run(rest)
    elif command == "plan":
        config, *flags = rest
        assert plan.parse(["plan", f"--config={ROOT / config}", *flags])[0].config
    elif command == "reproduce":
        assert reproduce.parse(words).names
    elif command == "report":
        (directory,) = rest
        assert not directory.startswith("-")
    elif command == "bench":
        assert all((ROOT / f"benchmarks/{name}.py").is_file() for name in rest)
    elif command == "setup":
        extras = re.findall(r'^        "(\w+)": ', (ROOT / "setup.py").read_text(), re.MULTILINE)
        assert set(rest) <= set(extras)
    elif command == "test":
        assert rest in ([], ["--all"], ["-m", "gpu"])
    elif command == "help":
        assert not rest
    else:
        assert command in ("slurm", "tpu"), command
        inner = [word for word in rest if word in ("run", "reproduce")]
        if inner:
            check(rest[rest.index(inner[0]) :])
        else:
            assert {"stop", "--help"} & set(rest), rest


@pytest.mark.parametrize(
    "command",
    slow_but([command for command in commands() if "--sweep" not in command], commands()),
)
def test_a_command_is_one_that_would_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program, *words = words_of(command)
    if program == "./launch.sh":
        check(words)
    elif words[:2] == ["-m", "experiments.main"]:
        check_run([words[2].replace("=", f"={ROOT}/", 1), *words[3:]])
    elif program == "python":
        assert words[0] == "-m"
        name = words[1].replace(".", "/")
        local = (ROOT / name).is_dir() or (ROOT / f"{name}.py").is_file()
        assert local or words[1] == "pytest"
    else:
        assert words[0] == "install"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command, complaint",
    [
        ("./launch.sh run configs/none.py", "configs/none.py"),
        ("./launch.sh run configs/canonical_holdout.py:task=pvr --config.train.seed=1", "seeds"),
        ("./launch.sh slurm --nodes=2 run configs/unseen_domain.py:model=mpl", "mlp"),
        ("./launch.sh run CONFIG --config.holdout.bits=11", "holdout.bits"),
        ("./launch.sh reproduce pvr_majorty", "pvr_majority"),
    ],
)
def test_a_command_that_would_not_run_is_found(command, complaint):
    with pytest.raises(ValueError, match=complaint):
        check(words_of(command)[1:])
