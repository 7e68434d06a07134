"""Intervals of classification: none leaves its range, each covers what it says, seeds beside it."""

import math

import numpy as np
import pytest
from synthetic_accuracy import subtask, write_run

from pvr_jax.reporting.accuracy.cells import gap_interval
from pvr_jax.reporting.accuracy.confusion import confusion_table, recall_table
from pvr_jax.reporting.accuracy.reading import read_cells_of
from pvr_jax.reporting.accuracy.shown import shown_sizes, shown_table, table_notes
from pvr_jax.reporting.accuracy.tables import cell_table


def cells_of(tmp_path, *args, **kwargs):
    return read_cells_of(write_run(tmp_path, *args, **kwargs))


def test_seeds_are_shown_where_a_mean_alone_would_mislead(tmp_path):
    # Of a few seeds all, of two groups their sizes and means, of ten alike none.
    few, groups, alike = (
        cells_of(tmp_path / name, accuracy=end, samples=(1000, 2000), seeds=seeds)
        for name, seeds, end in (
            ("few", 4, lambda task, samples, seed: (0.02, 0.06, 0.42, 0.94)[seed]),
            ("groups", 10, lambda task, samples, seed: (0.98 if seed < 8 else 0.1) + seed / 2000),
            ("alike", 10, lambda task, samples, seed: 0.8 + 0.01 * seed),
        )
    )
    column = "i.i.d. accuracy, % [95 %]"
    shown = [shown_table(cells)[column][0] for cells in (few, groups, alike)]
    assert shown[0].startswith("36.00 [") and shown[0].endswith("] (2.00, 6.00, 42.0, 94.0)")
    assert shown[1].endswith("] (2 at 10.4 and 8 at 98.2)")
    assert shown[2].endswith("]") and "(" not in shown[2]
    assert shown_sizes(groups)["1000"][0].endswith("(2 at 10.4 and 8 at 98.2)")
    assert shown_sizes(few)["1000"][0].endswith("] (2.00, 6.00, 42.0, 94.0)")
    notes = " ".join(table_notes(few, cell_table(few)))
    assert "the values of fewer than 5 seeds" in notes and "bootstrap" not in notes


def test_no_interval_leaves_its_range(tmp_path):
    ends = (0.02, 0.06, 0.42, 0.94)
    cells = cells_of(
        tmp_path,
        tasks=[subtask(withheld=1)],
        accuracy=lambda task, samples, seed: (0.999, 0.998, 1.0, 0.9)[seed],
        withheld_accuracy=lambda task, samples, seed: ends[seed],
        samples=(1000,),
        seeds=4,
    )
    row = cell_table(cells).iloc[0]
    values = np.array(ends)
    width = 3.182446 * values.std(ddof=1) / 2 / (0.36 * 0.64)
    odds = [0.36 / 0.64 * math.exp(side * width) for side in (-1, 1)]
    found = [row["withheld_accuracy_low"], row["withheld_accuracy_high"]]
    assert found == pytest.approx([value / (1 + value) for value in odds], rel=1e-6)
    for name in ("iid_accuracy", "withheld_accuracy"):
        assert 0 < row[f"{name}_low"] < row[name] < row[f"{name}_high"] < 1
    assert -1 < row["gap_low"] < row["gap"] < row["gap_high"] < 1
    for name in ("iid_loss", "withheld_loss"):
        assert 0 < row[f"{name}_low"] < row[name]
    recall = recall_table(cells)
    confusion = confusion_table(cells)
    for table in (recall, confusion):
        assert (table["low"].dropna() > 0).all() and (table["high"].dropna() < 1).all()


@pytest.mark.parametrize("seeds", (3, 5, 10, 20, 40))
def test_intervals_of_gaps_cover_what_they_say(seeds):
    # A skewed gap (most of it is lost, .84 in the mean), and one around 0, 4,000 times each.
    random = np.random.default_rng(seeds)
    lost = random.beta(40, 0.5, (4000, seeds)) - random.beta(0.8, 4, (4000, seeds))
    none = random.beta(8, 2, (4000, seeds)) - random.beta(8, 2, (4000, seeds))
    for gaps, truth in ((lost, 40 / 40.5 - 0.8 / 4.8), (none, 0.0)):
        bounds = np.array([gap_interval(values)[1:] for values in gaps])
        assert ((bounds > -1) & (bounds < 1)).all()
        covered = np.mean((bounds[:, 0] <= truth) & (truth <= bounds[:, 1]))
        assert 0.92 < covered < 0.98
