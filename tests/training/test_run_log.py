"""What is read back from a run's files, and what is said of those that are damaged."""

import json

import pytest

from pvr_jax.training import environment, run, run_log
from pvr_jax.training.loop import Schedule

STEPS = (0, 10, 20, 30, 40)
PLAN = Schedule(total=40, evaluations=frozenset(STEPS), kept=frozenset({0, 40}))


@pytest.fixture
def directory(tmp_path):
    """A run with five evaluations of two replicas."""
    for step in STEPS:
        run_log.append_metrics(tmp_path, {"step": step, "seconds": step / 10, "error": [1.0, 2.0]})
    return tmp_path


def change(directory, number, line):
    """Replace one line of metrics.jsonl."""
    path = directory / run_log.METRICS
    lines = path.read_bytes().splitlines()
    lines[number] = line
    path.write_bytes(b"\n".join([*lines, b""]))


def steps_of(records):
    return [record["step"] for record in records]


DAMAGES = [
    b'{"step": 10, "sec',
    b"",
    b"\xff\x00\x00",
    b"[1]",
    b"null",
    b'{"step": 10}',
    b'{"step": "10", "seconds": 1.0, "error": [1.0, 2.0]}',
    b'{"step": 40, "seconds": 1.0, "error": [1.0, 2.0, 3.0]}',
    b'{"step": 10, "seconds": 1.0, "error": [[1.0], 2.0]}',
    b'{"step": 10, "seconds": 1.0, "errxr": [1.0, 2.0]}',
]


@pytest.mark.parametrize("line", DAMAGES)
def test_a_damaged_line_costs_no_other_and_is_named_when_the_run_goes_on(directory, line):
    change(directory, 1, line)
    seconds, lost = run_log.rewind_metrics(directory, 30, STEPS)
    assert seconds == 3.0
    assert "of 3 evaluations 1 are lost, at step 10;" in lost and "\n" not in lost
    assert str(directory / run_log.METRICS) in lost
    assert steps_of(run_log.read_metrics(directory)) == [0, 20]


@pytest.mark.parametrize("measured", [{}, {"train_accuracy": [0.5, 1.0], "train_loss": [0.7, 0.0]}])
def test_a_run_of_an_earlier_version_goes_on_with_all_its_lines(tmp_path, measured):
    # Before, the mean batch loss was "train_loss", if no measure of this name took its place.
    earlier = {"train_loss": [2.0, 3.0]} | measured
    for step in STEPS:
        losses = earlier if step < 30 else {"batch_loss": [2.0, 3.0]} | measured
        run_log.append_metrics(tmp_path, {"step": step, "seconds": step / 10, **losses})
    records = run_log.read_metrics(tmp_path)
    assert steps_of(records) == list(STEPS)
    first, last = ({k: v for k, v in records[i].items() if "loss" in k} for i in (0, -1))
    kept = {name: values for name, values in measured.items() if "loss" in name}
    assert last == {"batch_loss": [2.0, 3.0]} | kept
    assert first == {"batch_loss": [None, None] if measured else [2.0, 3.0]} | kept


def test_of_two_lines_with_one_step_neither_is_taken(directory):
    change(directory, 1, b'{"step": 0, "seconds": 1.0, "error": [1.0, 2.0]}')
    _, lost = run_log.rewind_metrics(directory, 30, STEPS)
    assert "of 3 evaluations 2 are lost, at step 0, 10;" in lost


def test_metrics_that_are_gone_are_named(directory):
    (directory / run_log.METRICS).unlink()
    seconds, lost = run_log.rewind_metrics(directory, 30, STEPS)
    assert seconds == 0.0 and "of 3 evaluations 3 are lost, at step 0, 10, 20;" in lost


def test_a_line_cut_off_by_a_kill_is_no_damage(directory):
    change(directory, 3, b'{"step": 30, "sec')
    assert run_log.rewind_metrics(directory, 30, STEPS) == (2.0, "")
    assert steps_of(run_log.read_metrics(directory)) == [0, 10, 20]


def test_what_is_lost_is_left_out_of_an_analysis_and_said(directory, capsys):
    assert steps_of(run.evaluations(directory, PLAN)) == list(STEPS)
    assert capsys.readouterr().out == ""
    change(directory, 1, b"{")
    assert steps_of(run.evaluations(directory, PLAN)) == [0, 20, 30, 40]
    assert "1 are lost, at step 10;" in capsys.readouterr().out
    change(directory, 4, b"{")
    with pytest.raises(run_log.RunError, match="2 are lost, at step 10, 40;"):
        run.evaluations(directory, PLAN)


RECORD = {"replicas": ["a", "b"], "diverged": [None, 3], "stages": {"train": {"last_step": 40}}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "{}",
        json.dumps(RECORD | {"diverged": [None]}),
        json.dumps(RECORD | {"diverged": [None, "3"]}),
        json.dumps(RECORD | {"stages": {}}),
        json.dumps(RECORD)[:40],
        None,
    ],
)
def test_a_damaged_record_is_named_with_what_to_do(tmp_path, text):
    path = tmp_path / run_log.RECORD
    run_log.write_json(path, RECORD)
    assert run_log.read_record(tmp_path) == RECORD
    path.unlink()
    path.mkdir() if text is None else path.write_text(text)
    with pytest.raises(run_log.RunError, match=f"^damaged file {path}: .+; remove it and") as error:
        run_log.read_record(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments, command",
    [
        (["/x/experiments/main.py", "--config=a.py:tiny"],
         "python -m experiments.main --config=a.py:tiny"),
        (["mine.py", "x0 * x1"], "python mine.py 'x0 * x1'"),
    ],
)  # fmt: skip
def test_the_command_of_a_run_is_what_to_type(arguments, command):
    assert environment.command_line(arguments) == command
