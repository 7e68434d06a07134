"""A curriculum against a plain loop over epochs and batches; stopping it changes no bit."""

from functools import cache, partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pvr_jax.boolean import cube
from pvr_jax.tasks import datasets
from pvr_jax.training import environment, loop, run_log
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.curriculum import (
    SHUFFLES,
    curriculum_ensemble,
    first_radius,
    iterations_at,
    max_stages,
)
from pvr_jax.training.optimizers import optimizer
from pvr_jax.training.progress import ProgressDisplay
from pvr_jax.training.replicas import Replicas
from pvr_jax.training.settings import TrainSettings

N, BATCH, RATE, THRESHOLD, EPOCHS = 6, 4, 0.1, 1e-3, 150
SLOPES = np.array([0.5, -1.0, 0.25, 0.75, -0.5, 1.0], np.float32)
MEMBERS = [(0, 2, 24), (0, 6, 24), (1, 2, 15), (1, 3, 24)]  # seed, leap, samples
DESCENT = partial(optimizer, "sgd", momentum=0.0)


def draw(key, *, leap, samples):
    rows = jnp.arange(24)
    x = cube.points_at(datasets.row_numbers(key, rows, N), N)
    return {
        "x": x,
        "y": x @ jnp.asarray(SLOPES) + 0.5,
        "level": jnp.sum(x < 0, axis=1, dtype=jnp.int32),
        "present": rows < samples,
    }


def apply(params, x):
    return x @ params["slopes"] + params["shift"]


@cache
def build(
    members=tuple(MEMBERS),
    execution="vmap",
    rate=RATE,
    threshold=THRESHOLD,
    make=DESCENT,
    dtype="float32",
    loss="",
):
    seeds, leaps, samples = (list(column) for column in zip(*members, strict=True))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    rates = jnp.broadcast_to(jnp.asarray(rate, jnp.float32), (len(members),))
    replicas = Replicas(
        init_key=keys,
        data_key=keys,
        learning_rate=rates,
        init_scale=jnp.ones_like(rates),
        conditions={
            "leap": jnp.asarray(leaps, jnp.int32),
            "samples": jnp.asarray(samples, jnp.int32),
        },
    )
    return curriculum_ensemble(
        replicas,
        TrainSettings(execution=execution, dtype=dtype, loss=loss),
        init=lambda key: {
            "slopes": 0.1 * jax.random.normal(key, (N,), jnp.float32),
            "shift": jnp.zeros(()),
        },
        apply=apply,
        samples=draw,
        evaluate=lambda params, shown, **conditions: {
            "error": jnp.mean(jnp.square(apply(params, shown["x"]) - shown["y"])),
            "leap": conditions["leap"],
        },
        optimizer=make,
        highest=N,
        stages=max_stages(N, (2, 3, 6)),
        threshold=threshold,
        batch_size=BATCH,
    )


@pytest.mark.slow
def test_batches_are_the_same_in_both_types_of_training():
    found = {}
    for dtype in ("float32", "float64"):
        with environment.arithmetic(dtype):
            ensemble = build(dtype=dtype)
            found[dtype] = jax.device_get(ensemble.advance(ensemble.start(), 0, 6))
    single, double = found["float32"], found["float64"]
    assert single.params["slopes"].dtype == np.float32
    assert double.params["slopes"].dtype == np.float64
    for name, leaf in double.params.items():
        np.testing.assert_allclose(single.params[name], leaf, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(single.carry.radius, double.carry.radius)


def test_the_loss_is_the_one_that_the_settings_name():
    def traced(loss):
        ensemble = build(loss=loss)
        one = jax.tree.map(lambda leaf: leaf[0], ensemble.replicas)
        state = jax.eval_shape(ensemble.member.start, one)
        return str(jax.make_jaxpr(ensemble.member.advance)(state, one, 0, 1))

    assert " abs " in traced("absolute_error")
    assert " abs " not in traced("") and " abs " not in traced("squared_error")


@cache
def plain_loop(seed, leap, samples, epochs, rate=RATE):
    """Return what a curriculum does, written as one would without any compiled program."""
    key = jax.random.key(seed)
    drawn = draw(key, leap=leap, samples=samples)
    data = {name: np.asarray(values)[:samples] for name, values in drawn.items()}
    start = 0.1 * jax.random.normal(key, (N,))
    slopes, shift = np.asarray(start, np.float64), 0.0
    radius = leap
    while not np.any(data["level"] <= radius):
        radius += leap
    found = SimpleNamespace(iterations=0, finished_at=-1, radii=[radius], ends=[])
    for epoch in range(epochs):
        inside = np.flatnonzero(data["level"] <= radius)
        stream = jax.random.fold_in(jax.random.fold_in(key, SHUFFLES), epoch)
        # The keys of rows that are not inside never matter, only their order among the inside.
        order = inside[np.argsort(np.asarray(jax.random.uniform(stream, (24,)))[inside])]
        losses = []
        for begin in range(0, len(order), BATCH):
            x, y = (data[name][order[begin : begin + BATCH]] for name in ("x", "y"))
            residual = x @ slopes + shift - y
            losses.append(np.mean(residual**2))
            slopes = slopes - rate * 2 * np.mean(residual[:, None] * x, axis=0)
            shift = shift - rate * 2 * np.mean(residual)
            found.iterations += 1
        if np.mean(losses) < THRESHOLD:
            found.ends.append((epoch + 1, found.iterations))
            if radius >= N:
                found.finished_at = epoch + 1
                break
            radius += leap
            found.radii.append(radius)
    found.slopes, found.shift = slopes, shift
    return found


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["vmap", "map"])
def test_equals_a_plain_loop(execution):
    members = build(execution=execution)
    state = members.advance(members.start(), 0, EPOCHS)
    for index, member in enumerate(MEMBERS):
        expected = plain_loop(*member, EPOCHS)
        assert expected.finished_at > 0, "the comparison needs an end"
        progress = jax.tree.map(lambda leaf, i=index: np.asarray(leaf[i]), state.carry)
        assert progress.iterations == expected.iterations
        assert progress.finished_at == expected.finished_at
        assert progress.radius == expected.radii[-1]
        passed = progress.stage_epochs >= 0
        ends = zip(progress.stage_epochs[passed], progress.stage_iterations[passed], strict=True)
        assert [tuple(map(int, end)) for end in ends] == expected.ends
        np.testing.assert_allclose(state.params["slopes"][index], expected.slopes, atol=1e-5)
        np.testing.assert_allclose(state.params["shift"][index], expected.shift, atol=1e-5)
    # The members show curricula of several stages, and normal training of one.
    assert [int(np.sum(np.asarray(row) >= 0)) for row in state.carry.stage_epochs] == [
        len(plain_loop(*member, EPOCHS).ends) for member in MEMBERS
    ]


@pytest.mark.slow
@pytest.mark.parametrize("make", [optax.sgd, lambda rate: optax.sgd(optax.constant_schedule(rate))])
def test_any_optimizer_trains_each_replica_at_its_own_rate(make):
    rates = (0.1, 0.05, 0.02, 0.1)
    members = build(rate=rates, make=make)
    state = members.advance(members.start(), 0, 20)
    for index, (member, rate) in enumerate(zip(MEMBERS, rates, strict=True)):
        expected = plain_loop(*member, 20, rate)
        np.testing.assert_allclose(state.params["slopes"][index], expected.slopes, atol=1e-5)


def test_a_replica_that_has_ended_does_not_change():
    members = build()
    state = members.advance(members.start(), 0, EPOCHS)
    before = jax.tree.map(
        np.asarray, (state.params, state.optimizer, state.carry, state.loss_count)
    )
    assert np.all(before[2].finished_at > 0)
    later = members.advance(state, EPOCHS, EPOCHS + 7)
    after = (later.params, later.optimizer, later.carry, later.loss_count)
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.asarray, after))
    assert np.all(np.asarray(later.step) == EPOCHS + 7)


@pytest.mark.slow
def test_cutting_the_epochs_changes_no_bit_and_neither_do_other_replicas():
    members = build()
    whole = members.advance(members.start(), 0, EPOCHS)
    cut = members.start()
    for first, last in ((0, 1), (1, 1), (1, 13), (13, 40), (40, EPOCHS)):
        cut = members.advance(cut, first, last)
    alone = build(members=(MEMBERS[2],))
    lonely = alone.advance(alone.start(), 0, EPOCHS)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:4], b[:4]), whole, cut)
    assert int(lonely.carry.iterations[0]) == int(whole.carry.iterations[2])
    np.testing.assert_allclose(lonely.params["slopes"][0], whole.params["slopes"][2], rtol=1e-6)


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    members = build()
    plan = loop.Schedule(EPOCHS, frozenset(range(0, EPOCHS + 1, 10)), frozenset({0, EPOCHS}))

    def train(directory, schedule):
        with (
            ProgressDisplay(schedule.total, members.count) as display,
            Checkpoints(directory / "checkpoints", "12345678", plan.kept) as checkpoints,
        ):
            loop.train(members, schedule, checkpoints, directory, display, list("abcd"))
            return checkpoints.restore(members.shapes())[0]

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    expected = train(whole, plan)
    train(parts, loop.Schedule(23, plan.evaluations, plan.kept | {23}))
    found = train(parts, plan)
    jax.tree.map(np.testing.assert_array_equal, expected, found)
    lines = [
        [{**record, "seconds": 0} for record in run_log.read_metrics(d) if record["step"] != 23]
        for d in (whole, parts)
    ]
    # The evaluation at the interruption starts a new mean of the batch losses.
    for records in lines:
        for record in records:
            record.pop("batch_loss")
    assert lines[0] == lines[1]


def test_a_checkpoint_without_its_carry_is_named_and_passed_over(tmp_path):
    members = build()
    start = members.start()
    before = {"optimizer": start.optimizer, **start.carry._asdict()}  # as earlier versions had it
    with Checkpoints(tmp_path, "12345678") as checkpoints:
        checkpoints.save(3, start._replace(optimizer=before, carry=()))
        state, passed_over = checkpoints.restore(members.shapes())
    assert state is None
    assert passed_over == [
        f"checkpoint {tmp_path}/3 is foreign: it has no carry, being of an earlier version"
    ]


def test_a_replica_that_diverges_stops_and_never_finishes():
    members = build(rate=1e30)
    state = members.advance(members.start(), 0, 5)
    counts = np.asarray(state.carry.iterations)
    assert np.all(np.asarray(state.diverged_at) >= 0)
    assert np.all(np.asarray(state.carry.finished_at) == -1)
    later = members.advance(state, 5, 9)
    np.testing.assert_array_equal(np.asarray(later.carry.iterations), counts)


def test_evaluation_sees_the_samples_of_its_replica():
    members = build()
    measured = members.evaluate(members.start())
    np.testing.assert_array_equal(measured["leap"][: len(MEMBERS)], [2, 6, 2, 3])
    assert np.all(np.asarray(measured["error"]) > 0)


@pytest.mark.parametrize(
    ("levels", "leap", "radius"), [([5, 3], 1, 3), ([5, 3], 2, 4), ([0, 6], 4, 4), ([6], 6, 6)]
)
def test_the_first_radius_has_a_sample(levels, leap, radius):
    present = jnp.array([True] * len(levels) + [False])
    level = jnp.array([*levels, 0])
    assert int(first_radius(level, present, jnp.int32(leap))) == radius


def test_iterations_between_stages():
    epochs = np.array([0, 2, 4, 6, 8])
    # Two epochs of 3 steps, three of 10 steps; ended after epoch 5.
    found = iterations_at(epochs, np.array([2, 5]), np.array([6, 36]), 36)
    np.testing.assert_array_equal(found, [0, 6, 26, 36, 36])
    # The second stage was never passed: eight epochs in all.
    found = iterations_at(epochs, np.array([2, -1]), np.array([6, -1]), 66)
    np.testing.assert_array_equal(found, [0, 6, 26, 46, 66])
    assert max_stages(10, (4, 10)) == 3 and max_stages(16, (16, 4)) == 4
