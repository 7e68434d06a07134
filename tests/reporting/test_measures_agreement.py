"""Every measure of a study's tables is compared with the kept ones, and what is missing is said."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pvr_jax.reporting.agreement import agreement, compare_files, render_agreement

RESULTS = Path(__file__).parents[2] / "experiments"
UNSEEN = "unseen_domain/results/length_generalization"
CURRICULUM = "degree_curriculum/results/degree_curriculum"
CANONICAL = "canonical_holdout/results/quadratic_chain"


def compared(study, directory, file="", change=None):
    """Compare the kept tables of a study with their copy, one of them changed."""
    for path in (RESULTS / study).glob("*.csv"):
        table = pd.read_csv(path)
        if path.name == file:
            table = change(table)
        table.to_csv(directory / path.name, index=False)
    return compare_files(directory / "replicas.csv", RESULTS / study / "replicas.csv")


@pytest.mark.parametrize("study", [UNSEEN, CURRICULUM, CANONICAL])
def test_the_same_tables_agree_in_every_measure(study, tmp_path):
    line = compared(study, tmp_path)
    assert ": they agree; " in line
    measures, cells, means = re.search(
        r"(\d+) measures were compared in (\d+) cells: of (\d+) means", line
    ).groups()
    assert int(measures) >= 13 and int(cells) >= 9 and int(means) > 70


@pytest.mark.parametrize(
    ("study", "file", "measure", "changed", "place"),
    [
        (CURRICULUM, "replicas.csv", "iterations", lambda v: v // 10, "leap 4"),
        (CURRICULUM, "replicas.csv", "target_coefficient", lambda v: v + 1, "leap 10"),
        (UNSEEN, "replicas.csv", "unseen_error", lambda v: v * 0 + 99.0, "parity-mlp"),
        (UNSEEN, "coefficients.csv", "coefficients", lambda v: v + 1, "x₀"),
        (UNSEEN, "coefficients.csv", "min_degree", lambda v: 1.1 * v, "lengthgen"),
        (UNSEEN, "replicas.csv", "mass_above", lambda v: v * 0 + 0.9, "parity-mlp"),
        (CANONICAL, "replicas.csv", "prediction_wide_ntk", lambda v: 1.1 * v, "bit7"),
        (CANONICAL, "replicas.csv", "leak", lambda v: v + 9, "bit7"),
        (CANONICAL, "twins.csv", "high_mean", lambda v: v + 9, "x6 x7"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_measure_that_differs_is_named(study, file, measure, changed, place, tmp_path):
    line = compared(study, tmp_path, file, lambda t: t.assign(**{measure: changed(t[measure])}))
    name = measure.replace("high_mean", "coefficient_of_twin")
    found = re.search(r"they do NOT agree \((.*?)\); \d+ measures", line)[1]
    assert place in found and f": {name}" in found
    assert "the largest difference of an error is 0.00%" in line


def test_stages_are_measures(tmp_path):
    def faster(table):
        stages = table["stage_iterations"].str.split(" ", n=1, expand=True).fillna("")
        first = (stages[0].replace("", "0").astype(int) // 3).astype(str)
        return table.assign(stage_iterations=first + " " + stages[1])

    line = compared(CURRICULUM, tmp_path, "replicas.csv", faster)
    assert re.search(r"do NOT agree \([^)]*: stage_iterations 1", line)
    assert "stage_iterations 2" not in line


def test_thresholds_that_are_never_reached_agree_and_one_that_is_does_not():
    rows = [
        {"run": "a", "replica": f"seed{i}", "iid_error": 0.1, "constant_error": 0.9, "samples": 1}
        for i in range(3)
    ]
    never = pd.DataFrame(rows).assign(samples_to_95=np.inf, learning_rate=1e-3)
    assert agreement(never, never).holds
    soon = never.assign(samples_to_95=[7.0e4, 7.1e4, 7.2e4])
    for fresh, kept in ((never, soon), (soon, never)):
        assert agreement(fresh, kept).disagreeing == ("a samples1: samples_to_95",)
    once = soon.assign(samples_to_95=[7.0e4, 7.1e4, np.inf])  # one seed just misses the threshold
    assert agreement(once, soon).holds


def three(values, **columns):
    rows = [
        {"run": "pvr-mlp-0000000a", "replica": f"seed{i}", "frozen_bit": 1, "learning_rate": 1e-3}
        | {"generalization_error": value}
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_one_replica_that_is_left_is_not_taken_for_its_cell():
    kept = three([0.30, 0.40, 0.50])
    fresh = three([0.33, 0.40, 0.50])  # within the spread: the whole cell agrees
    assert agreement(fresh, kept).holds
    found = agreement(fresh.iloc[:1], kept)
    assert not found.holds and found.disagreeing == ()
    assert found.missing == ("pvr-mlp-0000000a seed1", "pvr-mlp-0000000a seed2")
    line = render_agreement(found)
    assert "what was compared agrees, but replicas are missing (pvr-mlp-0000000a seed1, " in line
    assert "NOT" not in line
    diverged = fresh.assign(generalization_error=[0.33, np.nan, np.nan])
    found = agreement(diverged, kept)
    assert not found.holds and found.disagreeing == ()
    assert "replicas diverged on one side only (pvr-mlp-0000000a seed1, " in render_agreement(found)


def test_an_error_that_is_infinite_on_one_side_does_not_agree():
    kept = three([0.3, 0.4, 0.5])
    found = agreement(three([0.3, np.inf, 0.5]), kept)
    assert not found.holds
    assert "an error is infinite, or 0 on one side only (pvr-mlp-0000000a " in render_agreement(
        found
    )
    assert render_agreement(agreement(kept, kept)).count("they agree") == 1


def test_two_replicas_that_are_left_may_disagree():
    kept, fresh = three([0.300, 0.301, 0.5]), three([0.400, 0.401, 0.5])
    found = agreement(fresh.iloc[:2], kept)
    assert found.disagreeing == ("pvr-mlp-0000000a bit1",)
    line = render_agreement(found)
    assert "they do NOT agree (pvr-mlp-0000000a bit1); replicas are missing (" in line


def test_what_only_the_kept_tables_have_is_told():
    kept = three([0.3, 0.4, 0.5], leak=[0.1, 0.2, 0.3])
    found = agreement(kept.drop(columns="leak"), kept)
    assert not found.holds and found.lacking == ("leak",)
    assert "measures are missing (leak)" in render_agreement(found)
    gone = kept.assign(leak=[0.1, 0.2, np.nan])
    assert agreement(gone, kept).disagreeing == ("pvr-mlp-0000000a bit1: leak",)


def test_rows_of_runs_with_missing_replicas_are_left_out_of_other_tables():
    cells = pd.DataFrame({"run": ["pvr-mlp-0000000a", "b"], "mass": [0.5, 0.7]})
    kept = pd.concat([three([0.3, 0.4, 0.5]), three([0.3, 0.4, 0.5]).assign(run="b")])
    found = agreement(kept.iloc[1:], kept, {"table.csv": (cells.assign(mass=[9, 0.7]), cells)})
    assert found.disagreeing == () and found.left_out == 1 and not found.holds
    found = agreement(kept, kept, {"table.csv": (cells.assign(mass=[9, 0.7]), cells)})
    assert found.disagreeing == ("pvr-mlp-0000000a: mass",)


def test_learning_rates_of_one_run_are_places_of_their_own():
    kept = pd.concat([three([0.3, 0.4]), three([0.3, 0.4], learning_rate=1e-2)])
    kept["replica"] = [f"r{i}" for i in range(4)]
    fresh = kept.assign(generalization_error=[0.3, 0.4, 9.0, 9.1])
    assert agreement(fresh, kept).disagreeing == ("pvr-mlp-0000000a bit1 rate 0.01",)
