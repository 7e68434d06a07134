"""The probe: it tries what `auto` leaves open, takes what was fastest, and is asked once."""

import pytest

from pvr_jax.training import probe
from pvr_jax.training.replicas import Mode

MANY = 10**9


@pytest.fixture
def members(build):
    return build(tuple(range(6)), (0,) * 6, execution="auto")


def timed(monkeypatch, seconds, compiled=1.0):
    """Let steps take these seconds, by mode and turn; return the turns (mode, steps) as taken."""
    turns = []
    clocks = {mode: iter(some) for mode, some in seconds.items()}

    def measured(ensemble, state, first, steps):
        mode = str(ensemble.mode)
        turns.append((mode, steps))
        taken = next(clocks[mode]) * steps if steps else compiled
        return state, first + steps, taken

    monkeypatch.setattr(probe, "advance_timed", measured)
    return turns


def modes(turns):
    """Return the modes in the order in which they were compiled."""
    return [mode for mode, steps in turns if steps == 0]


def test_every_mode_is_tried_and_the_fastest_chosen(members, monkeypatch):
    turns = timed(monkeypatch, {"vmap": [3.0], "map": [1.0]})
    chosen, record = probe.fastest(members, MANY)
    assert modes(turns) == ["vmap", "map"]
    assert chosen.mode == Mode("map") and chosen.alternatives == ()
    assert record["chosen"] == {"execution": "map", "group_size": 1}
    assert [row["replica_steps_per_second"] for row in record["tried"]] == [2.0, 6.0]


def test_a_difference_within_the_noise_changes_nothing(members, monkeypatch):
    timed(monkeypatch, {"vmap": [1.0], "map": [0.97]})
    chosen, record = probe.fastest(members, MANY)
    assert chosen.mode == Mode("vmap") and len(record["tried"]) == 2


def test_a_short_training_is_not_held_up(members, monkeypatch):
    turns = timed(monkeypatch, {"vmap": [1e-3]}, compiled=1.0)
    chosen, _ = probe.fastest(members, steps=1000)
    assert turns == [("vmap", 0), ("vmap", 1)] and chosen.mode == Mode("vmap")


def test_a_cold_start_and_a_disturbance_do_not_choose(members, monkeypatch):
    # The first mode pays for cold memory; later the machine is busy for one turn of each.
    slow = {"vmap": [0.05, 0.02, 0.06, 0.02], "map": [0.03, 0.09, 0.03, 0.03]}
    turns = timed(monkeypatch, slow)
    chosen, record = probe.fastest(members, MANY)
    assert chosen.mode == Mode("vmap")
    assert [row["replica_steps_per_second"] for row in record["tried"]] == [300.0, 200.0]
    # After one step each, turns of several steps, one mode after the other.
    assert turns[4:] == [("vmap", 8), ("map", 8)] * probe.ROUNDS


def test_a_turn_is_a_tenth_of_a_second_and_a_hundredth_of_a_training_at_most(members, monkeypatch):
    turns = timed(monkeypatch, {"vmap": [1e-3] * 4, "map": [2e-3] * 4})
    probe.fastest(members, MANY)
    assert turns[4:] == [("vmap", 100), ("map", 50)] * probe.ROUNDS
    turns = timed(monkeypatch, {"vmap": [1e-3] * 4, "map": [2e-3] * 4}, compiled=0.01)
    probe.fastest(members, 900)
    assert turns[4:] == [("vmap", 4), ("map", 4)] * probe.ROUNDS


def test_a_mode_that_is_fast_over_many_steps_is_chosen(members, monkeypatch):
    """One step of `map` reads each replica's state from memory, the next ones from the cache."""

    def measured(ensemble, state, first, steps):
        cost = {"vmap": 0.057 * steps, "map": 0.03 + 0.05 * steps}[str(ensemble.mode)]
        return state, first + steps, cost if steps else 1.0

    monkeypatch.setattr(probe, "advance_timed", measured)
    chosen, _ = probe.fastest(members, MANY)
    assert chosen.mode == Mode("map")


@pytest.mark.slow
def test_real_times_are_positive_and_the_ensemble_still_trains(members):
    chosen, record = probe.fastest(members, MANY)
    assert len(record["tried"]) == 2
    assert all(row["replica_steps_per_second"] > 0 for row in record["tried"])
    state = chosen.advance(chosen.start(), 0, 3)
    assert int(state.step[0]) == 3


def test_a_run_goes_on_in_the_mode_in_which_it_began(members):
    record = {"probe": {"devices": 1, "chosen": {"execution": "map", "group_size": 1}}}
    assert probe.chosen_before(record, members) == Mode("map")
    assert probe.chosen_before({}, members) is None
    assert probe.chosen_before({"probe": None}, members) is None
    record["probe"]["devices"] = 4
    assert probe.chosen_before(record, members) is None
