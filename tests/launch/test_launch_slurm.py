"""./launch.sh slurm with a real Slurm: jobs of several tasks, arrays, preemption, cancelling."""

import json
import time
from pathlib import Path

import pytest
from run_directories import finished_steps
from stand_ins import ROOT, arguments_in, environment_of

pytestmark = pytest.mark.slow

# Of one CPU device each, so that two processes have as many devices as the machine has cores.
DEVICES = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
# Long enough to be preempted in the middle.
TRAINING = (
    f"{ROOT}/configs/quickstart.py:tiny",
    "--config.task.pointer_bits=2",
    "--config.model.widths=128,64",
    "--config.train.execution=vmap",  # not by a probe: runs in different modes differ in rounding
    "--config.train.epochs=6000",
    "--config.evaluation.every_epochs=300",
    "--config.checkpoint.count=8",
    "--config.checkpoint.save_every_seconds=1",
    "--stage=train",
)
# In place of Python: writes down its arguments; told to stop, it takes a second to save.
PROGRAM = """
for word; do [ "$word" != --check ] || exit 0; done
file="$RECORD/${SLURM_ARRAY_TASK_ID:-0}.$SLURM_PROCID.${SLURM_RESTART_COUNT:-0}"
printf '%s\\0' "$@" >"$file.part"
trap 'sleep 1; touch "$file.saved"; exit 143' TERM
mv "$file.part" "$file"
[ "$WORK" = endless ] && [ "${SLURM_RESTART_COUNT:-0}" -eq 0 ] || exit "${STATUS:-0}"
while true; do sleep 0.1; done
"""


@pytest.fixture(autouse=True)
def no_job_is_left(slurm):
    yield
    slurm.end_all()


@pytest.fixture
def program(tmp_path):
    """What a job with a stand-in for the program needs, and where its records are."""
    (tmp_path / "records").mkdir()
    return {
        "environment": environment_of(tmp_path / "environment", PROGRAM),
        "directory": tmp_path,
        "RECORD": str(tmp_path / "records"),
    }


def wait_for_files(directory, *names):
    deadline = time.monotonic() + 180
    while not all((Path(directory) / name).exists() for name in names):
        present = sorted(path.name for path in Path(directory).iterdir())
        assert time.monotonic() < deadline, f"waiting for {names}: {present}"
        time.sleep(0.1)


def files_in(directory):
    return sorted(path.name for path in Path(directory).iterdir())


def metrics_of(workdir):
    """Return every value that training wrote, but for the clock."""
    (file,) = Path(workdir).glob("*/*/metrics.jsonl")
    return [{**json.loads(line), "seconds": None} for line in file.read_text().splitlines()]


def log_of(workdir):
    return "".join(path.read_text() for path in sorted(Path(workdir, "slurm").iterdir()))


def submit_training(slurm, environment, workdir, *options):
    words = ("--tasks-per-node=2", *options, "run", *TRAINING, f"--workdir={workdir}")
    return slurm.submit(*words, environment=environment, directory=workdir.parent, **DEVICES)


@pytest.fixture(scope="module")
def uninterrupted(slurm, real_environment, tmp_path_factory):
    """The work directory of a run by two processes together that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("whole") / "runs"
    number = submit_training(slurm, real_environment, workdir)
    (job,) = slurm.wait(number, "COMPLETED", "FAILED", seconds=480)
    assert job["JobState"] == "COMPLETED", log_of(workdir)
    return workdir


def test_two_tasks_make_one_run(uninterrupted):
    assert len(metrics_of(uninterrupted)) >= 20
    (record,) = uninterrupted.glob("*/*/run.json")
    assert json.loads(record.read_text())["devices"]["count"] == 2
    assert "stopped" not in log_of(uninterrupted)


def test_a_preempted_run_goes_on_to_the_same_numbers(
    uninterrupted, slurm, real_environment, tmp_path
):
    workdir = tmp_path / "runs"
    number = submit_training(slurm, real_environment, workdir, "--partition=grace")
    deadline = time.monotonic() + 240
    while not any(finished_steps(workdir)):  # one after the start
        assert time.monotonic() < deadline, log_of(workdir)
        time.sleep(0.1)
    slurm.preempt()
    (job,) = slurm.wait(number, "COMPLETED", "FAILED", seconds=480)
    log = log_of(workdir)
    assert job["JobState"] == "COMPLETED", log
    assert job["Restarts"] == "1", log
    step = log.split("stopped by SIGTERM: saved at step ")[1].split()[0]
    assert f"continuing from the checkpoint at step {step}" in log
    assert metrics_of(workdir) == metrics_of(uninterrupted)


def test_an_array_has_one_shard_each_and_arguments_arrive_as_given(slurm, program):
    arguments = ("--sweep=all tasks", "--config.task.expression=x0*x1 - 'a' \"b\" $HOME \\ %j\t*")
    number = slurm.submit(
        "--array=3%2", "run", "configs/quickstart.py", *arguments, "--workdir=my runs", **program
    )
    jobs = slurm.wait(number, "COMPLETED", "FAILED")
    assert [job["JobState"] for job in jobs] == ["COMPLETED"] * 3
    assert files_in(program["RECORD"]) == ["0.0.0", "1.0.0", "2.0.0"]
    for shard in range(3):
        assert arguments_in(Path(program["RECORD"], f"{shard}.0.0")) == [
            "-m",
            "experiments.main",
            f"--config={ROOT}/configs/quickstart.py",
            *arguments,
            "--workdir=my runs",
            f"--shard={shard}/3",
        ]
    logs = files_in(program["directory"] / "my runs" / "slurm")
    assert logs == [f"pvr_jax-run-{number}_{shard}.log" for shard in range(3)]


def test_an_array_trains_every_cell_of_a_sweep(slurm, real_environment, tmp_path):
    words = (f"{ROOT}/configs/canonical_holdout.py:tiny", "--sweep=rates", "--workdir=runs")
    number = slurm.submit(
        *("--array=2", "run", *words), environment=real_environment, directory=tmp_path, **DEVICES
    )
    jobs = slurm.wait(number, "COMPLETED", "FAILED", seconds=480)
    assert [job["JobState"] for job in jobs] == ["COMPLETED"] * 2, log_of(tmp_path / "runs")
    cells = list((tmp_path / "runs" / "sweeps").glob("*/*/measures.nc"))
    assert len(cells) == 4, log_of(tmp_path / "runs")


def test_an_element_of_an_array_that_saved_is_queued_again_alone(slurm, program):
    words = ("--array=2", "run", "configs/quickstart.py", "--sweep=a")
    number = slurm.submit(*words, **program, WORK="endless")
    wait_for_files(program["RECORD"], "0.0.0", "1.0.0")
    # The element that has the number of the whole array, and whose restart must not be all's.
    (same,) = (job for job in slurm.jobs(number) if job["JobId"] == job["ArrayJobId"])
    again, other = same["ArrayTaskId"], "01".replace(same["ArrayTaskId"], "")
    slurm.call("scancel", "--signal=TERM", f"{number}_{again}")
    slurm.wait(f"{number}_{again}", "COMPLETED")
    assert slurm.job(f"{number}_{again}")["Restarts"] == "1"
    assert slurm.job(f"{number}_{other}")["Restarts"] == "0"
    assert slurm.job(f"{number}_{other}")["JobState"] == "RUNNING"
    slurm.call("scancel", f"{number}_{other}")
    slurm.wait(f"{number}_{other}", "CANCELLED")


def test_preempted_without_notice_all_tasks_have_the_time_to_save(slurm, program):
    words = ("--tasks-per-node=2", "--cpus-per-task=2", "reproduce", "pvr_majority")
    number = slurm.submit(*words, **program, WORK="endless")
    wait_for_files(program["RECORD"], "0.0.0", "0.1.0")
    slurm.preempt()
    (job,) = slurm.wait(number, "COMPLETED")
    assert job["Restarts"] == "1"
    expected = [f"0.{task}.{end}" for task in (0, 1) for end in ("0", "0.saved", "1")]
    assert files_in(program["RECORD"]) == expected
    assert arguments_in(Path(program["RECORD"], "0.1.1"))[1:] == [
        "experiments.reproduce",
        "pvr_majority",
        "--hosts=all",
    ]


def test_a_cancelled_job_saves_and_does_not_come_back(slurm, program):
    number = slurm.submit("run", **program, WORK="endless")
    wait_for_files(program["RECORD"], "0.0.0")
    slurm.call("scancel", number)
    wait_for_files(program["RECORD"], "0.0.0.saved")
    (job,) = slurm.wait(number, "CANCELLED")
    time.sleep(2)  # for the batch script to end, which could ask for another start
    assert slurm.job(number)["JobState"] == "CANCELLED"
    assert job["Restarts"] == "0"


def test_a_job_that_fails_has_failed(slurm, program):
    number = slurm.submit("run", **program, STATUS="1")
    (job,) = slurm.wait(number, "FAILED")
    assert (job["ExitCode"], job["Restarts"]) == ("1:0", "0")
