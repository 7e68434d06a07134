"""What launch.sh writes for sbatch, what it calls, and how it answers mistakes; without Slurm."""

import os
import shlex
import shutil
import subprocess

import pytest
from stand_ins import EXTRAS, ROOT, arguments_in, one_line_error, write_program

HEADER = """\
#!/bin/bash
# Made by ./launch.sh slurm; sbatch takes it as it is.
"""


def directives(script):
    """Return the options in the #SBATCH lines, and the command that srun starts, as words."""
    lines = script.splitlines()
    options = [shlex.split(line)[1] for line in lines if line.startswith("#SBATCH ")]
    first = next(number for number, line in enumerate(lines) if line.startswith("srun "))
    command = f"{lines[first].removesuffix(chr(92))} {lines[first + 1]}"
    return options, shlex.split(command.replace("|| status=$?", ""))


def test_one_job_on_several_nodes(launch, tmp_path, recording_environment):
    done = launch(
        *("slurm", "--nodes=2", "--gpus-per-node=a100:4", "--cpus-per-task=8", "--time=1-12"),
        *("--partition=long", "--sbatch=--account=a lab", "--dry-run", "--"),
        *("run", "configs/quickstart.py", "--workdir=/shared/50% done", "--config.x=it's $HOME"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(HEADER)
    options, command = directives(done.stdout)
    assert options == [
        "--job-name=pvr_jax-run",
        f"--chdir={tmp_path}/here",
        "--output=/shared/50%% done/slurm/%x-%j.log",
        "--open-mode=append",
        "--requeue",
        "--signal=TERM@60",
        "--nodes=2",
        "--ntasks-per-node=4",
        "--cpus-per-task=8",
        "--gpus-per-node=a100:4",
        "--time=1-12",
        "--partition=long",
        "--account=a lab",
    ]
    assert command == [
        *("srun", "--kill-on-bad-exit=0", "--wait=0", "--cpus-per-task=8", f"{ROOT}/launch.sh"),
        *("run", "configs/quickstart.py", "--workdir=/shared/50% done", "--config.x=it's $HOME"),
        "--hosts=all",
    ]
    assert f"export PVR_VENV={recording_environment}\n" in done.stdout
    assert 'scontrol requeue "$SLURM_JOB_ID"' in done.stdout
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True).returncode == 0
    assert list((tmp_path / "here").iterdir()) == [], "a dry run leaves nothing behind"


def test_an_array_over_a_sweep(launch, tmp_path):
    done = launch("slurm", "--array=8%2", "--dry-run", "run", "configs/quickstart.py", "--sweep=a")
    assert (done.returncode, done.stderr) == (0, "")
    options, command = directives(done.stdout)
    assert options[2] == f"--output={tmp_path}/here/runs/slurm/%x-%A_%a.log"
    assert options[-1] == "--array=0-7%2"
    assert command[3:] == [
        *(f"{ROOT}/launch.sh", "run", "configs/quickstart.py", "--sweep=a"),
        "--shard=$SLURM_ARRAY_TASK_ID/8",
    ]
    assert "--hosts" not in done.stdout, "every element is a run of its own"
    # The number of an array's first element alone would mean the whole array.
    assert 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"' in done.stdout


@pytest.mark.parametrize(
    "options, tasks, together",
    [
        ([], 1, False),
        (["--nodes=3"], 1, True),
        (["--tasks-per-node=2"], 2, True),
        (["--gpus-per-node=8"], 1, False),  # one process uses them all
        (["--gpus-per-node=8", "--nodes=2"], 8, True),  # one process for each
    ],
)
def test_several_processes_are_told_of_each_other(launch, options, tasks, together):
    done = launch("slurm", *options, "--dry-run", "reproduce", "pvr_majority")
    given, command = directives(done.stdout)
    assert f"--ntasks-per-node={tasks}" in given
    assert ("--hosts=all" in command) == together


def test_hosts_given_are_left_alone(launch):
    done = launch("slurm", "--nodes=2", "--dry-run", "run", "--hosts=one")
    assert done.stdout.count("--hosts") == 1


def test_the_script_is_submitted_as_printed(launch, tmp_path):
    write_program(tmp_path / "bin" / "sbatch", f"cat >{tmp_path}/script; echo Submitted $#")
    words = ("--cpus-per-task=2", "run", "--workdir=my runs")
    done = launch("slurm", *words, path=tmp_path / "bin")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Submitted 0\nlogs: {tmp_path}/here/my runs/slurm/\n"
    assert (tmp_path / "script").read_text() == launch("slurm", "--dry-run", *words).stdout
    assert (tmp_path / "here" / "my runs" / "slurm").is_dir(), "where it has to be for the log"


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "slurm: given no command; allowed run, reproduce, bench"),
        (["rum"], "slurm: given rum; allowed run, reproduce, bench"),
        (["--node=2", "run"], "slurm: given --node=2; allowed --nodes=, --tasks-per-node=, "),
        (["--nodes=0", "run"], "--nodes: given 0; allowed a whole number from 1 on"),
        (["--nodes=", "run"], "--nodes: given nothing; allowed a whole number from 1 on"),
        (["--tasks-per-node=x", "run"], "--tasks-per-node: given x; allowed a whole number"),
        (["--cpus-per-task=1.5", "run"], "--cpus-per-task: given 1.5; allowed a whole number"),
        (["--gpus-per-node=a100", "run"], "--gpus-per-node: given a100; allowed N or TYPE:N"),
        (["--time=tomorrow", "run"], "--time: given tomorrow; allowed minutes, hours:minutes"),
        (["--array=0", "run"], "--array: given 0; allowed N, or N%M for M at a time"),
        (["--array=0-7", "run"], "--array: given 0-7; allowed N, or N%M for M at a time"),
        (["--array=4", "run"], "--array: given without a sweep; allowed with one"),
        (["--array=4", "bench"], "--array: given with bench; allowed with run"),
        (
            ["--array=4", "run", "--sweep=a", "--shard=0/2"],
            "--shard: given with --array=4, which adds it; allowed one of the two",
        ),
        (["--sbatch=account=a", "run"], "--sbatch: given account=a; allowed an option with its"),
        (["--sbatch=--a=1\n2", "run"], "sbatch: given an option with a line break; allowed"),
        (["--nodes=2", "bench"], "slurm: given 2 tasks for bench; allowed 1, or the commands"),
        (
            ["--nodes=2", "--array=4", "run", "--sweep=a"],
            "slurm: given 2 tasks with --sweep; allowed 1, and --array=N for N jobs",
        ),
        (
            ["--nodes=2", "--tasks-per-node=1", "--gpus-per-node=8", "run"],
            "--tasks-per-node: given 1 with --gpus-per-node=8; allowed 8, since each of several",
        ),
    ],
)
def test_mistakes_are_answered_before_anything_is_submitted(launch, tmp_path, words, message):
    write_program(tmp_path / "bin" / "sbatch", f"touch {tmp_path}/submitted")
    line = one_line_error(launch("slurm", *words, path=tmp_path / "bin"))
    assert line.startswith(f"error: {message}")
    assert not (tmp_path / "submitted").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (["run", "configs/nothing.py:tiny"], "--config: given 'configs/nothing.py', no such file"),
        (["run", "configs/pvr_majority.py:model=transfomer"], "model after the colon: given 'tr"),
        (["--dry-run", "run", "--config.train.lr=1"], "config.train.lr: no such field; allowed"),
        (["run", "--config.holdout.bits=11"], "config.holdout.bits: given 11; allowed all, none"),
        (["--dry-run", "run", "--workdir=s3://bucket/r"], "--workdir: given 's3://bucket/r'; all"),
        pytest.param(
            ["--array=2", "run", "--sweep=bitz"],
            "--sweep: given 'bitz'; allowed for ",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--dry-run", "reproduce", "pvr_majorty"],
            "reproduce: given pvr_majorty; allowed all, ",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["reproduce", "pvr_majority", "--size=big"],
            "flag --size=big: value should be one of",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--nodes=2", "reproduce", "pvr_majority", "--wokdir=a"],
            "Unknown command line flag",
            marks=pytest.mark.slow,
        ),
        (["--dry-run", "bench", "throughputt"], "NAME: given throughputt; allowed "),
    ],
)
def test_a_run_that_cannot_be_is_not_submitted(launch, real_environment, tmp_path, words, message):
    write_program(tmp_path / "bin" / "sbatch", f"touch {tmp_path}/submitted")
    done = launch("slurm", *words, path=tmp_path / "bin", PVR_VENV=str(real_environment))
    assert one_line_error(done).startswith(f"error: {message}")
    assert not (tmp_path / "submitted").exists()
    assert not list((tmp_path / "here").iterdir())


def test_logs_are_in_the_workdir_in_the_home_directory(launch, tmp_path):
    words = ("--dry-run", "run", "configs/quickstart.py", "--workdir=~/runs")
    done = launch("slurm", *words, HOME=str(tmp_path))
    assert f"#SBATCH --output={tmp_path}/runs/slurm/%x-%j.log" in done.stdout.splitlines()
    assert not (tmp_path / "here" / "~").exists()


def test_without_slurm_one_line_says_what_to_do(launch, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "cat", "cksum"):
        (tools / tool).symlink_to(shutil.which(tool))
    line = one_line_error(launch("slurm", "run", PATH=str(tools)))
    assert line.startswith("error: slurm: sbatch not found on this machine; ")
    assert "--dry-run" in line
    assert not (tmp_path / "here" / "runs").exists()


def test_bench_runs_the_benchmarks_from_anywhere(launch, tmp_path):
    write_program(tmp_path / "environment" / "bin" / "python", 'echo "$PYTHONPATH"; echo "$@"\n')
    done = launch("bench", "scaling", "--out=here", PYTHONPATH="/mine")
    assert done.stdout.splitlines() == [f"{ROOT}:/mine", "-m benchmarks scaling --out=here"]


def test_an_installation_is_made_once_for_every_extra(launch, tmp_path):
    environment = tmp_path / "environment"
    for extra in EXTRAS:
        (environment / f"installed-{extra}").rename(tmp_path / f"stamp-{extra}")
    assert launch("setup", "cuda", "bench").returncode == 0
    words = arguments_in(tmp_path / "arguments")
    assert words[:3] == ["-m", "pip", "install"]
    assert words[-1] == f"{ROOT}[cuda,bench]"
    (tmp_path / "arguments").unlink()
    for extras in (["cuda"], ["bench"], ["bench", "cuda"], []):
        assert launch("setup", *extras).returncode == 0
        assert not (tmp_path / "arguments").exists(), extras
    assert launch("setup", "cuda", "test").returncode == 0
    assert arguments_in(tmp_path / "arguments")[-1] == f"{ROOT}[cuda,test]"


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["run"], ["-m", "experiments.main", f"--config={ROOT}/configs/quickstart.py"]),
        (["plan"], ["-m", "experiments.plan", f"--config={ROOT}/configs/quickstart.py"]),
        (
            ["plan", "configs/staircase.py:model=mlp", "--topology=v5e:4x4"],
            [
                *("-m", "experiments.plan", f"--config={ROOT}/configs/staircase.py:model=mlp"),
                "--topology=v5e:4x4",
            ],
        ),
    ],
)
def test_a_plan_is_asked_for_as_a_run_is(words, arguments, launch, tmp_path):
    done = launch(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert arguments_in(tmp_path / "arguments") == arguments


def test_where_no_python_is_new_enough_uv_brings_one(launch, tmp_path, recording_environment):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "cat", "cksum"):
        (tools / tool).symlink_to(shutil.which(tool))
    write_program(tools / "python3", "exit 1\n")  # too old
    write_program(tools / "brought", f"printf '%s\\0' \"$@\" >{tmp_path}/made; exit 3\n")
    write_program(tools / "uv", f'[ "$2" = install ] || echo {tools}/brought\n')
    place = str(tmp_path / "new")
    line = one_line_error(launch("setup", PATH=str(tools), PVR_VENV=place, PVR_PYTHON=""))
    assert "could not be made" in line, "the stand-in makes none"
    assert arguments_in(tmp_path / "made") == ["-m", "venv", place]


def test_the_scripts_are_clean():
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here; on Debian: apt-get install shellcheck")
    scripts = ["launch.sh", "launch/slurm.sh", "launch/tpu.sh", ".ci/run"]
    done = subprocess.run(
        ["shellcheck", *scripts], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stdout
