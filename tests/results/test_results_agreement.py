"""Two studies agree, or the line says where they do not, and what was not compared."""

import math

import numpy as np
import pytest
import toy_study

from pvr_jax.results.agreement import TOLERANCE, agreement

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


def test_runs_that_differ_in_a_field_of_some_models_are_compared_one_by_one():
    def runs(factor=1.0):
        deep = [
            toy_study.run(f"d{depth}", "deep", depth * factor, {"model": {"depth": depth}})
            for depth in (2, 3)
        ]
        return (*deep, toy_study.run("m"))

    kept = toy_study.study(*runs())
    found = agreement(fresh(runs=runs()), kept)
    assert found.holds and (found.replicas, found.kept, found.identical) == (30, 30, 30)
    assert not agreement(fresh(runs=runs(1.5)), kept).holds


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


def moved(factors, measure="generalization_error", bit=1):
    """Multiply the values of one cell's seeds at the last step."""

    def change(run):
        values = run[measure].values.copy()
        values[-1, run["frozen_bit"].values == bit] *= factors
        return run.assign({measure: run[measure].copy(data=values)})

    return change


def equal(run):
    """All seeds of a cell are its first, and the best constant's error is small."""
    error = run["generalization_error"].values
    same = np.repeat(error[:, ::5], 5, axis=1)
    return run.assign(
        generalization_error=run["generalization_error"].copy(data=same), constant_error=0.01
    )


@pytest.mark.parametrize(("share", "holds"), [(0.99, True), (1.01, False)])
def test_seeds_that_lie_close_together_may_move_by_a_share(share, holds):
    close = fresh(equal)
    other = fresh(lambda run: moved(1 + share * TOLERANCE)(equal(run)))
    assert agreement(other, close).holds == holds


@pytest.mark.parametrize(("share", "holds"), [(0.99, True), (1.01, False)])
def test_the_share_of_a_fitted_error_is_of_the_best_constants(share, holds):
    def fitted(run, more=0.0):
        error = run["generalization_error"] * 0 + 0.001 + more
        return run.assign(generalization_error=error, constant_error=0.25)

    other = fresh(lambda run: fitted(run, share * TOLERANCE * 0.25))
    assert agreement(other, fresh(fitted)).holds == holds


@pytest.mark.parametrize(("share", "holds"), [(0.99, True), (1.01, False)])
def test_where_inputs_are_withheld_the_share_is_of_the_kept_mean(share, holds):
    def withheld(run, factor=1.0):
        error = (run["generalization_error"] * 0 + 0.06) * factor
        return run.assign(generalization_error=error, constant_error=0.5, unseen_error=2 * error)

    other = fresh(lambda run: withheld(run, 1 + share * TOLERANCE))
    assert agreement(other, fresh(withheld)).holds == holds


@pytest.mark.parametrize(("share", "holds"), [(0.99, True), (1.01, False)])
def test_each_task_has_a_constant_of_its_own(share, holds):
    def fitted(run, more=0.0):
        error = run["generalization_error"] * 0 + 0.001 + more * (run["frozen_bit"] == 1)
        constant = (run["frozen_bit"] == 1) * 0.2 + 0.1
        return run.assign(generalization_error=error, constant_error=constant)

    other = fresh(lambda run: fitted(run, share * TOLERANCE * 0.3))
    assert agreement(other, fresh(fitted)).holds == holds


def test_thresholds_that_are_never_reached_agree_and_one_that_is_does_not():
    def waiting(values):
        return fresh(lambda run: run.assign(
            samples_to_95=("replica", np.tile(np.array(values, float), 2),
                           {"long_name": "samples", "description": "Samples.", "kind": "state"})
        ))  # fmt: skip

    never, soon = waiting([math.inf] * 5), waiting([7e4, 7.1e4, 7.2e4, 7e4, 7e4])
    assert agreement(never, never).holds
    for one, other in ((never, soon), (soon, never)):
        assert "samples_to_95" in str(agreement(one, other))
    assert agreement(waiting([7e4, 7.1e4, math.inf, 7e4, 7e4]), soon).holds, "one just misses it"


def test_an_error_that_is_infinite_on_one_side_does_not_agree():
    assert not agreement(fresh(moved(np.array([1, math.inf, 1, 1, 1]))), KEPT).holds


def test_one_replica_that_is_left_is_not_taken_for_its_cell():
    one = fresh(lambda run: moved(1.3)(run).isel(replica=[0, 5]))
    found = agreement(one, KEPT)
    assert found.means["agree"].all() and not found.holds
    assert "what was compared agrees, but replicas are missing" in str(found)
    two = fresh(lambda run: moved(1.3)(run).isel(replica=[0, 5, 6]))
    assert "do NOT agree" in str(agreement(two, KEPT)), "two have an interval"


def test_diverging_once_is_no_agreement_and_twice_is():
    once = toy_study.study(toy_study.run("x", diverged={(0, 1)}), toy_study.run("y", "mixer"))
    assert not agreement(once, KEPT).holds and agreement(once, KEPT).means["agree"].all()
    assert agreement(once, once).holds


def test_the_order_of_replicas_and_other_runs_play_no_part():
    other = toy_study.run("z", "transformer")
    more = toy_study.study(
        other, *(run.isel(replica=slice(None, None, -1)) for run in reversed(KEPT.runs))
    )
    assert agreement(more, KEPT).holds and agreement(more, KEPT).identical == 20


def test_learning_rates_are_places_of_their_own():
    kept = toy_study.study(toy_study.run(rates=(0.1, 0.2)))
    values = kept.runs[0]["generalization_error"].values.copy()
    values[-1, kept.runs[0]["learning_rate"].values == 0.2] *= 2
    run = kept.runs[0].assign(
        generalization_error=kept.runs[0]["generalization_error"].copy(data=values)
    )
    apart = agreement(toy_study.study(run), kept).means.query("not agree")["place"]
    assert len(apart) == 2 and all("learning_rate 0.2" in place for place in apart)
