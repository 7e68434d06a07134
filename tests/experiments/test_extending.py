"""A study is the set of its replicas: runs that are extended are those asked for all at once."""

import json

import jax
import numpy as np
import pandas as pd
import pytest

import pvr_jax
from configs import canonical_holdout
from experiments import reports
from experiments.canonical_holdout.experiment import EXPERIMENT
from pvr_jax import extending, frame, results, stages
from pvr_jax.results.agreement import agreement
from pvr_jax.training import loop, run_log
from pvr_jax.training.run_log import RunError

SHARED = ["task", "model", "seed", "frozen_bit", "learning_rate", "init_scale"]


def config_of(bits="0,2", epochs=2, task="quadratic_chain", **train):
    config = canonical_holdout.get_config(f"task={task},model=mlp,tiny").unlock()
    config.holdout.bits = bits
    config.checkpoint.count = 2
    config.evaluation.update({"every_epochs": 1, "tracked_pairs": 2})
    config.train.update({"seeds": 2, "execution": "map", **train})
    config.train.epochs = epochs
    return config.lock()


def run(workdir, stages=("train", "analyse"), **choices):
    config = config_of(**choices)
    for stage in stages:
        directory = frame.STAGES[stage](EXPERIMENT, config, workdir)
    return directory


def final(study):
    """The replicas of a study, in one order, without what names the run."""
    found = study.final().drop(columns=["run", "replica", "setting", "size"], errors="ignore")
    return found.sort_values(SHARED, ignore_index=True).sort_index(axis=1)


def same_digits(study, whole, **choices):
    expected = results.open(run(whole, **choices))
    pd.testing.assert_frame_equal(final(study), final(expected), check_exact=True)


def trained(directory):
    """Names of the replicas that a run directory has trained, [] if none."""
    path = directory / run_log.RECORD
    return run_log.read_json(path)["replicas"] if path.is_file() else []


@pytest.mark.slow
@pytest.mark.parametrize(
    "more, count",
    [
        pytest.param({"seeds": 3}, 2, id="seeds"),
        pytest.param({"bits": "0,1,2"}, 2, id="bits"),
        pytest.param({"learning_rates": (5e-5, 1e-4)}, 4, id="rates"),
        pytest.param({"init_scales": (0.5, 1.0)}, 4, id="scales"),
        pytest.param({"seeds": 3, "bits": "0,1"}, 4, id="both"),
    ],
)
def test_only_missing_replicas_are_trained_and_all_are_shown(tmp_path, more, count):
    run(tmp_path / "extended")
    directory = run(tmp_path / "extended", **more)
    assert len(trained(directory)) == count
    same_digits(results.open(directory), tmp_path / "whole", **more)


@pytest.mark.slow
def test_a_study_keeps_all_replicas_and_agrees_with_a_run_of_all(tmp_path):
    run(tmp_path / "extended")
    run(tmp_path / "extended", seeds=3)
    root = tmp_path / "extended" / "canonical_holdout"
    reports.keep(root, tmp_path / "kept")
    run(tmp_path / "whole", seeds=3)
    found = agreement(
        results.open(tmp_path / "whole" / "canonical_holdout"), results.open(tmp_path / "kept")
    )
    assert found.holds and found.replicas == found.identical == 6


@pytest.mark.slow
def test_predictions_are_of_the_replicas_that_a_directory_trains(tmp_path):
    every = ("train", "analyse", "predict")
    run(tmp_path / "extended", every)
    study = results.open(run(tmp_path / "extended", every, seeds=3))
    whole = results.open(run(tmp_path / "whole", every, seeds=3))
    names = ["predicted_generalization_error", "residual"]
    found, expected = (
        s.by_theory(*names).merge(s.final()[["run", "replica", "seed", "frozen_bit"]])
        .sort_values(["frozen_bit", "seed"], ignore_index=True).drop(columns=["run", "replica"])
        for s in (study, whole)
    )  # fmt: skip
    assert len(found) == 6
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.slow
def test_all_replicas_are_there_nothing_is_trained(tmp_path, capsys):
    first = run(tmp_path, bits="0,1,2")
    directory = run(tmp_path, bits="1", seeds=1)
    assert "none is missing" in capsys.readouterr().out
    assert trained(directory) == []
    (found,) = results.open(directory).final().itertuples()
    assert (found.frozen_bit, found.seed, found.run) == (1, 0, first.name)
    assert not results.open(tmp_path / "canonical_holdout").unfinished


@pytest.mark.slow
def test_parameters_are_those_of_all_replicas(tmp_path):
    run(tmp_path / "extended")
    found = pvr_jax.load_params(run(tmp_path / "extended", seeds=3))
    whole = pvr_jax.load_params(run(tmp_path / "whole", seeds=3))
    assert sorted(found.names) == sorted(whole.names)
    for name in whole.names:
        own, other = jax.tree.leaves(found.of(name)), jax.tree.leaves(whole.of(name))
        assert all(map(np.array_equal, own, other))


@pytest.mark.slow
def test_a_longer_training_goes_on_from_the_last_state(tmp_path):
    short = run(tmp_path / "extended", epochs=2)
    directory = run(tmp_path / "extended", epochs=4)
    timing = run_log.read_json(directory / run_log.RECORD)["stages"]["train"]
    assert timing["first_step"] == timing["last_step"] / 2
    same_digits(results.open(directory), tmp_path / "whole", epochs=4)
    shown = results.open(short.parent)
    assert [r.attrs["run"] for r in shown.runs] == [directory.name]  # the shorter one is part of it
    whole = results.open(tmp_path / "whole" / "canonical_holdout")
    curves = [s.curve("generalization_error").drop(columns="run") for s in (shown, whole)]
    both = curves[0].merge(curves[1], on=["replica", "step"])
    assert set(both["step"]) == set(curves[0]["step"])  # it evaluates every epoch
    np.testing.assert_allclose(
        both["generalization_error_x"], both["generalization_error_y"], rtol=1e-6
    )


@pytest.mark.slow
def test_more_seeds_for_longer_are_two_directories(tmp_path):
    run(tmp_path / "extended", epochs=2)
    directory = run(tmp_path / "extended", epochs=4, seeds=3)
    study = results.open(directory)
    assert len(trained(directory)) == 2 and len(study.runs) == 2
    same_digits(study, tmp_path / "whole", epochs=4, seeds=3)
    assert len(results.open(directory.parent).final()) == 6


@pytest.mark.slow
def test_a_run_that_was_interrupted_is_finished_and_extended(tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    advance = loop.Ensemble.advance

    def stopping(self, state, first, last):
        if first >= 2:
            raise Stop
        return advance(self, state, first, last)

    monkeypatch.setattr(loop.Ensemble, "advance", stopping)
    with pytest.raises(Stop):
        run(tmp_path / "extended", ("train",))
    monkeypatch.undo()
    directory = run(tmp_path / "extended", seeds=3)
    assert len(trained(directory)) == 2
    same_digits(results.open(directory), tmp_path / "whole", seeds=3)


@pytest.mark.slow
def test_what_depends_on_the_last_step_starts_anew(tmp_path):
    run(tmp_path, ("train",), epochs=2, decay="cosine")
    directory = run(tmp_path, ("train",), epochs=4, decay="cosine")
    assert run_log.read_json(directory / run_log.RECORD)["stages"]["train"]["first_step"] == 0


@pytest.mark.slow
def test_other_targets_and_evaluations_share_nothing(tmp_path):
    run(tmp_path, ("train",))
    directory = run(tmp_path, ("train",), task="linear")
    assert not extending.parts_of(directory).others and len(trained(directory)) == 4


def test_other_versions_are_refused_in_one_line(tmp_path):
    path = run(tmp_path, ("train",)) / run_log.RECORD
    record = run_log.read_json(path)
    run_log.write_json(path, record | {"git_commit": "0" * 40})
    with pytest.raises(RunError, match=r"trained by commit 0{12}, this is .*; give another --wor"):
        run(tmp_path, seeds=3)
    longer = stages.run_directory(EXPERIMENT, config_of(seeds=3), tmp_path)
    assert not longer.exists()
    with pytest.raises(RunError, match="trained by commit"):
        run(tmp_path, epochs=4)


@pytest.mark.slow
def test_a_run_whose_replicas_are_gone_is_refused_in_one_line(tmp_path):
    first = run(tmp_path)
    second = run(tmp_path, seeds=3)
    first.rename(tmp_path / "away")
    with pytest.raises(RunError, match=f"shares replicas with {first}, which is gone"):
        frame.train(EXPERIMENT, config_of(seeds=3), tmp_path)
    (second / run_log.PARTS).write_text("{")
    with pytest.raises(RunError, match=r"damaged file .*parts\.json"):
        frame.train(EXPERIMENT, config_of(seeds=3), tmp_path)


@pytest.mark.slow
def test_parts_are_decided_once(tmp_path):
    run(tmp_path, ("train",))
    directory = run(tmp_path, ("train",), seeds=3)
    written = json.loads((directory / run_log.PARTS).read_text())
    run(tmp_path, ("train",), bits="0", seeds=1, learning_rates=(1e-3,))
    run(tmp_path, seeds=3)
    assert json.loads((directory / run_log.PARTS).read_text()) == written
