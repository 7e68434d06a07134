"""Fresh accuracies beside kept ones: what counts as the same table."""

import math

import pandas as pd
import pytest

from pvr_jax.reporting.agreement import agreement, render_agreement


def replicas(errors, **columns):
    """A table of replicas of two cells, of 1000 and 2000 samples, three seeds each."""
    rows = [
        {
            "run": "token_pvr-token_mlp-0000000a",
            "replica": f"samples{samples}-seed{seed}",
            "aggregation": "mod_sum",
            "complexity": 1,
            "withheld": 0,
            "samples": samples,
            "iid_error": error,
            "constant_error": 0.9,
        }
        | columns
        for (samples, seed), error in zip(
            ((s, k) for s in (1000, 2000) for k in range(3)), errors, strict=True
        )
    ]
    return pd.DataFrame(rows)


def test_errors_of_accuracies_agree_within_a_share_of_the_constant_guess():
    kept = replicas([0.0, 0.0, 0.0, 0.3, 0.3, 0.3])
    place = "token_pvr-token_mlp-0000000a mod_sum m1 withheld0 samples1000"
    for moved, disagreeing in ((0.0179, ()), (0.0181, (place,))):
        found = agreement(replicas([moved] * 3 + [0.3] * 3), kept)
        assert found.disagreeing == disagreeing and found.holds == (not disagreeing)
        assert found.largest == found.largest_mean == pytest.approx(moved / 0.9)
        assert found.where_mean == place
    assert "2% (of the error of the best constant guess): they do NOT agree" in render_agreement(
        found
    )
    once = replicas([math.nan, 0.0, 0.0, 0.3, 0.3, 0.3])
    assert agreement(once, kept).largest == math.inf and agreement(once, once).holds


def test_two_means_of_accuracies_may_differ_by_the_interval_of_their_difference():
    # Three errors .1 apart on both sides: Welch's standard error is .1 √(2/3), with 4 degrees of
    # freedom, t = 2.776445. Its half width, .2267, is 25.2 % of the constant guess's error .9.
    kept = replicas([0.1, 0.2, 0.3, 0.5, 0.5, 0.5])
    half = 2.776445 * 0.1 * math.sqrt(2 / 3)
    for share, holds in ((0.99, True), (1.01, False)):
        moved = [error + share * half for error in (0.1, 0.2, 0.3)]
        found = agreement(replicas([*moved, 0.5, 0.5, 0.5]), kept)
        assert found.holds == holds
        assert (found.means, found.loose, found.alone) == (2, 1, 1)
        assert found.largest_mean == pytest.approx(share * half / 0.9)


def test_pictures_without_aggregation_are_compared(tmp_path):
    path = tmp_path / "replicas.csv"
    replicas([0.1] * 6, aggregation=None, complexity=None).to_csv(path)
    table = pd.read_csv(path)
    assert agreement(table, table).holds
    assert agreement(table, table).where_mean.endswith("0000000a withheld0 samples1000")
