"""Fresh results beside kept ones: what counts as the same table."""

import math

import numpy as np
import pandas as pd
import pytest

from pvr_jax.reporting.agreement import (
    REPLICAS_FILE,
    TOLERANCE,
    agreement,
    compare_files,
    render_agreement,
)


@pytest.fixture
def kept():
    rows = [
        {
            "run": run,
            "replica": f"bit{bit}-seed{seed}",
            "frozen_bit": bit,
            "learning_rate": 5e-5,
            "init_scale": math.nan,
            "generalization_error": error + 0.01 * seed,
        }
        for run, error in (("pvr-mlp-00000001", 0.25), ("pvr-mixer-00000002", 0.5))
        for bit in (1, 7)
        for seed in range(4)
    ]
    return pd.DataFrame(rows)


def changed(kept, index, factor):
    fresh = kept.copy()
    fresh.loc[index, "generalization_error"] *= factor
    return fresh


def test_the_same_digits_agree(kept):
    found = agreement(kept, kept)
    assert (found.replicas, found.identical, found.largest, found.largest_mean) == (16, 16, 0, 0)
    assert found.holds
    assert "they agree" in render_agreement(found)


def test_the_largest_differences_are_named(kept):
    found = agreement(changed(kept, 6, 1.04), kept)
    assert found.identical == 15
    assert found.largest == pytest.approx(0.04)
    assert found.where == "pvr-mlp-00000001 bit7-seed2"
    assert found.largest_mean == pytest.approx(0.04 * 0.27 / (0.25 + 0.26 + 0.27 + 0.28))
    assert found.where_mean == "pvr-mlp-00000001 bit7"
    assert found.holds


def test_two_means_are_compared_with_the_spread_of_both(kept):
    # Four errors .01 apart on both sides: the difference has the standard error
    # .01291 √(1/4 + 1/4) and 6 degrees of freedom, t = 2.4469, so .02234 is not shown yet.
    limit = 2.446912 * np.sqrt(5 / 3) * 0.01 * np.sqrt(1 / 2)
    for share, disagreeing in ((0.99, ()), (1.01, ("pvr-mlp-00000001 bit1",))):
        fresh = kept.copy()
        fresh.loc[:3, "generalization_error"] += share * limit
        found = agreement(fresh, kept)
        assert found.disagreeing == disagreeing
        assert found.holds == (not disagreeing)
    assert "they do NOT agree (pvr-mlp-00000001 bit1)" in render_agreement(found)
    assert (found.means, found.loose, found.alone) == (4, 0, 0)


def test_comparisons_that_could_not_fail_are_counted(kept):
    # Accuracies of .02, .06, .42 and .94: almost any other four would agree with these.
    wide = kept.copy()
    wide.loc[:3, "generalization_error"] = [0.02, 0.06, 0.42, 0.94]
    fresh = wide.copy()
    fresh.loc[:3, "generalization_error"] = [0.5, 0.5, 0.6, 0.4]
    found = agreement(fresh, wide)
    assert found.holds and found.loose == 1
    assert "of 4 means 1 could hardly have disagreed" in render_agreement(found)
    alone = kept[kept["replica"].str.endswith("seed0")]
    found = agreement(alone, alone)
    assert (found.means, found.alone) == (4, 4) and "and 4 have none" in render_agreement(found)


def test_seeds_that_lie_close_together_may_move_by_a_share(kept):
    close = kept.assign(generalization_error=0.25)
    assert agreement(changed(close, [4, 5, 6, 7], 1 + 0.99 * TOLERANCE), close).holds
    assert not agreement(changed(close, [4, 5, 6, 7], 1 + 1.01 * TOLERANCE), close).holds


def test_with_nothing_frozen_the_share_is_of_the_error_of_the_best_constant(kept):
    # Fitted errors of .001 where the best constant has .25: a mean may move by .02 * .25 = .005.
    fitted = kept.assign(generalization_error=0.001, constant_error=0.25, frozen_bit=pd.NA)
    fitted = fitted.drop_duplicates(["run", "replica"])
    for moved, holds in ((0.0049, True), (0.0051, False)):
        spiked = fitted.copy()
        spiked.loc[spiked["run"] == "pvr-mlp-00000001", "generalization_error"] += moved
        assert agreement(spiked, fitted).holds == holds


def test_a_replica_that_is_missing_is_no_agreement(kept):
    found = agreement(kept.iloc[:-1], kept)
    assert (found.replicas, found.kept, found.holds) == (15, 16, False)
    assert "replicas are missing" in render_agreement(found)


def test_diverging_once_is_no_agreement_and_twice_is(kept):
    once = changed(kept, 2, math.nan)
    assert agreement(once, kept).largest == math.inf
    assert not agreement(once, kept).holds
    assert agreement(once, once).holds


def test_the_order_of_rows_and_other_runs_play_no_part(kept):
    more = pd.concat([kept[::-1], kept.assign(run="pvr-mlp-0000000f")])
    assert agreement(more, kept).identical == 16


def test_other_runs_are_not_compared(kept, tmp_path):
    assert agreement(kept.assign(run="pvr-mlp-0000000f"), kept) is None
    assert "nothing was compared" in render_agreement(None)


def test_files_of_targets_with_nothing_frozen_are_compared(kept, tmp_path):
    path = tmp_path / REPLICAS_FILE
    kept.assign(frozen_bit=pd.NA, run=kept["run"]).drop_duplicates(["run", "replica"]).to_csv(path)
    line = compare_files(path, path)
    assert "16 of 16 replicas compared, 16 with the same digits" in line
