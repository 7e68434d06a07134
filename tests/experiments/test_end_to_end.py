"""Every config in its tiny mode through all stages, as a user runs it."""

import contextlib
import csv
import importlib.util
import io
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from run_directories import only_run

from experiments import main
from experiments.canonical_holdout import experiment
from pvr_jax import results
from pvr_jax.analysis import measures as measures_module
from pvr_jax.experiment import task_of
from pvr_jax.training import run_log

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
QUICKSTART = f"{CONFIGS / 'quickstart.py'}:tiny"
SMALL = (f"--config={QUICKSTART}", "--config.task.pointer_bits=2")  # on 6 bits


def load(name):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path):
    return json.loads(path.read_text())


def invoke(*arguments):
    """Run the command line in this process, which spares the start of another."""
    assert main.main(["main", *map(str, arguments)]) == 0


class Quickstart(NamedTuple):
    """The shrunk quickstart: its work directory, its flags, what it has printed, what it has."""

    workdir: Path
    flags: tuple[str, ...]
    output: list[str]
    influences: dict[str, float]
    points: int

    def go_through(self, *stages):
        """Go through stages in this process; those of the whole are all done."""
        if self.flags:
            for stage in stages:
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    invoke(*self.command, f"--stage={stage}")
                self.output.append(printed.getvalue())
        return self

    @property
    def command(self):
        return (f"--config={QUICKSTART}", f"--workdir={self.workdir}", *self.flags)

    @property
    def directory(self):
        return only_run(self.workdir)


# A stage at a time on 6 bits, in this process and without a probe, which compiles more programs;
# and slow, all stages on the 11 bits of the quickstart by one command, as a user gives it.
@pytest.fixture(scope="module", params=["stages", pytest.param("whole", marks=pytest.mark.slow)])
def trained(request, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("quickstart")
    if request.param == "whole":
        done = request.getfixturevalue("run")(f"--config={QUICKSTART}", f"--workdir={workdir}")
        return Quickstart(workdir, (), [done.stdout], {"0": 0.46875, "2": 0.21875}, 2048)
    flags = ("--config.task.pointer_bits=2", "--config.model.widths=(16,)")
    flags += ("--config.train.execution=vmap",)
    return Quickstart(workdir, flags, [], {"0": 0.25, "2": 0.125}, 64).go_through("train")


@pytest.fixture(scope="module")
def analysed(trained):
    return trained.go_through("analyse")


@pytest.fixture(scope="module")
def predicted(analysed):
    return analysed.go_through("predict")


@pytest.fixture(scope="module")
def quickstart(predicted):
    return predicted.go_through("report")


def test_a_run_that_would_see_what_it_freezes_does_not_start(monkeypatch, tmp_path):
    config, other = (load("quickstart").get_config("tiny").unlock() for _ in range(2))
    for each in (config, other):  # as the run of the next tests
        each.task.pointer_bits, each.model.widths = 2, (16,)
        each.train.execution = "vmap"
    other.holdout.value = -1
    wrong = experiment.training_set(other, task_of(other))
    monkeypatch.setattr(experiment, "training_set", lambda *_: wrong)
    with pytest.raises(run_log.RunError, match=r"^(\d+) of \1 training rows are withheld inputs"):
        main.run_stage("train", config, tmp_path)
    assert not list(tmp_path.rglob("metrics.jsonl"))


def test_every_training_row_was_looked_at_before_training(trained):
    samples = read(trained.directory / "config.json")["data"]["samples"]
    found = read(trained.directory / "run.json")["training_rows"]
    assert found == {"checked": 4 * samples, "unseen": 0}


def test_measures_are_complete_and_consistent_with_the_metrics(analysed):
    directory, influences = analysed.directory, analysed.influences
    measures = results.read(directory / "measures.nc")
    metrics = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert measures["replica"].values.tolist() == [
        "bit0-seed0", "bit0-seed1", "bit2-seed0", "bit2-seed1",
    ]  # fmt: skip
    assert measures["influence"].values.tolist() == [
        influences[bit] for bit in "02" for _ in range(2)
    ]
    # Training measured in float32 inside its program, analysis in float64 from the checkpoints.
    by_step = {record["step"]: record for record in metrics}
    steps = measures["step"].values.tolist()
    assert set(steps) <= set(by_step)
    for name, column in measures.data_vars.items():
        if "step" in column.dims and name != "leak_by_degree":
            for row, step in enumerate(steps):
                np.testing.assert_allclose(column[row], by_step[step][name], rtol=2e-3, atol=1e-5)
    with np.load(directory / "spectra.npz", allow_pickle=False) as spectra:
        assert spectra["step"].tolist() == steps[-1:]
        mass = np.sum(spectra["coefficients"][-1].astype(float) ** 2, axis=1)
        profile = measures["degree_profile"].values[-1]
        np.testing.assert_allclose(mass, profile.sum(axis=1), rtol=1e-5)
        assert spectra["target"].shape == (analysed.points,)


def test_predictions_are_of_every_theory(predicted):
    found = results.read(predicted.directory / "predictions.nc")["predicted_generalization_error"]
    known = found.isel(theory=np.isfinite(found.values).all(axis=0))
    assert set(known["theory"].values) == {"influence", "wide_ntk", "empirical_ntk"}
    expected = [predicted.influences[bit] for bit in "02" for _ in range(2)]
    assert known.sel(theory="influence").values == pytest.approx(expected)


@pytest.mark.slow
def test_the_quickstart_leaves_every_promised_file(quickstart):
    directory, output = quickstart.directory, "".join(quickstart.output)
    assert directory.name.startswith("pvr-mlp-") and len(directory.name.split("-")[-1]) == 8
    expected = {"config.json", "run.json", "metrics.jsonl", "measures.nc", "spectra.npz"}
    expected.add("predictions.nc")
    assert expected <= {path.name for path in directory.iterdir()}
    report = directory.parent / "report"
    for name in ("table.csv", "table.md", "table.tex", "replicas.csv", "report.html"):
        assert (report / name).stat().st_size > 0
    for suffix in ("svg", "pdf", "png"):
        assert (report / "figures" / f"error.{suffix}").stat().st_size > 0
    assert f"report: {report / 'report.html'}" in output
    assert "compiled in" in output and "replica-steps/s" in output
    assert "frozen bit" in output


@pytest.mark.slow
def test_the_table_holds_the_means_of_the_measures(quickstart):
    directory = quickstart.directory
    errors = results.open(directory).final()["generalization_error"].to_numpy().reshape(2, 2)
    with (directory.parent / "report" / "table.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2
    for row, values, influence in zip(rows, errors, quickstart.influences.values(), strict=True):
        numbers = [float(value) for value in row.values() if _is_number(value)]
        assert any(number == pytest.approx(values.mean(), rel=1e-6) for number in numbers)
        assert influence in numbers


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.slow
def test_the_stages_of_a_finished_run_are_skipped(quickstart, capsys):
    directory = quickstart.directory
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir() if path.is_file()}
    for stage in ("train", "analyse", "predict"):
        invoke(*quickstart.command, f"--stage={stage}")
    assert "compiled" not in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in directory.iterdir() if path.is_file()}
    results = {path for path in before if path.name != "lock"}
    assert {path: after[path] for path in results} == {path: before[path] for path in results}


@pytest.mark.slow
def test_the_report_is_made_from_the_files_alone_without_jax(quickstart, run, tmp_path):
    workdir = quickstart.workdir
    copy = tmp_path / "copied elsewhere"
    shutil.copytree(workdir, copy, ignore=shutil.ignore_patterns("report", "checkpoints"))
    # A directory with a broken jax comes first on the path: importing it would fail.
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "jax.py").write_text("raise RuntimeError('the report must not import JAX')")
    done = run("--stage=report", f"--workdir={copy}", PYTHONPATH=f"{broken}:{ROOT}")
    assert f"report: {copy / 'canonical_holdout' / 'report' / 'report.html'}" in done.stdout
    original = (workdir / "canonical_holdout" / "report" / "table.csv").read_text()
    assert (copy / "canonical_holdout" / "report" / "table.csv").read_text() == original


@pytest.mark.slow
def test_analysis_needs_a_finished_training(run, tmp_path):
    done = run(f"--config={QUICKSTART}", f"--workdir={tmp_path}", "--stage=analyse", check=False)
    assert done.returncode == 1
    assert "has not been through the stage train" in done.stderr and done.stderr.count("\n") == 1


# Tasks that a study of test_reproduce or of the documents trains.
OF_STUDIES = {"pvr", "pvr_majority", "quadratic_chain", "staircase", "polynomial", "parity"}
TASKS = sorted(set(load("canonical_holdout").TASKS) - OF_STUDIES)


@pytest.mark.slow
@pytest.mark.parametrize("task", [*TASKS, "user_tasks:second_bit"])
def test_every_other_task_is_trained_and_analysed_in_its_tiny_mode(tmp_path, monkeypatch, task):
    flags = []
    if task == "truth_table":
        path = tmp_path / "table.npy"
        np.save(path, np.random.default_rng(0).choice([-1.0, 1.0], 2**5))
        flags = [f"--config.task.path={path}"]
    if ":" in task:
        (tmp_path / "user_tasks.py").write_text("def second_bit(x):\n    return x[..., 1]\n")
        monkeypatch.chdir(tmp_path)
        flags = ["--config.task.n=4"]
    config = f"--config={CONFIGS / 'canonical_holdout.py'}:task={task},tiny"
    for stage in ("train", "analyse"):
        invoke(config, f"--workdir={tmp_path}", f"--stage={stage}", *flags)
    assert np.isfinite(results.open(only_run(tmp_path)).final()["generalization_error"]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--config.data.source=whole", "--config.data.order=shuffled"],
        ["--config.data.source=fresh", "--config.holdout.value=-1"],
        ["--config.train.optimizer=sgd", "--config.train.learning_rates=1e-3"],
        ["--config.train.execution=chunked", "--config.train.group_size=3"],
    ],
    ids=lambda flags: flags[0],
)
def test_the_choices_of_data_optimiser_and_execution_train(tmp_path, flags):
    invoke(*SMALL, f"--workdir={tmp_path}", "--stage=train", *flags)
    assert (only_run(tmp_path) / "train.done").exists()


@pytest.mark.slow
def test_spectra_of_every_kept_checkpoint_are_written_when_asked_for(tmp_path):
    for stage in ("train", "analyse"):
        flags = ("--config.evaluation.spectra=all", f"--stage={stage}")
        invoke(*SMALL, f"--workdir={tmp_path}", *flags)
    measures = results.read(only_run(tmp_path) / "measures.nc")
    with np.load(only_run(tmp_path) / "spectra.npz", allow_pickle=False) as spectra:
        kept = spectra["step"].tolist()
        # Between checkpoints measures are those that training logged.
        assert set(kept) < set(measures["step"].values.tolist())
        mass = np.sum(np.square(spectra["coefficients"].astype(float)), axis=2)
    exact = measures["degree_profile"].sel(step=kept).sum("degree")
    np.testing.assert_allclose(mass, exact, rtol=1e-5)


@pytest.mark.slow
def test_a_new_measure_is_in_every_file_and_in_the_report_by_its_name(tmp_path, monkeypatch):
    def largest_value(learned, target, seen):
        return {"largest_value": jnp.max(learned)}

    monkeypatch.setattr(measures_module, "MEASURES", (*measures_module.MEASURES, largest_value))
    jax.clear_caches()
    invoke(*SMALL, "--config.holdout.bits=4", f"--workdir={tmp_path}")
    jax.clear_caches()
    measured = results.read(only_run(tmp_path) / "measures.nc")["largest_value"]
    assert measured.shape == (4, 2)  # at four evaluations, for two seeds
    with (tmp_path / "canonical_holdout" / "report" / "replicas.csv").open() as handle:
        values = [float(row["largest_value"]) for row in csv.DictReader(handle)]
    np.testing.assert_allclose(values, measured[-1])
    assert "largest value" in (tmp_path / "canonical_holdout/report/report.html").read_text()


@pytest.mark.slow
def test_a_frozen_value_of_minus_one_has_its_sign_in_the_prediction(tmp_path):
    # x_k = -1: the low-degree bias gives T the coefficient f^(T) - f^(T u {k}).
    config = f"--config={CONFIGS / 'canonical_holdout.py'}:task=quadratic_chain,tiny"
    flags = ("--config.holdout.value=-1", "--config.holdout.bits=7")
    for stage in ("train", "analyse"):
        invoke(config, f"--workdir={tmp_path}", f"--stage={stage}", *flags)
    pairs = results.read(only_run(tmp_path) / "measures.nc").isel(replica=0)
    limits = dict(zip(pairs["pair_low"].values, pairs["pair_limit"].values, strict=True))
    assert limits["x6"] == -7 and limits["x8"] == -8
