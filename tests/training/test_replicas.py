"""Replication: a replica does not depend on the others, on the mode, or on the devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax.training.replicas import (
    Mode,
    device_mesh,
    needed_devices,
    pad,
    padded_count,
    possible_modes,
    replica_names,
    to_host,
)

STEPS = 25


def trained(built, steps=STEPS):
    return to_host(built.advance(built.start(), 0, steps).params, built.count)


def assert_same(left, right, rows=slice(None)):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[rows], b, atol=1e-5), left, right)


@pytest.mark.slow
@pytest.mark.parametrize("execution, group", [("vmap", 1), ("map", 1), ("chunked", 3)])
@pytest.mark.parametrize("devices", [1, 4])
def test_every_mode_and_device_count_gives_the_same_numbers(build, execution, group, devices):
    seeds, bits = [0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 1, 2, 2, 3, 3]
    reference = trained(build(seeds, bits))
    built = build(seeds, bits, devices=devices, execution=execution, group_size=group)
    assert_same(trained(built), reference)


@pytest.mark.slow
def test_44_replicas_and_4_agree_on_the_shared_4(build):
    seeds, bits = np.repeat(np.arange(11), 4), np.tile(np.arange(4), 11)
    many = trained(build(seeds, bits))
    few = trained(build(seeds[8:12], bits[8:12]))
    assert_same(many, few, slice(8, 12))


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["vmap", "map"])
def test_a_member_equals_the_same_member_trained_alone(build, execution):
    together = trained(build([0, 1, 2], [4, 1, 0], execution=execution))
    for row, (seed, bit) in enumerate([(0, 4), (1, 1), (2, 0)]):
        assert_same(together, trained(build([seed], [bit])), slice(row, row + 1))


@pytest.mark.slow
def test_counts_that_do_not_divide_are_padded_and_dropped(build):
    seeds, bits = [3, 4, 5, 6, 7], [0, 1, 2, 3, 4]
    built = build(seeds, bits, devices=4)
    assert built.replicas.learning_rate.shape == (8,)
    found = trained(built)
    assert jax.tree.leaves(found)[0].shape[0] == 5
    assert_same(found, trained(build(seeds, bits)))
    evaluated = to_host(built.evaluate(built.start()), 5)
    np.testing.assert_array_equal(evaluated["bit"], bits)


def test_segments_of_any_length_give_the_same_bits(build):
    built = build([0, 1], [2, 3], execution="map")
    whole = trained(built)
    state = built.start()
    for first, last in [(0, 1), (1, 2), (2, 9), (9, 24), (24, 25)]:
        state = built.advance(state, first, last)
    cut = to_host(state.params, 2)
    jax.tree.map(np.testing.assert_array_equal, cut, whole)


@pytest.mark.slow
def test_learning_rates_of_one_program_are_each_replicas_own(build):
    together = trained(build([0, 0, 0], [1, 1, 1], rate=[1e-3, 1e-2, 3e-2]))
    for row, rate in enumerate([1e-3, 1e-2]):
        assert_same(together, trained(build([0], [1], rate=rate)), slice(row, row + 1))


@pytest.mark.parametrize("execution", slow_but(["map"], ["vmap", "map"]))
def test_a_replica_that_diverges_is_dated_and_touches_no_other(build, execution):
    built = build([0, 1], [1, 2], rate=[1e30, 1e-2], execution=execution)
    state = built.advance(built.start(), 0, STEPS)
    first_bad, healthy = np.asarray(state.diverged_at)
    assert 0 < first_bad < STEPS and healthy == -1
    alone = trained(build([1], [2]))
    assert_same(to_host(state.params, 2), alone, slice(1, 2))


@pytest.mark.parametrize("execution", slow_but(["vmap"], ["vmap", "map", "chunked"]))
def test_each_program_is_traced_once_per_run(build, execution):
    built, traces = build(
        [0, 1, 2, 3], [0, 1, 2, 3], execution=execution, group_size=2, counted=True
    )
    state = built.start()
    state = built.advance(state, 0, 1)
    after_first = len(traces)
    for first, last in [(1, 4), (4, 5), (5, 25)]:
        state = built.advance(state, first, last)
    assert len(traces) == after_first, "a later segment was traced again"
    built.evaluate(state)
    after_evaluation = len(traces)
    built.evaluate(state)
    assert len(traces) == after_evaluation


@pytest.mark.slow
def test_evaluation_compiled_ahead_is_the_same_and_traced_once(build):
    built, traces = build([0, 1], [0, 1], devices=2, counted=True)
    state = built.advance(built.start(), 0, 3)
    ahead = built.with_compiled_evaluation(state)
    after_compilation = len(traces)
    measured = to_host(ahead.evaluate(state), 2)
    state = built.advance(state, 3, 5)
    ahead.evaluate(state)
    assert len(traces) == after_compilation
    fresh = built.advance(built.start(), 0, 3)
    assert_same(measured, to_host(built.evaluate(fresh), 2))


@pytest.mark.parametrize("execution", ["vmap", "map", "chunked"])
@pytest.mark.parametrize("program", ["start", "advance", "evaluate"])
def test_the_compiled_programs_hold_no_collectives(build, execution, program):
    built = build(range(8), [0] * 8, devices=4, execution=execution, group_size=2)
    state = built.start()
    lowered = {
        "start": lambda: built.start_program.lower(built.replicas),
        "advance": lambda: built.advance_program.lower(state, built.replicas, 0, 5),
        "evaluate": lambda: built.evaluate_program.lower(state.params, state.carry, built.replicas),
    }[program]()
    text = lowered.compile().as_text()
    assert "num_partitions=4" in text
    assert not re.findall(
        r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter", text
    )


def test_padding_repeats_the_last_replica():
    mesh = device_mesh(jax.devices()[:4])
    assert [padded_count(count, mesh) for count in (1, 4, 5, 8)] == [4, 4, 8, 8]
    padded = pad({"a": jnp.arange(5.0)}, mesh)
    np.testing.assert_array_equal(padded["a"], [0, 1, 2, 3, 4, 4, 4, 4])
    np.testing.assert_array_equal(to_host(padded, 5)["a"], [0, 1, 2, 3, 4])


def test_auto_begins_with_what_platform_and_size_suggest_and_tries_the_others():
    largest, large, small = 13_000_000, 2_000_000, 1000  # bytes; the paper's MLP has 13 MB
    assert possible_modes("auto", 1, "cpu", 8, largest) == (Mode("map"),)
    assert possible_modes("auto", 1, "cpu", 8, large) == (Mode("map"), Mode("vmap"))
    assert possible_modes("auto", 1, "cpu", 3, small) == (Mode("vmap"), Mode("map"))
    assert possible_modes("auto", 1, "cpu", 1, large) == (Mode("map"),)
    assert possible_modes("auto", 1, "gpu", 8, large) == (Mode("vmap"),)
    assert possible_modes("map", 3, "gpu", 8, small) == (Mode("map"),)
    assert possible_modes("chunked", 3, "cpu", 8, small) == (Mode("chunked", 3),)
    with pytest.raises(ValueError, match="execution: given 'pmap'; allowed auto, vmap, map"):
        possible_modes("pmap", 1, "cpu", 1, 1)


@pytest.mark.parametrize(
    "count, batch_devices, used", [(1, 1, 1), (3, 1, 3), (4, 1, 4), (5, 1, 3), (8, 1, 4), (3, 2, 4)]
)
def test_no_more_devices_are_used_than_save_time(count, batch_devices, used):
    assert needed_devices(count, jax.devices()[:4], batch_devices) == jax.devices()[:used]


def test_shares_of_a_batch_that_do_not_divide_the_devices_are_refused():
    with pytest.raises(
        ValueError, match=r"batch_devices: given 3; allowed a divisor .* 4: 1, 2, 4"
    ):
        device_mesh(jax.devices()[:4], batch_devices=3)


def test_two_rates_equal_in_six_digits_have_names_of_their_own():
    rates = (0.001, 0.00100000001, 0.0012345678)
    names = replica_names(["bit3"] * 6, rates * 2, (1.0,) * 3 + (2.0,) * 3, [0] * 6)
    assert names == [
        "bit3-rate0.001-scale1-seed0",
        "bit3-rate0.00100000001-scale1-seed0",
        # In six digits, as ever: nothing else has these.
        "bit3-rate0.00123457-scale1-seed0",
        "bit3-rate0.001-scale2-seed0",
        "bit3-rate0.00100000001-scale2-seed0",
        "bit3-rate0.00123457-scale2-seed0",
    ]
    scales = (0.3333333, 1 / 3, 1.0)
    names = replica_names([""] * 3, (5e-5,) * 3, scales, range(3))
    assert names == ["scale0.3333333-seed0", "scale0.3333333333333333-seed1", "scale1-seed2"]
    assert replica_names(["matched"] * 2, (5e-5,) * 2, (1.0,) * 2, (0, 1)) == [
        "matched-seed0",
        "matched-seed1",
    ]
