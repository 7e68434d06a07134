"""Runs that are killed, stopped, doubled, damaged or cut short by a full disk lose nothing."""

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from orbax.checkpoint import v1 as orbax
from run_directories import (
    evaluations,
    finished_steps,
    only_run,
    wait_for_checkpoint,
    wait_until,
)

from experiments import main
from pvr_jax.results.study import open_study

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs"
QUICKSTART = f"--config={CONFIGS / 'quickstart.py'}:tiny"
# Long enough to be interrupted in the middle: 12,000 steps, saved very often.
LONG = (
    QUICKSTART,
    "--config.task.pointer_bits=2",
    "--config.model.widths=128,64",
    "--config.train.execution=vmap",  # not by a probe: runs in different modes differ in rounding
    "--config.train.epochs=6000",
    "--config.evaluation.every_epochs=150",
    "--config.checkpoint.count=8",
    "--config.checkpoint.save_every_seconds=0.3",
    "--stage=train",
)
# Networks of a real size, a replica for each of 11 bits.
REAL = {
    "mlp": (f"--config={CONFIGS / 'quickstart.py'}", "--config.holdout.bits=all"),
    "transformer": (f"--config={CONFIGS / 'canonical_holdout.py'}:model=transformer,size=small",),
}
SHORT = (
    "--config.train.seeds=1",
    "--config.train.execution=map",
    "--config.train.epochs=2",
    "--stage=train",
)
# What Slurm and spot machines give a process to leave before they kill it.
SECONDS_TO_LEAVE = 30


def results(workdir):
    """Return what must be equal bit for bit: measures, spectra, and metrics without the clock."""
    assert main.main(["main", *LONG[:-1], f"--workdir={workdir}", "--stage=analyse"]) == 0
    directory = only_run(workdir)
    measures = open_study(directory).runs[0]
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    metrics = [{**json.loads(line), "seconds": None} for line in lines]
    return (
        {name: own.values.astype(str).tolist() for name, own in measures.variables.items()},
        (directory / "spectra.npz").read_bytes(),
        metrics,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, run):
    workdir = tmp_path_factory.mktemp("whole")
    run(*LONG, f"--workdir={workdir}")
    return results(workdir)


def test_killed_at_any_moment_a_run_ends_with_the_same_bits(uninterrupted, run, start, tmp_path):
    # kill -9 before the first checkpoint, soon after it, and later, at arbitrary moments.
    for least, pause in ((None, 1.0), (0, 0.0), (4000, 0.11)):
        process = start(*LONG, f"--workdir={tmp_path}")
        if least is not None:
            wait_for_checkpoint(tmp_path, least, process)
        time.sleep(pause)
        assert process.poll() is None, "the run ended before it could be killed"
        process.kill()
        process.wait()
    done = run(*LONG, f"--workdir={tmp_path}")
    assert "continuing from the checkpoint at step" in done.stdout
    assert results(tmp_path) == uninterrupted
    lines = (only_run(tmp_path) / "metrics.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    assert seconds == sorted(seconds), "the clock of training goes on where it stood"


def stopped_by(number, process, workdir):
    """Stop a run by a signal; return the step that it says it saved."""
    process.send_signal(number)
    output = process.communicate(timeout=SECONDS_TO_LEAVE)[0]
    assert process.returncode == 128 + number
    last = output.strip().splitlines()[-1]
    assert last.startswith(f"error: stopped by {signal.Signals(number).name}: saved at step")
    assert "give the same command again" in last
    step = int(last.split("saved at step ")[1].split()[0])
    assert finished_steps(workdir)[-1] == step
    return step


def test_a_signal_saves_and_leaves_with_a_message(uninterrupted, run, start, tmp_path):
    for number in (signal.SIGTERM, signal.SIGINT):  # which is Control-C
        process = start(*LONG, f"--workdir={tmp_path}")
        wait_for_checkpoint(tmp_path, max(finished_steps(tmp_path), default=0) + 100, process)
        step = stopped_by(number, process, tmp_path)
    done = run(*LONG, f"--workdir={tmp_path}")
    assert f"continuing from the checkpoint at step {step}" in done.stdout
    assert results(tmp_path) == uninterrupted


@pytest.mark.parametrize("model", REAL)
def test_networks_of_a_real_size_are_saved_in_the_time_that_a_preemption_gives(
    model, run, start, tmp_path
):
    command = (*REAL[model], *SHORT, f"--workdir={tmp_path}")
    process = start(*command)
    wait_until(lambda: evaluations(tmp_path) > 0, process)  # of the start: now it trains
    step = stopped_by(signal.SIGTERM, process, tmp_path)
    assert 0 < step < 60
    if model == "mlp":  # the larger one
        done = run(*command)
        assert f"continuing from the checkpoint at step {step}" in done.stdout
        assert finished_steps(tmp_path)[-1] == 60


def test_sigterm_while_a_long_evaluation_runs_is_heard_in_time(start, tmp_path):
    # 6 replicas of the paper's MLP on all 2^14 points: some seconds on one device.
    config = f"--config={CONFIGS / 'canonical_holdout.py'}:task=staircase"
    flags = (*SHORT, "--config.holdout.bits=0,1,2,3,4,5", f"--workdir={tmp_path}")
    process = start(config, *flags)
    wait_for_checkpoint(tmp_path, 0, process)
    assert evaluations(tmp_path) == 0, "the evaluation ended before the signal"
    time.sleep(0.5)  # until it has begun: a signal before would rightly end the run at step 0
    assert stopped_by(signal.SIGTERM, process, tmp_path) == 1
    # The checkpoint of the start was there before its evaluation, which goes on to its end.
    assert evaluations(tmp_path) == 1


def test_a_second_process_on_the_same_run_is_refused(run, start, tmp_path):
    endless = (*LONG, "--config.train.epochs=100000000", f"--workdir={tmp_path}")
    process = start(*endless)
    wait_for_checkpoint(tmp_path, 0, process)
    second = run(*endless, check=False)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"is in use by process {process.pid}" in second.stderr


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(uninterrupted, run, start, tmp_path):
    process = start(*LONG, f"--workdir={tmp_path}")
    wait_for_checkpoint(tmp_path, 1000, process)
    process.kill()
    process.wait()
    checkpoints = only_run(tmp_path) / "checkpoints"
    newest = max(int(p.name) for p in checkpoints.iterdir() if p.name.isdigit())
    for path in (checkpoints / str(newest) / "params").rglob("*"):
        if path.is_file() and "d" in path.parts:
            with path.open("r+b") as handle:
                handle.truncate(10)
    done = run(*LONG, f"--workdir={tmp_path}")
    assert f"warning: checkpoint {checkpoints / str(newest)} is damaged" in done.stdout, done.stdout
    assert "using the one before it" in done.stdout
    assert done.stderr == ""
    assert results(tmp_path) == uninterrupted


def test_a_diverged_replica_is_named_and_reported(tmp_path, capsys):
    flags = ("--config.train.optimizer=sgd", "--config.train.learning_rates=1e30")
    flags += ("--config.task.pointer_bits=2",)
    assert main.main(["main", QUICKSTART, *flags, f"--workdir={tmp_path}"]) == 0
    assert "warning: bit0-seed0 diverged at step" in capsys.readouterr().out
    assert (open_study(only_run(tmp_path)).final()["diverged_at"] >= 0).all()
    report = (tmp_path / "canonical_holdout" / "report" / "report.html").read_text()
    assert "bit0-seed0" in report and "diverged" in report


# Loading as a user does, without saying where the arrays shall lie.
@pytest.mark.filterwarnings("ignore:Sharding info not provided:UserWarning")
def test_a_full_disk_is_one_clear_line_and_what_was_saved_stays_readable(
    run, tmp_path, environment
):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs rights that this user has not")
    try:
        done = run(*LONG, f"--workdir={small}", check=False)
        assert done.returncode == 1
        line = done.stderr.strip().splitlines()[-1]
        assert "could not be written" in line and "the disk is full" in line
        assert "what was saved before is intact" in line
        with orbax.training.Checkpointer(only_run(small) / "checkpoints") as checkpoints:
            assert len(checkpoints.checkpoints) > 1
            for saved in checkpoints.checkpoints:
                params = checkpoints.load_checkpointables(saved.step, {"params": None})["params"]
                assert np.isfinite(params["Dense_0"]["kernel"]).all()
    finally:
        subprocess.run(["umount", small], check=True)
