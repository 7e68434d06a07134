"""The degree curriculum in its tiny mode: all stages, resumed, checked, and reproduced exactly."""

import json
import re
import signal
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_directories import only_run

import pvr_jax
from experiments import command_line, main, reproduce
from pvr_jax.training import loop

CONFIG = Path(__file__).parents[2] / "configs" / "degree_curriculum.py"
TINY = f"--config={CONFIG}:tiny"


# In one mode: a probe would compile the programs of three.
MODE = "--config.train.execution=vmap"


def invoke(*arguments):
    return main.main(["main", TINY, MODE, *map(str, arguments)])


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("curriculum")
    assert invoke(f"--workdir={workdir}", "--stage=train") == 0
    return workdir


@pytest.fixture(scope="module")
def finished(trained):
    assert invoke(f"--workdir={trained}") == 0  # what training left is gone on with
    return trained


def test_training_leaves_a_line_per_evaluation(trained):
    directory = only_run(trained)
    steps = [json.loads(line)["step"] for line in (directory / "metrics.jsonl").open()]
    assert steps == sorted(set(steps)) and {0, 25, 50} < set(steps)
    assert (directory / "train.done").exists() and not (directory / "measures.json").exists()


def test_every_stage_leaves_its_files(finished):
    directory = only_run(finished)
    assert directory.name.startswith("parity-mlp-")
    found = {path.name for path in directory.iterdir()}
    assert {"config.json", "run.json", "metrics.jsonl", "measures.json"} <= found
    assert {"train.done", "analyse.done"} <= found
    report = directory.parent / "report"
    for name in ("table.md", "table.csv", "stages.md", "replicas.csv", "findings.md"):
        assert (report / name).stat().st_size > 0
    assert "data:image/svg+xml" in (report / "report.html").read_text()


def test_measures_agree_with_the_metrics_and_with_themselves(finished):
    measures = read(only_run(finished) / "measures.json")
    lines = (only_run(finished) / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    replicas = measures["replicas"]
    assert [entry["name"] for entry in replicas[:3]] == [
        "samples20-leap2-seed1", "samples20-leap2-seed2", "samples20-leap5-seed1",
    ]  # fmt: skip
    assert measures["epochs"] == [record["step"] for record in metrics]
    trained = pvr_jax.load_params(only_run(finished))
    assert trained.step == metrics[-1]["step"]
    assert list(trained.names) == [entry["name"] for entry in replicas]
    for name, column in measures["measures"].items():
        np.testing.assert_allclose(column[-1], metrics[-1][name], rtol=1e-3, atol=1e-6)
        assert column[:-1] == [record[name] for record in metrics[:-1]]
    # A parity is its own monomial: the mass of degree 5 is the coefficient squared.
    top = np.array(measures["degree_profile"][-1])[:, 5]
    coefficient = np.array(measures["measures"]["target_coefficient"][-1])
    np.testing.assert_allclose(top, coefficient**2, rtol=1e-9)
    assert measures["target_degree_profile"] == [0, 0, 0, 0, 0, 1]
    assert measures["half_variance"] == 0.5
    for index, entry in enumerate(replicas):
        assert measures["iterations"][-1][index] == entry["iterations"]
        assert entry["finished"], "the tiny mode shows the end of both arms"
        last = entry["stages"][-1]
        assert (last["epochs"], last["iterations"]) == (entry["epochs"], entry["iterations"])
        assert last["samples"] == entry["samples"] and last["radius"] >= 5
        steps = -(-entry["samples"] // 8)
        if entry["leap"] == 5:
            assert len(entry["stages"]) == 1
            assert entry["iterations"] == steps * entry["epochs"]
        else:
            assert entry["iterations"] < steps * entry["epochs"]


def test_a_smaller_training_set_is_the_beginning_of_a_larger_one(finished):
    stages = {
        (e["seed"], e["leap"], e["samples"]): e["stages"][0]["samples"]
        for e in read(only_run(finished) / "measures.json")["replicas"]
    }
    for seed in (1, 2):
        assert stages[seed, 2, 20] <= stages[seed, 2, 40] <= stages[seed, 2, 20] + 20


class Heard(list):
    """A signal that is heard from the `least`-th time on that training asks for it."""

    def __init__(self, least):
        super().__init__([signal.SIGTERM])
        self.left = least

    def __bool__(self):
        self.left -= 1
        return self.left < 0


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
    first, second = (read(only_run(workdir) / "measures.json") for workdir in (finished, tmp_path))
    # A save starts no new mean of the training loss, and an evaluation is never made twice.
    assert first == second


def test_the_table_holds_the_means_of_the_measures(finished):
    measures = read(only_run(finished) / "measures.json")
    table = pd.read_csv(finished / "degree_curriculum" / "report" / "table.csv")
    assert list(table["samples"]) == [20, 40]
    frame = pd.DataFrame(measures["replicas"])
    frame["error"] = measures["measures"]["generalization_error"][-1]
    means = frame.groupby(["samples", "leap"])[["iterations", "error"]].mean()
    for _, row in table.iterrows():
        for side, leap in (("normal", 5), ("curriculum", 2)):
            expected = means.loc[(row["samples"], leap)]
            assert row[f"iterations_{side}"] == pytest.approx(expected["iterations"])
            assert row[f"generalization_error_{side}"] == pytest.approx(expected["error"])


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
    command_line.load_experiment(config.experiment, "settings").validate(config)
    assert config.size == size and config.train.seeds == 10
    assert command_line.stages_of(config.experiment) == ("train", "analyse", "report")
