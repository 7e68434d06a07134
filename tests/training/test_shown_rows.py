"""Rows of training are counted before it starts; one that is withheld stops the run."""

import jax
import jax.numpy as jnp
import pytest

from pvr_jax.training.replicas import Replicas
from pvr_jax.training.run_log import RunError
from pvr_jax.training.shown_rows import MAX_ROWS, count_rows

KEYS = jax.random.split(jax.random.key(0), 2)


def replicas(keys, **conditions):
    rates = jnp.ones(len(keys))
    return Replicas(keys, keys, rates, rates, {k: jnp.asarray(v) for k, v in conditions.items()})


def batch(key, step, *, first):
    """Rows `first`, `first` + 1, ...: ten a step, the last two of them padding."""
    x = first + 10 * step + jnp.arange(10)
    return {"x": x, "weight": (jnp.arange(10) < 8).astype(jnp.float32)}


def test_rows_of_every_kind_are_counted_once():
    # The third replica is the first again, with another rate.
    table = replicas(KEYS[jnp.array([0, 1, 0])], first=[0, 1000, 0])
    kinds = {
        "even": lambda batch, **_: batch["x"] % 2 == 0,
        "late": lambda batch, first: batch["x"] - first >= 50,
        "unseen": lambda batch, **_: batch["x"] < 0,
    }
    found = count_rows(batch, kinds, table, 7)
    assert found == {"checked": 112, "even": 56, "late": 32, "unseen": 0}


def test_unseen_rows_stop_the_run_and_padding_does_not():
    table = replicas(KEYS, first=[0, 1000])
    with pytest.raises(RunError, match=r"^1 of 112 training rows are withheld inputs: nothing was"):
        count_rows(batch, {"unseen": lambda batch, **_: batch["x"] == 1067}, table, 7)
    padding = {"unseen": lambda batch, **_: batch["x"] == 1068}
    assert count_rows(batch, padding, table, 7)["unseen"] == 0


def test_of_very_many_rows_the_first_are_looked_at():
    table = replicas(KEYS, first=[0, 0], other=KEYS)

    def wide(key, step, *, first, other):
        return {"weight": jnp.ones(2**14) + 0 * step}

    found = count_rows(wide, {"unseen": lambda batch, **_: batch["weight"] < 1}, table, 10**6)
    assert found == {"checked": MAX_ROWS, "unseen": 0}
