"""The degree curriculum in its tiny mode: all stages, resumed, checked, and reproduced exactly."""

import json
import re
import signal
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from run_directories import only_run

import pvr_jax
from experiments import main, registry, reproduce
from pvr_jax import results
from pvr_jax.training import loop

CONFIG = Path(__file__).parents[2] / "configs" / "degree_curriculum.py"
TINY = f"--config={CONFIG}:tiny"


# In one mode: a probe would compile the programs of three.
MODE = "--config.train.execution=vmap"


def invoke(*arguments):
    return main.main(["main", TINY, MODE, *map(str, arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("curriculum")
    assert invoke(f"--workdir={workdir}", "--stage=train") == 0
    return workdir


@pytest.fixture(scope="module")
def finished(trained):
    assert invoke(f"--workdir={trained}") == 0  # what training left is gone on with
    return trained


@pytest.mark.slow
def test_training_leaves_a_line_per_evaluation(trained):
    directory = only_run(trained)
    steps = [json.loads(line)["step"] for line in (directory / "metrics.jsonl").open()]
    assert steps == sorted(set(steps)) and {0, 25, 50} < set(steps)
    assert (directory / "train.done").exists() and not (directory / "measures.json").exists()


@pytest.mark.slow
def test_every_stage_leaves_its_files(finished):
    directory = only_run(finished)
    assert directory.name.startswith("parity-mlp-")
    found = {path.name for path in directory.iterdir()}
    assert {"config.json", "run.json", "metrics.jsonl", "measures.nc"} <= found
    assert {"train.done", "analyse.done"} <= found
    report = directory.parent / "report"
    for name in ("table.md", "table.csv", "stages.md", "replicas.csv", "findings.md"):
        assert (report / name).stat().st_size > 0
    assert "data-chart=" in (report / "report.html").read_text()


@pytest.mark.slow
def test_measures_agree_with_the_metrics_and_with_themselves(finished):
    measures = results.open(finished).runs[0]
    lines = (only_run(finished) / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    assert measures["replica"].values[:3].tolist() == [
        "samples20-leap2-seed1", "samples20-leap2-seed2", "samples20-leap5-seed1",
    ]  # fmt: skip
    assert measures["step"].values.tolist() == [record["step"] for record in metrics]
    trained = pvr_jax.load_params(only_run(finished))
    assert trained.step == metrics[-1]["step"]
    assert list(trained.names) == measures["replica"].values.tolist()
    for name in ("generalization_error", "in_distribution_error", "target_coefficient"):
        column = measures[name].values
        logged = [record[name] for record in metrics]
        np.testing.assert_allclose(column, logged, rtol=1e-3, atol=1e-6)
        # Of some steps there are checkpoints, which are measured in float64.
        kept = json.loads((only_run(finished) / "config.json").read_text())["checkpoint"]["count"]
        assert sum(map(np.array_equal, column, logged)) >= len(logged) - kept - 1 > 0
    # A parity is its own monomial: the mass of degree 5 is the coefficient squared.
    last = measures.isel(step=-1)
    top = last["degree_profile"].sel(degree=5)
    np.testing.assert_allclose(top, last["target_coefficient"] ** 2, rtol=1e-9)
    assert measures["target_degree_profile"].values.tolist() == [0, 0, 0, 0, 0, 1]
    assert measures["constant_error"] == 0.5
    assert last["finished"].all(), "the tiny mode shows the end of both trainings"
    for name in last["replica"].values:
        one = last.sel(replica=name)
        passed = one.isel(stage=one["stage_end"].values >= 0)
        assert passed["stage_end"][-1] == one["iterations"]
        assert passed["samples_inside"][-1] == one["samples"] and passed["radius"][-1] >= 5
        steps = -(-int(one["samples"]) // 8)
        if one["leap"] == 5:
            assert passed.sizes["stage"] == 1
            assert one["iterations"] == steps * one["epochs_to_end"]
        else:
            assert one["iterations"] < steps * one["epochs_to_end"]


@pytest.mark.slow
def test_a_smaller_training_set_is_the_beginning_of_a_larger_one(finished):
    first = results.open(finished).curve("samples_inside").query("stage == 0 and leap == 2")
    inside = first.set_index(["seed", "samples"])["samples_inside"]
    for seed in (1, 2):
        assert inside[seed, 20] <= inside[seed, 40] <= inside[seed, 20] + 20


class Heard(list):
    """A signal that is heard from the `least`-th time on that training asks for it."""

    def __init__(self, least):
        super().__init__([signal.SIGTERM])
        self.left = least

    def __bool__(self):
        self.left -= 1
        return self.left < 0


@pytest.mark.slow
def test_an_interrupted_run_ends_as_if_never_interrupted(finished, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        patched.setattr(loop, "DISPATCH_SECONDS", 0.0)  # an epoch per dispatch
        for least in (1, 66):  # training asks twice per epoch, first whether to save
            patched.setattr(loop, "listen", lambda *_, n=least: nullcontext(Heard(n)))
            status = invoke(f"--workdir={tmp_path}", "--stage=train")
            assert status == 128 + signal.SIGTERM
    assert invoke(f"--workdir={tmp_path}", "--stage=train") == 0
    spoken = capsys.readouterr()
    saved = re.findall(r"saved at step (\d+)", spoken.err)
    continued = re.findall(r"continuing from the checkpoint at step (\d+)", spoken.out)
    assert saved == continued and len(set(saved)) == 2
    assert all(0 < int(step) < 100 and int(step) % 25 for step in saved)
    assert invoke(f"--workdir={tmp_path}", "--stage=analyse") == 0
    first, second = (results.open(workdir).runs[0] for workdir in (finished, tmp_path))
    # A save starts no new mean of the training loss, and an evaluation is never made twice.
    xr.testing.assert_identical(first, second)


@pytest.mark.slow
def test_the_table_holds_the_means_of_the_measures(finished):
    frame = results.open(finished).final()
    table = pd.read_csv(finished / "degree_curriculum" / "report" / "table.csv")
    assert list(table["samples"]) == [20, 40]
    means = frame.groupby(["samples", "leap"])[["iterations", "generalization_error"]].mean()
    for _, row in table.iterrows():
        for ending, leap in (("_baseline", 5), ("", 2)):
            expected = means.loc[(row["samples"], leap)]
            assert row[f"iterations_ended{ending}"] == pytest.approx(expected["iterations"])
            error = row[f"generalization_error{ending}"]
            assert error == pytest.approx(expected["generalization_error"])


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--config.curriculum.leaps=4,5,6", "config.curriculum.leaps: given (4, 5, 6); allowed 5"),
        ("--config.curriculum.leaps=5,", "config.curriculum.leaps: given (5,); allowed 5"),
        ("--config.curriculum.threshold=0.0", "config.curriculum.threshold: given 0.0"),
        ("--config.data.samples=0,3", "config.data.samples: given (0, 3); allowed different"),
        ("--config.task.degree=9", "config.task.degree: given 9"),
        ("--config.model.widths=0,3", "config.model.widths: given"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, flag, complaint):
    assert invoke(flag, f"--workdir={tmp_path}") == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {complaint}") and message.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_analysis_needs_a_finished_training(tmp_path, capsys):
    assert invoke(f"--workdir={tmp_path}", "--stage=analyse") == 1
    assert "has not been through the stage train" in capsys.readouterr().err


@pytest.mark.parametrize("size", reproduce.SIZES)
def test_the_sizes_are_valid(size):
    module = reproduce.load("degree_curriculum")
    (choice,) = module.runs(size)
    config = module.get_config(choice)
    registry.experiment_of(config).validate(config)
    assert config.size == size and config.train.seeds == 10
    assert registry.stages_of(config) == ("train", "analyse", "report")
