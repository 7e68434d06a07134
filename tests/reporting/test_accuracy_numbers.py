"""Cells, thresholds and tables of classification, against numbers computed by hand."""

import json
import math

import numpy as np
import pytest
from synthetic_accuracy import STEPS, TEST, UNIFORM, subtask, write_run

from pvr_jax.reporting.accuracy.cells import (
    function_groups,
    largest_sets,
    least_withheld,
)
from pvr_jax.reporting.accuracy.confusion import confusion_table, recall_table, shown_cells
from pvr_jax.reporting.accuracy.labels import arm_labels, panel_title, task_labels
from pvr_jax.reporting.accuracy.reading import read_cells, read_cells_of
from pvr_jax.reporting.accuracy.shown import (
    format_samples,
    samples_text,
    shown_holdout,
    shown_sizes,
    shown_table,
    shown_tasks,
    shown_thresholds,
    table_notes,
)
from pvr_jax.reporting.accuracy.tables import cell_table, replica_table, threshold_table
from pvr_jax.reporting.accuracy.thresholds import correlations_of, crossing, thresholds_of
from pvr_jax.reporting.sweeps import Status, SweepCell, replica_rows, sweep_table

THIN = "\u2009"  # the space between groups of digits
STUDENT_3 = 4.302653  # 97.5 % quantile with two degrees of freedom


def cells_of(tmp_path, *args, **kwargs):
    return read_cells_of(write_run(tmp_path, *args, **kwargs))


def test_means_and_intervals_are_over_seeds(tmp_path):
    ends = {0: 0.80, 1: 0.84, 2: 0.85}
    cells = cells_of(tmp_path, accuracy=lambda task, samples, seed: ends[seed], samples=(1000,))
    row = cell_table(cells).iloc[0]
    assert row["iid_accuracy"] == pytest.approx(0.83)
    half = STUDENT_3 * math.sqrt((0.03**2 + 0.01**2 + 0.02**2) / 2) / math.sqrt(3)
    # On the logit scale of the mean: its odds times exp(± half / (m (1 − m))).
    for name, side in (("iid_accuracy_low", -1), ("iid_accuracy_high", 1)):
        odds = 0.83 / 0.17 * math.exp(side * half / (0.83 * 0.17))
        assert row[name] == pytest.approx(odds / (1 + odds))
    losses = -np.log([0.80, 0.84, 0.85])
    loss = losses.mean()
    assert row["iid_loss"] == pytest.approx(loss)
    factor = math.exp(STUDENT_3 * losses.std(ddof=1) / math.sqrt(3) / loss)
    assert row["iid_loss_low"] == pytest.approx(loss / factor)
    assert row["iid_loss_high"] == pytest.approx(loss * factor)
    assert (row["chance"], row["replicas"], row["excluded"]) == (pytest.approx(0.1), 3, 0)
    assert row["entropy_bits"] == pytest.approx(math.log2(10))
    assert math.isnan(row["withheld_accuracy"]) and math.isnan(row["gap"])


def test_the_gap_has_the_interval_of_paired_differences(tmp_path):
    iid, other = {0: 0.9, 1: 0.7, 2: 0.8}, {0: 0.65, 1: 0.45, 2: 0.52}
    cells = cells_of(
        tmp_path,
        tasks=[subtask(withheld=1)],
        accuracy=lambda task, samples, seed: iid[seed],
        withheld_accuracy=lambda task, samples, seed: other[seed],
        samples=(1000,),
    )
    row = cell_table(cells).iloc[0]
    differences = np.array([0.25, 0.25, 0.28])
    assert row["gap"] == pytest.approx(0.26)
    half = STUDENT_3 * differences.std(ddof=1) / math.sqrt(3)
    # (gap + 1) / 2 = .63 is put on the logit scale, where half of its half-width belongs to it.
    low, high = (
        2 / (1 + 0.37 / 0.63 * math.exp(-side * half / 2 / (0.63 * 0.37))) - 1 for side in (-1, 1)
    )
    assert (row["gap_low"], row["gap_high"]) == (pytest.approx(low), pytest.approx(high))
    # The interval of i.i.d. accuracy alone is more than three times as wide.
    assert row["iid_accuracy_high"] - row["iid_accuracy"] > 3 * half
    shown = shown_holdout(cells).iloc[0]
    by_seed = "(25.0, 25.0, 28.0)"
    assert shown["gap, points [95 %]"] == f"26.00 [{100 * low:.2f}, {100 * high:.2f}] {by_seed}"
    assert shown["withheld accuracy, % [95 %]"].endswith("] (65.0, 45.0, 52.0)")
    assert (shown["removed, %"], shown["withheld"], shown["uniform guess"]) == ("1", "1", "10.00")


def test_a_diverged_replica_is_named_and_left_out(tmp_path):
    name = "mod_sum-m1-withheld0-samples1000-seed2"
    cells = cells_of(
        tmp_path,
        accuracy=lambda task, samples, seed: (0.8, 0.9, 0.0)[seed],
        samples=(1000,),
        diverged={name: 100},
    )
    table = cell_table(cells)
    assert table["iid_accuracy"][0] == pytest.approx(0.85)
    assert (table["replicas"][0], table["excluded"][0]) == (2, 1)
    assert f"{name} diverged at step 100" in table_notes(cells, table)[-1]
    replicas = replica_table(cells).set_index("seed")
    assert replicas["diverged_at"][2] == 100 and math.isnan(replicas["iid_error"][2])
    assert replicas["iid_error"][1] == pytest.approx(0.1)


def test_one_seed_has_no_interval(tmp_path):
    cells = cells_of(tmp_path, seeds=1)
    row = cell_table(cells).iloc[0]
    assert row["iid_accuracy"] == pytest.approx(0.9) and math.isnan(row["iid_accuracy_low"])
    assert shown_sizes(cells)["1000"].tolist() == ["90.00 [–]"]


def losses(path, train, batch, change=None):
    """Return the final losses of training of a run, after a change of its measures."""
    document = json.loads((path / "measures.json").read_text())
    if change is not None:
        change(document["measures"])
        (path / "measures.json").write_text(json.dumps(document))
    [cell] = read_cells_of(path)
    np.testing.assert_equal(cell.final("train_loss"), train)
    np.testing.assert_equal(cell.final("batch_loss"), batch)
    shown = [name for name in shown_table([cell]) if "loss" in name]
    return [name.removesuffix(" [95 %]") for name in shown]


@pytest.mark.parametrize("samples", [None, 1000])
def test_the_losses_of_training_have_two_names(tmp_path, samples):
    path = write_run(tmp_path, samples=(samples,))
    missing, known = np.full(3, math.nan), np.full(3, -math.log(0.9))
    # An earlier version: one name, for a stream with the other meaning.
    before = losses(path, *((missing, known) if samples is None else (known, missing)))
    assert before == ["i.i.d. loss", "batch loss" if samples is None else "training loss"]

    def of_now(measures):
        measures["batch_loss"] = [[2.0, 2.0, 2.5]] * len(STEPS)
        if samples is None:
            measures["train_loss"] = [[None] * 3] * len(STEPS)

    now = losses(path, missing if samples is None else known, [2.0, 2.0, 2.5], of_now)
    assert now == before
    table = cell_table(read_cells_of(path))
    assert table["batch_loss"][0] == pytest.approx(6.5 / 3)
    assert 0 < table["batch_loss_low"][0] < 6.5 / 3 < table["batch_loss_high"][0]


def test_replicas_have_the_stated_columns(tmp_path):
    shares = [0.19, 0.17, 0.15, 0.13, 0.11, 0.09, 0.07, 0.05, 0.03, 0.01]
    tasks = [subtask("min", 1, shares=shares), subtask("mod_sum", 2, 2)]
    table = replica_table(cells_of(tmp_path, tasks=tasks))
    assert list(table) == [
        *("run", "replica", "model", "task", "aggregation", "complexity", "withheld", "samples"),
        *("learning_rate", "init_scale", "seed", "diverged_at", "iid_error", "constant_error"),
        *("iid_accuracy", "iid_loss", "withheld_accuracy", "withheld_loss"),
        *("train_accuracy", "train_loss", "batch_loss", "samples_to_95"),
    ]
    assert len(table) == 2 * 2 * 3
    by_task = table.groupby("aggregation")["constant_error"].first()
    assert by_task["min"] == pytest.approx(0.81) and by_task["mod_sum"] == pytest.approx(0.9)
    assert (table["samples_to_95"] == math.inf).all()


def test_crossing_is_linear_in_the_logarithm():
    sizes = np.array([100, 1000, 10000])
    assert crossing(sizes, np.array([0.5, 0.9, 1.0])) == pytest.approx(1000 * 10**0.5)
    assert crossing(sizes, np.array([0.95, 0.9, 1.0])) == 100
    in_float32 = float(np.float32(19) / np.float32(20))
    assert in_float32 < 0.95 and crossing(sizes, np.array([in_float32, 0.9, 1.0])) == 100
    assert crossing(sizes, np.array([0.5, 0.6, in_float32])) == pytest.approx(10_000)
    assert crossing(sizes, np.array([0.5, 0.6, 0.7])) == math.inf
    assert crossing(sizes, np.array([0.9, math.nan, 1.0])) == pytest.approx(1000)
    assert math.isnan(crossing(sizes, np.full(3, math.nan)))
    # Whether the last, which is missing, reaches it is not known.
    assert math.isnan(crossing(sizes, np.array([0.5, 0.9, math.nan])))
    # Before the first step nothing was shown, so there is no logarithm to start from.
    assert crossing(np.array([0, 256, 2560]), np.array([0.1, 0.96, 1.0])) == 256


def test_samples_of_fixed_sets_are_interpolated_over_sizes_by_seed(tmp_path):
    # Seed 0 passes 95 % halfway between 1000 and 10000, seed 1 a quarter of the way.
    ends = {0: (0.90, 1.00), 1: (0.93, 1.01)}
    cells = cells_of(
        tmp_path,
        accuracy=lambda task, samples, seed: ends[seed][samples == 10000],
        seeds=2,
    )
    (found,) = thresholds_of(cells)
    assert found.samples == pytest.approx([1000 * 10**0.5, 1000 * 10**0.25])
    middle, low, high = found.mean
    assert middle == pytest.approx(1000 * 10**0.375)
    half = 12.706205 * 0.125 * math.log(10)  # of two values that are 0.25 decades apart
    assert math.log(high / middle) == pytest.approx(half)
    assert math.log(middle / low) == pytest.approx(half)
    assert found.reached and not found.at_once
    table = replica_table(cells)
    assert table.groupby("seed")["samples_to_95"].nunique().tolist() == [1, 1]


def test_samples_of_a_stream_are_those_shown_until_then(tmp_path):
    def curve(task, samples, seed, step, last):
        return {0: 0.1, 10: 0.5, 100: 0.9, 1000: 1.0}[step] if seed < 2 else 0.1

    cells = cells_of(tmp_path, curve=curve, samples=(None,), seeds=3, batch_size=20)
    (found,) = thresholds_of(cells)
    half_decade = 20 * 100 * 10**0.5
    assert found.samples == pytest.approx([half_decade, half_decade, math.inf])
    assert (found.reaching, found.reached, found.last) == (2, False, 20000)
    # The seed that does not reach it enters with all 20000 samples, as a bound from below.
    bound = (half_decade**2 * 20000) ** (1 / 3)
    assert found.mean[0] == pytest.approx(bound) and math.isnan(found.mean[1])
    assert samples_text(found) == f"> {format_samples(bound)}"
    assert shown_thresholds([found], cells)["seeds that reach it"].tolist() == ["2 of 3"]
    row = threshold_table([found]).iloc[0]
    assert row["censored"] and row["samples_to_95"] == pytest.approx(bound)
    replicas = replica_table(cells)["samples_to_95"]
    assert replicas.tolist() == pytest.approx([half_decade, half_decade, math.inf])


def tasks_with_noise(noises):
    return [subtask("mod_sum", complexity, noise=noise) for complexity, noise in enumerate(noises)]


def test_rank_correlation_ties_censored_tasks_at_the_top(tmp_path):
    tasks = tasks_with_noise((0.1, 0.2, 0.3, 0.4, 0.5))
    ends = {0: 1.0, 1: 0.99, 2: 0.97, 3: 0.6, 4: 0.7}
    cells = cells_of(
        tmp_path,
        tasks=tasks,
        accuracy=lambda task, samples, seed: (
            ends[task["complexity"]] if samples > 1000 else 0.5 + 0.001 * seed
        ),
    )
    (found,) = correlations_of(thresholds_of(cells))
    # Ranks 1 2 3 4 5 against 1 2 3 4.5 4.5.
    noise, samples = np.arange(5.0), np.array([0, 1, 2, 3.5, 3.5])
    expected = np.corrcoef(noise, samples)[0, 1]
    assert found.value == pytest.approx(expected)
    assert (found.tasks, found.reached) == (5, 3)
    assert found.reached_value == pytest.approx(1.0) and math.isnan(found.reached_low)
    # Fisher's z of five pairs: artanh ρ ± 1.96 √((1 + ρ²/2) / 2).
    width = 1.959964 * math.sqrt((1 + expected**2 / 2) / 2)
    assert found.low == pytest.approx(math.tanh(math.atanh(expected) - width))
    assert found.high == pytest.approx(math.tanh(math.atanh(expected) + width))
    assert found.low > 0 and found.verdict == "above"
    shown = shown_thresholds(thresholds_of(cells), cells)["samples [95 %]"]
    assert shown[3] == shown[4] == f"> 10{THIN}000"


def test_a_task_that_is_reached_at_once_says_so(tmp_path):
    cells = cells_of(tmp_path, accuracy=lambda *_: 0.99)
    (found,) = thresholds_of(cells)
    assert samples_text(found) == "≤ 1000 [–]"


def test_a_bound_from_above_has_no_interval(tmp_path):
    # Seed 0 is there with the fewest samples and may need fewer, so the mean is a bound.
    cells = cells_of(
        tmp_path,
        accuracy=lambda task, samples, seed: 0.99 if samples > 1000 or seed == 0 else 0.5,
    )
    (found,) = thresholds_of(cells)
    assert found.at_once and found.reached and math.isfinite(found.mean[0])
    assert math.isnan(found.mean[1]) and samples_text(found).endswith("[–]")


def test_a_seed_whose_largest_set_is_missing_says_nothing_of_the_threshold(tmp_path):
    lost = "mod_sum-m1-withheld0-samples10000-seed1"
    cells = cells_of(
        tmp_path,
        accuracy=lambda task, samples, seed: 0.5 if samples == 1000 else 0.99,
        diverged={lost: 100},
    )
    (found,) = thresholds_of(cells)
    assert math.isnan(found.samples[1]) and np.isfinite(found.samples[[0, 2]]).all()
    assert (found.reaching, len(found.counted), found.reached) == (2, 2, True)


def test_one_size_tells_no_threshold(tmp_path):
    cells = cells_of(tmp_path, samples=(1000,))
    assert thresholds_of(cells) == [] and shown_sizes(cells) is None
    assert replica_table(cells)["samples_to_95"].isna().all()


def test_sizes_beside_each_other(tmp_path):
    tasks = [subtask(complexity=0), subtask(complexity=1), subtask(complexity=1, withheld=2)]
    cells = cells_of(
        tmp_path,
        tasks=tasks,
        accuracy=lambda task, samples, seed: (
            0.5 + 0.2 * (samples > 1000) - 0.1 * task["complexity"]
        ),
    )
    shown = shown_sizes(cells)
    assert list(shown) == ["aggregation", "complexity", "chance", "1000", f"10{THIN}000"]
    assert shown["1000"].tolist() == [
        "50.00 [–] (50.0, 50.0, 50.0)",
        "40.00 [–] (40.0, 40.0, 40.0)",
    ]
    # What withholds more than the least is in the table of withheld inputs.
    assert shown["complexity"].tolist() == ["0", "1"]
    assert shown[f"10{THIN}000"].tolist() == [
        "70.00 [–] (70.0, 70.0, 70.0)",
        "60.00 [–] (60.0, 60.0, 60.0)",
    ]
    assert [cell.subtask.withheld for cell in least_withheld(cells)] == [0] * 4
    assert {cell.samples for cell in largest_sets(cells)} == {10000}


def test_retrieval_belongs_to_every_aggregation(tmp_path):
    tasks = [subtask(complexity=0), subtask("max", 1), subtask("mod_sum", 1), subtask("mod_sum", 2)]
    groups = function_groups(cells_of(tmp_path, tasks=tasks, samples=(1000,)))
    found = {name: [cell.subtask.complexity for cell in own] for _, name, own in groups}
    assert found == {"max": [0, 1], "mod_sum": [0, 1, 2]}
    alone = write_run(tmp_path, "token_pvr-token_mlp-0000000b", [subtask(complexity=0)])
    assert [name for _, name, _ in function_groups(read_cells_of(alone))] == ["retrieval"]


def test_confusion_is_normalised_by_row_before_seeds_are_averaged(tmp_path):
    shares = [0.5, 0.5, *[0.0] * 8]
    cells = cells_of(
        tmp_path,
        tasks=[subtask(shares=shares, withheld=1)],
        accuracy=lambda task, samples, seed: (0.8, 0.9)[seed],
        withheld_accuracy=lambda task, samples, seed: 0.25,
        samples=(1000,),
        seeds=2,
    )
    table = confusion_table(cells).set_index(["part", "true", "predicted"])
    assert table.loc[("iid", 0, 1), "share"] == pytest.approx(0.15)
    assert table.loc[("iid", 0, 0), "count"] == pytest.approx(0.85 * TEST / 2)
    odds = 0.85 / 0.15 * math.exp(-12.706205 * 0.05 / (0.85 * 0.15))
    assert table.loc[("iid", 0, 0), "low"] == pytest.approx(odds / (1 + odds))
    assert table.loc[("withheld", 1, 2), "share"] == pytest.approx(0.75)
    # Rows of classes without a test sample have no share.
    assert set(table.index.get_level_values("true")) == {0, 1}
    recall = recall_table(cells).set_index(["part", "class"])
    assert recall.loc[("iid", 1), "recall"] == pytest.approx(0.85)
    assert recall.loc[("withheld", 1), "recall"] == pytest.approx(0.25)


def test_at_most_eight_confusions_are_shown_with_the_largest_sets(tmp_path):
    tasks = [subtask("mod_sum", 4, withheld) for withheld in range(12)]
    found = shown_cells(cells_of(tmp_path, tasks=tasks))
    assert len(found) == 8 and {cell.samples for cell, _ in found} == {10000}
    assert [part for _, part in found] == ["iid", *["withheld"] * 7]


def test_what_is_known_of_tasks_without_training(tmp_path):
    tasks = [subtask("mod_sum", 2, noise=0.3, half=0.01), subtask(complexity=0, noise=0.17)]
    tasks[0]["label_distribution_exact"] = False
    shown = shown_tasks(cells_of(tmp_path, tasks=tasks))
    assert shown["noise sensitivity [95 %]"].tolist() == ["0.1700", "0.3000 [0.2900, 0.3100]"]
    assert shown["chance, %"].tolist() == ["10.00", "10.00 (sampled)"]
    assert shown["label entropy, bits"].tolist() == ["3.322", "3.322"]


def test_labels_tell_arms_and_tasks_apart_and_no_more(tmp_path):
    write_run(tmp_path, rates=(1e-3, 1e-2), task_label="token PVR, bounded pointer")
    write_run(tmp_path, "visual_pvr-resnet-0000000b", picture=(4, 4), task_label="visual PVR (a)")
    write_run(
        tmp_path,
        "token_pvr-token_mlp-0000000c",
        samples=(None,),
        rates=(1e-2,),
        task_label="token PVR, bounded pointer",
    )
    cells, _ = read_cells(tmp_path / "pointer_value")
    labels = arm_labels(cells)
    assert sorted(labels.values()) == [
        "resnet",
        "token_mlp, rate 0.001",
        "token_mlp, rate 0.01",
        "token_mlp, rate 0.01, fresh samples",
    ]
    assert task_labels(cells) == {
        "token PVR, bounded pointer": "token PVR",
        "visual PVR (a)": "visual PVR",
    }
    title = panel_title(cells[0].arm, ["mod_sum", "a long remark about this very panel"], cells)
    assert title.split("\n") == [
        "token_mlp, rate 0.001, mod_sum,",
        "a long remark about this very panel",
    ]


def test_runs_are_in_the_order_of_task_model_and_complexity(tmp_path):
    write_run(tmp_path, "visual_pvr-resnet-0000000a", picture=(4, 4))
    write_run(tmp_path, "token_pvr-token_mlp-0000000b", [subtask("max", 2)])
    write_run(tmp_path, "token_pvr-token_mlp-0000000c", [subtask("mod_sum", 1)])
    write_run(tmp_path, "token_pvr-token_mixer-0000000d", [subtask("mod_sum", 3)])
    cells, _ = read_cells(tmp_path / "pointer_value")
    directories = dict.fromkeys(cell.arm.directory.name[-1] for cell in cells)
    assert "".join(directories) == "dcba"


def test_the_label_distribution_has_to_be_one(tmp_path):
    broken = subtask(shares=[0.5, *UNIFORM[1:]])
    with pytest.raises(ValueError, match=r"label_distribution adds up to 1\.4, expected 1"):
        cells_of(tmp_path, tasks=[broken])


def test_samples_have_three_digits():
    assert [format_samples(value) for value in (7.4, 1234.0, 98765.0)] == [
        "7",
        "1230",
        f"98{THIN}800",
    ]


def test_a_sweep_has_rows_of_classification_runs(tmp_path):
    tasks = [subtask("mod_sum", 1), subtask("min", 2, withheld=3)]
    directory = write_run(tmp_path, tasks=tasks, samples=(None,), seeds=2)
    rows = replica_rows(directory)
    assert [row["task"] for row in rows] == ["token_pvr"] * 4
    assert [(row["aggregation"], row["complexity"], row["withheld"]) for row in rows] == [
        ("mod_sum", 1, 0),
        ("mod_sum", 1, 0),
        ("min", 2, 3),
        ("min", 2, 3),
    ]
    assert {row["n"] for row in rows} == {None} and {row["iid_accuracy"] for row in rows} == {0.9}
    assert [row["withheld_accuracy"] for row in rows] == [None, None, 0.5, 0.5]
    cell = SweepCell(directory.name, directory, {"train.seeds": 2})
    table = sweep_table([cell], [Status("done")])
    assert table["status"].tolist() == ["done"] * 4 and table["n"].isna().all()
