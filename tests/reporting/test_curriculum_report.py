"""The report of the degree curriculum, from synthetic files of runs that were never trained."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from pvr_jax.reporting.agreement import agreement
from pvr_jax.reporting.curriculum import keep, write_report
from pvr_jax.reporting.curriculum.arms import pairs_of, sign_test
from pvr_jax.reporting.curriculum.reading import read_arms, read_arms_of
from pvr_jax.reporting.curriculum.report import study
from pvr_jax.reporting.curriculum.tables import summary_table

N, EPOCHS, SEEDS = 6, (0, 10, 20, 30, 40), 10
BATCHES = {"early": 2, "late": 8}  # per epoch, inside a small ball and with all samples


def replica(samples, leap, seed, epochs, rate, finished, diverged):
    """A replica that ends after `epochs` epochs, a curriculum passing its first stage at half."""
    half = epochs // 2
    first = half * BATCHES["early" if leap < N else "late"]
    total = first + (epochs - half) * BATCHES["late"]
    stages = [] if leap == N else [(leap, samples // 3, half, first)]
    stages += [(leap if leap == N else 2 * leap, samples, epochs, total)] if finished else []
    names = ("radius", "samples", "epochs", "iterations")
    return {
        "name": f"samples{samples}-leap{leap}-seed{seed}",
        "seed": seed,
        "leap": leap,
        "samples": samples,
        "learning_rate": rate,
        "init_scale": 1.0,
        "diverged_at": diverged,
        "finished": finished,
        "iterations": total,
        "epochs": epochs if finished else None,
        "radius": N,
        "stages": [dict(zip(names, stage, strict=True)) for stage in stages],
    }


def write_run(
    workdir, name="parity-mlp-0000000a", *, rates=(1e-3,), waiting=(), diverged=(), leaps=(3, 6)
):
    """Write a run whose curricula take more iterations and have smaller errors; return its path."""
    directory = workdir / "degree_curriculum" / name
    directory.mkdir(parents=True)
    replicas, curves, errors, learned = [], [], [], []
    for rate in rates:
        for samples in (100, 400):
            for leap in leaps:
                for seed in range(1, SEEDS + 1):
                    epochs = (16 if leap == N else 30) + seed % 3
                    key = (samples, leap, seed)
                    lost = 12 if key in diverged else None
                    entry = replica(*key, epochs, rate, key not in waiting and lost is None, lost)
                    replicas.append(entry)
                    ends = [(0, 0)] + [(s["epochs"], s["iterations"]) for s in entry["stages"]]
                    if not entry["finished"]:
                        ends.append((EPOCHS[-1], entry["iterations"]))
                    curves.append(np.interp(EPOCHS, *zip(*ends, strict=True)).round().astype(int))
                    last = (0.6 if leap == N else 0.02) + 0.001 * seed
                    errors.append(np.geomspace(0.5, last, len(EPOCHS)))
                    learned.append(1 - np.minimum(errors[-1], 1))
    measures = {
        "generalization_error": np.stack(errors, 1).tolist(),
        "in_distribution_error": (np.stack(errors, 1) * 1e-3).tolist(),
        "target_coefficient": np.stack(learned, 1).tolist(),
    }
    for values in measures.values():
        for index, entry in enumerate(replicas):
            if entry["diverged_at"] is not None:
                values[-1][index] = None
    document = {
        "experiment": "degree_curriculum",
        "size": "small",
        "task": "parity",
        "n": N,
        "model": "mlp",
        "optimizer": "adam",
        "threshold": 1e-3,
        "half_variance": 0.5,
        "epochs": list(EPOCHS),
        "replicas": replicas,
        "iterations": np.stack(curves, 1).tolist(),
        "measures": measures,
    }
    (directory / "measures.json").write_text(json.dumps(document))
    (directory / "config.json").write_text(json.dumps({"experiment": "degree_curriculum"}))
    record = {"command": "python -m <this>", "parameters": 737, "stages": {"train": {"s": 1.5}}}
    (directory / "run.json").write_text(json.dumps(record))
    return directory


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("reported")
    write_run(workdir, waiting={(400, 6, 1), (400, 3, 1), (400, 3, 2)}, diverged={(100, 3, 5)})
    return workdir, write_report(workdir / "degree_curriculum")


def test_every_file_is_there_and_writing_twice_gives_the_same_bytes(reported, tmp_path):
    workdir, paths = reported
    assert paths.directory == workdir / "degree_curriculum" / "report"
    names = {"table.md", "table.csv", "stages.md", "stages.csv", "replicas.csv", "findings.md"}
    assert set(paths.tables) == names
    assert set(paths.figures) == {"error_over_iterations", "target_coefficient"}
    again = write_report(workdir / "degree_curriculum", tmp_path)
    for name, path in paths.tables.items():
        assert path.read_bytes() == again.tables[name].read_bytes()
    for name, formats in paths.figures.items():
        for kind, path in formats.items():
            assert path.read_bytes() == again.figures[name][kind].read_bytes()


def test_the_numbers_of_the_table(reported):
    _, paths = reported
    table = pd.read_csv(paths.tables["table.csv"]).set_index("samples")
    small, large = table.loc[100], table.loc[400]
    # Epochs 16 + s mod 3 with 8 steps; 30 + s mod 3, the first half with 2 steps, the rest with 8.
    normal = np.array([8 * (16 + s % 3) for s in range(1, 11)], float)
    ends = [30 + s % 3 for s in range(1, 11)]
    curriculum = np.array([2 * (e // 2) + 8 * (e - e // 2) for e in ends], float)
    assert small["iterations_normal"] == pytest.approx(normal.mean())
    others = np.arange(10) != 4  # seed 5 diverged
    assert small["iterations_curriculum"] == pytest.approx(curriculum[others].mean())
    logs = np.log(normal / curriculum)[others]
    assert small["ratio"] == pytest.approx(np.exp(logs.mean()))
    assert small["ratio_low"] < small["ratio"] < small["ratio_high"]
    assert (small["ended_normal"], small["ended_curriculum"]) == (10, 9)
    assert (small["fewer_iterations"], small["iterations_compared"]) == (0, 10)
    assert small["p_iterations"] == pytest.approx(2 * 0.5**10)
    # Seed 1 ended in neither arm: a tie. Seed 2 did not with the curriculum.
    assert (large["ended_normal"], large["ended_curriculum"]) == (9, 8)
    assert large["iterations_compared"] == 9 and large["ratio_seeds"] == 8
    assert (large["smaller_error"], large["errors_compared"]) == (10, 10)
    assert large["p_error"] == pytest.approx(2 * 0.5**10)
    assert small["errors_compared"] == 9
    assert (large["learned_normal"], large["learned_curriculum"]) == (0, 10)
    assert small["learned_curriculum"] == 9


@pytest.mark.slow
def test_one_replica_that_did_not_end_takes_more_than_any_that_did(tmp_path):
    waiting = {(samples, 6, seed) for samples in (100, 400) for seed in range(1, 11)}
    write_run(tmp_path, waiting=waiting)
    arms, _ = read_arms(tmp_path / "degree_curriculum")
    for pair in pairs_of(arms):
        assert pair.fewer_iterations.smaller == pair.fewer_iterations.compared == 10
        assert math.isnan(pair.ratio[0])
    _, files = study(arms)
    assert "0, 10 of 10" in files["table.md"] and "–" in files["table.md"]
    assert "fewer iterations in 2 of 2 and" in files["findings.md"]
    write_report(tmp_path / "degree_curriculum")


def test_sign_test():
    found = sign_test(np.array([1.0, 1, 5, math.inf]), np.array([2.0, 2, 5, math.inf]))
    assert (found.smaller, found.compared, found.p) == (2, 2, 0.5)
    nothing = sign_test(np.array([math.nan]), np.array([1.0]))
    assert nothing.compared == 0 and math.isnan(nothing.p)


def test_findings_and_page_say_what_the_numbers_show(reported):
    _, paths = reported
    findings = paths.tables["findings.md"].read_text()
    assert "more in 2" in findings and "the smaller one in 2 of 2" in findings
    assert "10 of 10 replicas fit their samples without having learned" in findings
    page = paths.page.read_text()
    assert page.count("data:image/svg+xml;base64") == 2 and "<script" not in page
    assert "python -m &lt;this&gt;" in page
    assert "samples100-leap3-seed5 diverged at epoch 12" in page
    assert "samples400-leap6-seed1 did not end" in page
    assert "samples100-leap3-seed5 diverged at epoch 12" in paths.text


def shares_of_stages(directory):
    """Return {(leap, radius): share in percent} of a report's finding, and what follows it."""
    text = study(read_arms_of(directory))[1]["findings.md"].splitlines()[-1]
    found = re.findall(r"([0-9.]+) % up to radius (\d+)(?: \(leap (\d+)\))?", text)
    return {(int(leap or 3), int(radius)): float(share) for share, radius, leap in found}, text


def test_shares_of_iterations_add_up_to_the_whole(tmp_path):
    # With 400 samples nobody passes the second stage.
    nobody = write_run(tmp_path, waiting={(400, 3, seed) for seed in range(1, 11)})
    shares, text = shares_of_stages(nobody)
    first = sum(2 * ((30 + seed % 3) // 2) for seed in range(1, 11))
    whole = first + sum(8 * (30 + seed % 3 - (30 + seed % 3) // 2) for seed in range(1, 11))
    assert shares == {(3, 3): round(100 * first / whole), (3, 6): round(100 - 100 * first / whole)}
    assert "; 10 of 20 replicas did not end and are not counted." in text
    # One leap of two has an arm with one replica that ends, and another stage for all others.
    waiting = {(400, 2, seed) for seed in range(2, 11)} | {(100, 2, 1), (100, 3, 4)}
    path = write_run(tmp_path, "parity-mlp-0000000b", leaps=(2, 3, 6), waiting=waiting)
    document = json.loads((path / "measures.json").read_text())
    for entry in document["replicas"]:
        if (entry["samples"], entry["leap"]) == (400, 2) and entry["finished"]:
            entry["stages"][1]["radius"] = 6
    (path / "measures.json").write_text(json.dumps(document))
    shares, text = shares_of_stages(path)
    assert set(shares) == {(2, 2), (2, 4), (2, 6), (3, 3), (3, 6)}
    for leap in (2, 3):
        assert sum(share for (own, _), share in shares.items() if own == leap) == pytest.approx(100)
    assert "; 11 of 40 replicas" in text
    none = {(samples, 3, seed) for samples in (100, 400) for seed in range(1, 11)}
    _, text = shares_of_stages(write_run(tmp_path, "parity-mlp-0000000c", waiting=none))
    assert "Where the curriculum spends" not in text


def test_notes_and_counts_are_of_the_replicas_that_a_number_is_of(tmp_path):
    path = write_run(tmp_path, waiting={(400, 3, 1)})
    document = json.loads((path / "measures.json").read_text())
    names = [entry["name"] for entry in document["replicas"]]
    lost = names.index("samples100-leap3-seed7")  # is not there at all
    del document["replicas"][lost]
    for rows in (document["iterations"], *document["measures"].values()):
        for row in rows:
            del row[lost]
    (path / "measures.json").write_text(json.dumps(document))
    results, files = study(read_arms_of(path))
    assert "10 of 10, 9 of 9" in files["table.md"]
    assert "in 10 of 10 replicas normally and in 9 of 9 with" in files["findings.md"]
    assert " 9 of 10 |" in files["stages.md"]
    text = " ".join(results.notes)
    assert "of a stage over those that passed it" in text
    assert "a stage's is over the replicas that passed it, ended or not" in text


def test_groups_of_seeds_in_the_stages_alone_are_explained_too(tmp_path):
    path = write_run(tmp_path)
    document = json.loads((path / "measures.json").read_text())
    for entry in document["replicas"]:
        entry["iterations"] = entry["stages"][-1]["iterations"] = 300 + entry["seed"]
        if entry["leap"] == 3:
            entry["stages"][0]["iterations"] = 200 if entry["seed"] == 1 else 20 + entry["seed"]
    (path / "measures.json").write_text(json.dumps(document))
    results, files = study(read_arms_of(path))
    assert "(9 at" in files["stages.md"] and "(9 at" not in files["table.md"]
    assert any("describes neither" in note for note in results.notes)


@pytest.mark.slow
def test_rates_and_leaps_are_told_apart(tmp_path):
    write_run(tmp_path, rates=(1e-3, 1e-2), leaps=(2, 3, 6))
    paths = write_report(tmp_path / "degree_curriculum")
    header = paths.tables["table.md"].read_text().splitlines()[0]
    assert "learning rate" in header and "leap" in header
    assert len(pd.read_csv(paths.tables["table.csv"])) == 8
    assert "**400 samples, leap 3, rate 0.01.**" in paths.tables["findings.md"].read_text()


def test_kept_results_can_be_compared_with_fresh_ones(reported, tmp_path):
    workdir, paths = reported
    keep(workdir / "degree_curriculum", tmp_path)
    kept = pd.read_csv(tmp_path / "replicas.csv")
    fresh = pd.read_csv(paths.tables["replicas.csv"])
    assert agreement(fresh, kept).identical == 40
    assert kept["run"].nunique() == 4, "a cell of the comparison is an arm"
    for name in ("error_over_iterations.png", "target_coefficient.png", "table.md", "findings.md"):
        assert (tmp_path / name).stat().st_size > 0
    records = json.loads((tmp_path / "run.json").read_text())
    assert records["runs"]["parity-mlp-0000000a"]["run"]["parameters"] == 737
    one = tmp_path / "one"
    keep(workdir / "degree_curriculum" / "parity-mlp-0000000a", one)
    assert (one / "table.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()


def test_missing_and_damaged_files_are_one_line(tmp_path):
    root = tmp_path / "degree_curriculum"
    with pytest.raises(FileNotFoundError, match="no run found"):
        write_report(root)
    directory = write_run(tmp_path)
    path = directory / "measures.json"
    text = path.read_text()
    for broken, reason in (
        ("{", "damaged file"),
        (text.replace('"epochs": [0, 10,', '"epochs": [0,'), "iterations has shape"),
        (text.replace('"target_coefficient"', '"other"'), "no entry 'target_coefficient'"),
    ):
        path.write_text(broken)
        with pytest.raises(ValueError, match=reason) as caught:
            read_arms_of(directory)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.unlink()
    for call in (lambda: write_report(root), lambda: keep(root, tmp_path / "kept")):
        with pytest.raises(FileNotFoundError, match="unfinished: parity-mlp-0000000a"):
            call()


def test_normal_training_alone_is_refused(tmp_path):
    write_run(tmp_path, leaps=(6,))
    with pytest.raises(ValueError, match="leaps: given 6; allowed"):
        write_report(tmp_path / "degree_curriculum")


def rewrite(directory, errors=(), fitted=(), iterations=()):
    """Give replicas, by samples, leap and seed, other final errors or numbers of iterations."""
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    keys = [(entry["samples"], entry["leap"], entry["seed"]) for entry in document["replicas"]]
    for name, given in (("generalization_error", errors), ("in_distribution_error", fitted)):
        for key, value in dict(given).items():
            document["measures"][name][-1][keys.index(key)] = value
    for key, value in dict(iterations).items():
        entry = document["replicas"][keys.index(key)]
        entry["iterations"] = entry["stages"][-1]["iterations"] = value
    path.write_text(json.dumps(document))
    arms = read_arms_of(directory)
    results, files = study(arms)
    return results, files, summary_table(pairs_of(arms))


def test_sign_tests_are_corrected_for_the_number_of_comparisons(tmp_path):
    larger = {(samples, 3, 1): 0.9 for samples in (100, 400)}  # 9 of 10 are smaller: p = .021
    results, _, table = rewrite(write_run(tmp_path), larger)
    assert table["p_error"].tolist() == pytest.approx([22 / 1024, 22 / 1024])
    assert "at 0.05, 0.025 for each of 2 comparisons" in results.lead
    assert "the smaller one in 2 of 2 and the larger one in 0." in results.lead
    more = write_run(tmp_path, "parity-mlp-0000000b", leaps=(2, 3, 6))
    results, _, _ = rewrite(more, larger)
    assert "at 0.05, 0.0125 for each of 4 comparisons" in results.lead
    assert "the smaller one in 2 of 4 and the larger one in 0." in results.lead
    assert "more in 4;" in results.lead


def test_intervals_stay_positive_and_two_groups_of_seeds_are_shown(tmp_path):
    errors = {(100, 3, seed): 0.01 + 0.001 * seed for seed in range(2, 11)} | {(100, 3, 1): 1.26}
    taken = {(100, 3, seed): 1000 + seed for seed in range(2, 11)} | {(100, 3, 1): 4000}
    results, files, table = rewrite(write_run(tmp_path), errors, iterations=taken)
    row = table.iloc[0]
    error = np.array([errors[100, 3, seed] for seed in range(1, 11)])
    width = scipy.stats.t.ppf(0.975, 9) * scipy.stats.sem(error) / error.mean()
    bounds = [row[f"generalization_error_curriculum_{side}"] for side in ("low", "high")]
    assert bounds == pytest.approx([error.mean() * np.exp(-width), error.mean() * np.exp(width)])
    assert error.mean() - width * error.mean() < 0 < bounds[0]
    assert "] (9 at 0.0160 and 1 at 1.26)" in files["table.md"]
    assert "(9 at 1006 and 1 at 4000)" in files["table.md"]
    assert "describes neither" in results.notes[-1]
    assert "0.140 (9 at 0.0160 and 1 at 1.26) after the curriculum" in files["findings.md"]
    logs = pairs_of(results.arms)[0].log_ratios
    low, high = scipy.stats.t.interval(0.95, 9, logs.mean(), scipy.stats.sem(logs))
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx((np.exp(low), np.exp(high)))
    groups = f"(1 at {np.exp(logs[0]):.4f} and 9 at {np.exp(logs[1:].mean()):.3f})"
    assert groups in files["table.md"]


def test_a_missing_error_is_neither_learned_nor_fitted_by_heart(tmp_path):
    missing = {(400, 6, 2): None, (400, 6, 3): None}
    _, files, table = rewrite(write_run(tmp_path), missing, fitted={(400, 6, 4): None})
    assert table["measured_normal"].tolist() == [10, 8]
    assert "0 of 8, 10 of 10" in files["table.md"]
    assert "After normal training, 7 of 10 replicas fit their samples" in files["findings.md"]
    nothing = {(400, 6, seed): None for seed in range(1, 11)}
    _, files, table = rewrite(write_run(tmp_path, "parity-mlp-0000000b"), nothing)
    assert table["errors_compared"].tolist() == [10, 0]
    assert "error is – after normal training" in files["findings.md"]
    assert "smaller one in 1 of 2" in files["findings.md"]


def test_a_ratio_whose_interval_holds_1_is_not_told_apart_from_it(tmp_path):
    arms = read_arms_of(write_run(tmp_path))
    normal = arms[1].iterations_to_end
    factors = [1.3, 0.8, 1.2, 0.9, 1.1, 1.0, 0.7, 1.25, 0.95, 1.05]
    taken = {(100, 3, i + 1): round(normal[i] * factor) for i, factor in enumerate(factors)}
    _, files, _ = rewrite(tmp_path / "degree_curriculum" / arms[0].directory.name, iterations=taken)
    [finding] = [line for line in files["findings.md"].splitlines() if line.startswith("**100 s")]
    assert "times the iterations of normal training, not told apart from 1;" in finding
