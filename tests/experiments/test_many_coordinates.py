"""Unseen domains of more coordinates than can be enumerated, and sampled evaluation."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from experiments import main, reproduce
from experiments.unseen_domain import theories
from experiments.unseen_domain.experiment import EXPERIMENT, facts
from experiments.unseen_domain.reference import (
    points_of,
    reference_of,
    restored,
    seen_set_of,
    split_of,
    tracked_monomials,
)
from pvr_jax import results, tasks, theory
from pvr_jax.analysis import unseen
from pvr_jax.building import build, replica_table
from pvr_jax.experiment import task_of
from pvr_jax.refusal import Refusal

CONFIG = reproduce.load("unseen_domain")
PARITY = "x2*x9*x23*x36"


def changed(choice, **overrides):
    """A configuration with some fields set, `section__field=value`."""
    config = CONFIG.get_config(choice)
    with config.unlocked():
        for name, value in overrides.items():
            section, field = name.split("__")
            config[section][field] = value
    return config


def of_forty(choice="", **overrides):
    fields = {"task__n": 40, "task__expression": PARITY, "data__source": "sampled"}
    return changed(f"setting=user,model=mlp,tiny{choice}", **fields | overrides)


@pytest.mark.parametrize(
    ("task", "holdout", "coordinates", "others"),
    [
        (("polynomial", {"expression": PARITY}), "x0 = 1 or x1 = 1", (0, 1, 2, 9, 23, 36), 0),
        (("parity", {"coordinates": (36, 2)}), "x36 = 1", (2, 36), 0),
        (("polynomial", {"expression": "x30*x30*x5 + x39 - x39"}), "x7 = 1", (5, 7), 0),
        (("parity", {"degree": 2}), " and ".join(f"x{i} = 1" for i in range(30)), (0, 1), 28),
    ],
)
def test_relevant_coordinates_follow_from_expression_and_condition(
    task, holdout, coordinates, others
):
    config = of_forty(holdout__condition=holdout)
    with config.unlocked():
        config.task = {"name": task[0], "n": 40, **task[1]}
    split = split_of(config)
    assert split.coordinates == coordinates
    assert len(split.others) == others


def test_bits_anywhere_have_the_reference_of_the_first_ones():
    small = changed("setting=user,model=mlp", task__expression="x0*x1*x2*x3", task__n=6)
    with small.unlocked():
        small.holdout.condition = "x0 = 1 or x2*x4 = 1"
    moved = of_forty(holdout__condition="x2 = 1 or x23*x39 = 1")
    one, other = reference_of(small), reference_of(moved)
    assert (one.n, other.coordinates) == (6, (2, 9, 23, 36, 39))
    for name in ("truth", "seen", "interpolator"):
        np.testing.assert_allclose(getattr(one, name)[::2], getattr(other, name), atol=1e-12)
    monomials = tracked_monomials(other, 16)
    assert set(monomials.sets) >= {(2, 9, 23, 36)}
    assert all(set(own) <= {2, 9, 23, 36, 39} for own in monomials.sets)


EXPRESSION = "x0*x1 - 0.5*x1*x3 + 2*x0*x1*x2 + x3"


@pytest.mark.parametrize(
    "other", ["x4 = 1", "x4*x5 = -1", "(x4 = 1 or x5 = 1)", "x4 + x5 + x6 > 0"]
)
@pytest.mark.parametrize("own", ["x0 = 1", "(x0 = 1 or x1*x2 = 1)"])
def test_parts_that_share_no_coordinate_with_the_target_do_not_change_the_interpolator(own, other):
    """Enumerated with all coordinates, against the interpolator on those of the target."""
    target = np.asarray(tasks.exact_values(tasks.make("polynomial", n=7, expression=EXPRESSION)))
    seen = tasks.make_seen_set("where", 7, condition=f"{own} and {other}").mask()
    whole = theory.min_degree_interpolator(target, seen)
    own_target = tasks.exact_values(tasks.make("polynomial", n=4, expression=EXPRESSION))
    own_seen = tasks.make_seen_set("where", 4, condition=own).mask()
    reduced = theory.min_degree_interpolator(own_target, own_seen)
    np.testing.assert_allclose(whole, np.repeat(reduced, 8), atol=1e-9)


@pytest.mark.parametrize("frozen", slow_but([26], [26, 30]))
def test_more_than_twenty_four_frozen_bits(frozen):
    """Bits 5 to 5 + frozen are frozen, two or three of the parity's among them."""
    coordinates = tuple(range(5, 5 + frozen))
    config = of_forty(
        ",holdout=subcube",
        holdout__coordinates=coordinates,
        holdout__values=(1, -1) * (frozen // 2),
    )
    EXPERIMENT.validate(config)
    reference = reference_of(config)
    assert reference.coordinates == (2, 9, 23, 36)
    inside = [i for i in (2, 9, 23, 36) if i in coordinates]
    assert reference.other_share == 0.5 ** (frozen - len(inside))
    points = points_of(config, reference)
    values = dict(zip(coordinates, config.holdout["values"], strict=True))
    known = np.prod([values[i] for i in inside])
    free = [i for i in (2, 9, 23, 36) if i not in coordinates]
    np.testing.assert_allclose(points.interpolator, known * points.inputs[:, free].prod(axis=1))
    assert points.seen.sum() >= 32 and (~points.seen[: points.uniform]).all()
    np.testing.assert_array_equal(
        points.seen, (points.inputs[:, coordinates] == config.holdout["values"]).all(axis=1)
    )
    found = facts(task_of(config), seen_set_of(config, 40), reference, points)
    assert found["seen_fraction"] == 0.5**frozen
    own = (config, replica_table(EXPERIMENT, config), lambda: iter(()))
    # Half of the inputs have another sign; nearly all are unseen.
    predicted = theories.min_degree(*own)
    np.testing.assert_allclose(predicted["predicted_generalization_error"], 1)
    np.testing.assert_allclose(predicted["predicted_unseen_error"], 1 / (1 - 0.5**frozen))


def test_the_mean_over_unseen_inputs_counts_all_parts():
    """x0 and x20 frozen of 21 coordinates: three quarters are unseen."""
    config = changed(
        "setting=user,model=mlp,holdout=subcube,tiny",
        task__n=22,
        task__expression="x0*x1 + x1",
        data__source="sampled",
        holdout__coordinates=(0, *range(2, 22)),
        holdout__values=(1,) * 21,
    )
    reference = reference_of(config)
    values = np.arange(4.0)  # at (x0, x1) = (-1, -1), (-1, 1), (1, -1), (1, 1)
    share = 0.5**20
    expected = (6 / 4 - share * 5 / 4) / (1 - share / 2)
    assert reference.other_share == share
    assert reference.mean_unseen(values) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("choice", "overrides", "words"),
    [
        (",holdout=hamming_ball", {"holdout__radius": 10}, "40 coordinates"),
        (",holdout=parity", {"holdout__coordinates": tuple(range(5, 35))}, "32 coordinates"),
    ],
)
def test_sets_of_many_coordinates_are_sampled_without_interpolator(choice, overrides, words):
    config = of_forty(choice, **overrides)
    EXPERIMENT.validate(config)
    reference = reference_of(config)
    points = points_of(config, reference)
    seen_set = seen_set_of(config, 40)
    np.testing.assert_array_equal(points.seen, seen_set.predicate(jnp.asarray(points.inputs)))
    np.testing.assert_array_equal(points.truth, points.inputs[:, [2, 9, 23, 36]].prod(axis=1))
    assert points.seen.sum() >= 32 <= (~points.seen).sum()
    program = EXPERIMENT.build(config, replica_table(EXPERIMENT, config))
    assert "without the MDI" in program.exact["evaluated"]
    assert program.exact["target_mean_square"] == 1
    assert program.coordinates["monomial"] == ["x₂x₉x₂₃x₃₆"]
    measured = program.measure(jnp.zeros(len(points.truth)), {})
    assert float(measured["unseen_error"]) == float(measured["in_distribution_error"]) == 0.5
    assert float(measured["unseen_error_sampling"]) == 0
    assert np.isnan(measured["unseen_distance"])
    own = (config, replica_table(EXPERIMENT, config), lambda: iter(()))
    with pytest.raises(Refusal, match=f"too large a problem: {words}"):
        theories.min_degree(*own)


def test_a_pointer_function_of_37_bits_has_the_interpolator_of_a_subcube():
    config = changed(
        "setting=user,task=pvr,model=mlp,holdout=subcube,tiny",
        task__pointer_bits=5,
        data__source="sampled",
        holdout__coordinates=(0, 7),
        holdout__values=(1, -1),
    )
    EXPERIMENT.validate(config)
    reference = reference_of(config)
    points = points_of(config, reference)
    replaced = points.inputs.copy()
    replaced[:, 0], replaced[:, 7] = 1, -1
    target = task_of(config).target
    np.testing.assert_array_equal(points.interpolator, target(jnp.asarray(replaced)))
    predicted = theories.min_degree(
        config, replica_table(EXPERIMENT, config), lambda: iter([points.truth, points.interpolator])
    )
    halves = np.square(points.truth - points.interpolator)[~points.seen] / 2
    np.testing.assert_allclose(predicted["predicted_unseen_error"], halves.mean())
    np.testing.assert_allclose(predicted["residual"], [halves.mean(), 0])
    monomials = tracked_monomials(reference, 4)
    assert len(monomials.sets) == 4 and np.isfinite(monomials.target).all()


@pytest.mark.parametrize("expression", [EXPRESSION, "x0*x1*x2"])
def test_the_interpolator_of_a_subcube_is_the_target_with_its_values(expression):
    task = tasks.make("polynomial", n=5, expression=expression)
    seen = tasks.make_seen_set("subcube", 5, coordinates=(1, 2), values=(1, -1))
    target = tasks.exact_values(task)
    points = np.array(list(itertools.product([-1.0, 1.0], repeat=5)), np.float32)
    found = task.target(jnp.asarray(restored(points, seen)))
    np.testing.assert_allclose(
        theory.min_degree_interpolator(target, seen.mask()), found, atol=1e-12
    )


def measured(config, learned):
    """All measures of a learned function of x [..., n]."""
    program = EXPERIMENT.build(config, replica_table(EXPERIMENT, config))
    points = points_of(config, reference_of(config))
    x = np.array(list(itertools.product([-1, 1], repeat=14))) if points.inputs is None else None
    values = learned(points.inputs if x is None else x)
    return {name: np.asarray(own) for name, own in program.measure(values, {}).items()}


def test_sampled_measures_are_the_enumerated_ones_within_their_errors():
    """Errors within 5 standard errors of those over the whole cube; at n = 14."""
    weights = np.random.default_rng(0).normal(size=14).astype(np.float32)

    def learned(x):
        return jnp.tanh(jnp.asarray(x, jnp.float32) @ weights / 3)

    condition = "x0 = 1 or x1 = 1 or x2*x3 = 1"
    common = {"task__n": 14, "holdout__condition": condition, "evaluation__samples": 4096}
    choice = "setting=user,model=mlp,tiny"
    exact = measured(changed(choice, **common), learned)
    sampled = measured(changed(choice, **common, evaluation__points="sampled"), learned)
    assert not any("sampling" in name for name in exact) and "degree_profile" not in sampled
    for name in ("generalization_error", "in_distribution_error", "unseen_error"):
        error = sampled[f"{name}_sampling"]
        assert 0 < error < 0.05 * exact[name]
        assert abs(sampled[name] - exact[name]) < 5 * error, name
        assert sampled[name] != exact[name]
    for name in ("distance", "unseen_distance"):
        assert sampled[name] == pytest.approx(exact[name], rel=0.1)
    np.testing.assert_allclose(sampled["coefficients"], exact["coefficients"], atol=5 / 64)


@pytest.mark.slow
def test_standard_errors_of_sampling_cover_the_error():
    """Over 400 samples of 2,000 points, 95 % intervals cover the exact error in 92 to 98 %."""
    rng = np.random.default_rng(1)
    learned, target = rng.normal(size=(2, 4096))
    seen = rng.random(4096) < 0.7
    halves = np.square(learned - target) / 2
    exact = {"generalization_error": halves.mean(), "unseen_error": halves[~seen].mean()}
    covered = dict.fromkeys(exact, 0)
    sampling_errors = jax.jit(lambda *own: unseen.sampling_errors(*own, 2000))
    for _ in range(400):
        own = rng.integers(4096, size=2000)
        arrays = [jnp.asarray(a[own]) for a in (learned, target, seen)]
        errors = sampling_errors(*arrays)
        halves_own = halves[own]
        means = {
            "generalization_error": halves_own.mean(),
            "unseen_error": halves_own[~seen[own]].mean(),
        }
        for name, value in exact.items():
            covered[name] += abs(means[name] - value) < 1.96 * float(errors[f"{name}_sampling"])
    assert all(0.92 < count / 400 < 0.98 for count in covered.values()), covered


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        [f"--config.task.expression={PARITY}", "--config.holdout.condition=x2 = 1 or x9 = 1"],
        [f"--config.task.expression={PARITY}", "--config.holdout.condition=x0 = 1"],
    ],
)
def test_a_parity_of_forty_bits_by_command(tmp_path, flags):
    arguments = ["main", "--config=configs/unseen_domain.py:setting=user,model=mlp,tiny"]
    arguments += [f"--workdir={tmp_path}", "--config.task.n=40", "--config.data.source=sampled"]
    assert main.main([*arguments, *flags]) == 0
    (found,) = results.open(tmp_path / "unseen_domain").runs
    assert found["evaluated"].item() == "256 random inputs"
    assert np.isfinite(found["unseen_error_sampling"]).all()
    assert "x₂x₉x₂₃x₃₆" in found["monomial"].values
    text = (tmp_path / "unseen_domain" / "report" / "table.md").read_text()
    assert "by sampling" in text


def test_rows_of_forty_bits_are_seen():
    config = of_forty(holdout__condition="x2 = 1 and x9*x30 = -1 and x5 = 1")
    built = build(EXPERIMENT, (config,))
    assert built.programs[0].training_rows(built.replicas) == {"checked": 400, "unseen": 0}
    own = jax.jit(built.programs[0].batch)(built.replicas.data_key[0], 0)
    x = np.asarray(own["x"])
    assert (x[:, 2] == 1).all() and (x[:, 9] * x[:, 30] == -1).all()
    np.testing.assert_array_equal(own["y"], x[:, [2, 9, 23, 36]].prod(axis=1))
