"""Two studies agree, or the line says where they do not, and what was not compared."""

import numpy as np
import pytest
import toy_study

from pvr_jax.results.agreement import agreement

KEPT = toy_study.study(toy_study.run(), toy_study.run("b", "mixer"))


def fresh(change=lambda run: run, runs=None):
    own = runs or (toy_study.run("x"), toy_study.run("y", "mixer"))
    return toy_study.study(*(change(run.copy(deep=True)) for run in own))


def test_the_same_numbers_agree_whatever_the_runs_are_called():
    found = agreement(fresh(), KEPT)
    assert found.holds and (found.replicas, found.kept, found.identical) == (20, 20, 20)
    assert "they agree" in str(found)


def test_a_new_field_with_a_default_orphans_nothing():
    newer = [
        toy_study.run(name, model, config={"train": {"newer": 1}})
        for name, model in (("x", "mlp"), ("y", "mixer"))
    ]
    assert agreement(fresh(runs=newer), KEPT).holds


@pytest.mark.parametrize("measure", ["generalization_error", "degree_profile", "influence"])
def test_a_measure_that_differs_is_named(measure):
    def change(run):
        run[measure] = run[measure] * 1.5 + 0.1
        return run

    found = agreement(fresh(change), KEPT)
    assert not found.holds and measure in str(found) and "do NOT agree" in str(found)
    assert set(found.means.loc[~found.means["agree"], "measure"]) == {measure}


def test_means_within_the_spread_of_seeds_agree():
    def change(run):
        order = np.roll(np.arange(5), 1)
        values = run["accuracy"].values.reshape(3, 2, 5)[..., order].reshape(3, 10)
        return run.assign(accuracy=run["accuracy"].copy(data=values))

    found = agreement(fresh(change), KEPT)
    assert found.holds and found.identical < found.replicas


def test_what_is_missing_is_said():
    runs = (toy_study.run("x", seeds=4), toy_study.run("y", "mixer").drop_vars("accuracy"))
    found = agreement(fresh(runs=runs), KEPT)
    assert not found.holds
    assert "replicas are missing (bit0-rate0.1-seed4, bit1-rate0.1-seed4)" in str(found)
    lost = agreement(
        fresh(runs=(toy_study.run("x", diverged={(0, 0)}), toy_study.run("y", "mixer"))), KEPT
    )
    assert "diverged on one side only (bit0-rate0.1-seed0)" in str(lost) and not lost.holds
    nothing = agreement(toy_study.study(toy_study.run("z", "transformer")), KEPT)
    assert "nothing was compared" in str(nothing) and not nothing.holds


def test_a_wide_interval_is_counted_as_one_that_could_hardly_disagree():
    def change(run):
        noise = np.where(run["seed"] % 2, 5.0, 0.01)
        run["generalization_error"] = run["generalization_error"] * noise
        return run

    both = fresh(change)
    found = agreement(both, both)
    errors = found.means[found.means["measure"] == "generalization_error"]
    assert errors["loose"].all() and found.holds
