"""The probe: it tries what `auto` leaves open, takes what was fastest, and is asked once."""

import pytest

from pvr_jax.training import probe
from pvr_jax.training.replicas import Mode

MANY = 10**9


@pytest.fixture
def members(build):
    return build(tuple(range(6)), (0,) * 6, execution="auto")


def timed(monkeypatch, seconds, compiled=1.0):
    """Let the probe find these seconds per step, by mode; return the modes that it tried."""
    tried = []

    def measured(ensemble):
        tried.append(str(ensemble.mode))
        return compiled, seconds[str(ensemble.mode)]

    monkeypatch.setattr(probe, "seconds_per_step", measured)
    return tried


def test_every_mode_is_tried_and_the_fastest_chosen(members, monkeypatch):
    tried = timed(monkeypatch, {"vmap": 3.0, "map": 1.0})
    chosen, record = probe.fastest(members, MANY)
    assert tried == ["vmap", "map"]
    assert chosen.mode == Mode("map") and chosen.alternatives == ()
    assert record["chosen"] == {"execution": "map", "group_size": 1}
    assert [row["replica_steps_per_second"] for row in record["tried"]] == [2.0, 6.0]


def test_a_difference_within_the_noise_changes_nothing(members, monkeypatch):
    timed(monkeypatch, {"vmap": 1.0, "map": 0.97})
    chosen, record = probe.fastest(members, MANY)
    assert chosen.mode == Mode("vmap") and len(record["tried"]) == 2


def test_a_short_training_is_not_held_up(members, monkeypatch):
    tried = timed(monkeypatch, {"vmap": 1e-3}, compiled=1.0)
    chosen, _ = probe.fastest(members, steps=1000)
    assert tried == ["vmap"] and chosen.mode == Mode("vmap")


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
