"""The report of classification: files, figures, findings and pages of runs never trained."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from parsed_page import Page
from synthetic_accuracy import subtask, write_run

from pvr_jax.reporting import drawing, stored
from pvr_jax.reporting.accuracy import keep, write_report
from pvr_jax.reporting.accuracy.illustrations import drawings
from pvr_jax.reporting.accuracy.reading import read_cells, read_cells_of, read_examples
from pvr_jax.reporting.accuracy.report import study
from pvr_jax.reporting.agreement import agreement, render_agreement

TOKENS = "token PVR, bounded pointer"
NOISE = {0: 0.17, 1: 0.31, 2: 0.36}
LOST = "mod_sum-m2-withheld0-samples1000-seed1"


def accuracy(task, samples, seed):
    """Falls with complexity, grows with size; 97 % of retrieval with the largest sets."""
    return (
        (0.5 if samples == 1000 else 0.97)
        - (0.2 + 0.001 * (seed - 1)) * (task["complexity"] or 0)
        + 0.01 * seed
    )


def slow(task, samples, seed, step, last):
    """The same share of the way in every decade of steps."""
    return 0.1 + (last - 0.1) * math.log10(1 + step) / math.log10(1001)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Tokens with and without holdout (one replica diverged), pictures, and a run that waits."""
    workdir = tmp_path_factory.mktemp("reported")
    tasks = [subtask("mod_sum", m, noise=noise) for m, noise in NOISE.items()]
    tasks += [subtask("mod_sum", 2, withheld, noise=NOISE[2]) for withheld in (1, 6)]
    write_run(
        workdir, tasks=tasks, accuracy=accuracy, curve=slow, diverged={LOST: 100}, task_label=TOKENS
    )
    pictures = [subtask(None, None, withheld, noise=None) for withheld in (0, 1)]
    pictures[1]["withheld_words"] = "<1, 2, 3> top right"
    write_run(workdir, "visual_pvr-resnet-0000000b", pictures, picture=(4, 6), curve=slow)
    write_run(workdir, "token_pvr-token_mixer-0000000c", finished=False)
    root = workdir / "pointer_value"
    paths = write_report(root)
    cells, unfinished = read_cells(root)
    return SimpleNamespace(root=root, paths=paths, cells=cells, unfinished=unfinished)


def test_every_file_is_there(reported):
    paths = reported.paths
    assert paths.directory == reported.root / "report"
    shown = {"table", "sizes", "holdout", "samples", "tasks", "recall", "findings"}
    data = {"table", "samples", "recall", "confusion", "replicas"}
    names = {f"{name}.md" for name in shown} | {f"{name}.csv" for name in data}
    assert set(paths.tables) == names | {"examples.html"}
    assert all(path.stat().st_size > 0 for path in paths.tables.values())
    tokens = {"accuracy_over_samples", "accuracy_over_withheld", "accuracy_over_steps"}
    tokens |= {"samples_against_noise", "confusion"}
    pictures = {"accuracy_over_samples", "accuracy_over_steps", "confusion"}
    expected = {f"{name}_token_pvr" for name in tokens}
    assert set(paths.figures) == expected | {f"{name}_visual_pvr" for name in pictures}
    for formats in paths.figures.values():
        assert {path.suffix for path in formats.values()} == {".svg", ".pdf", ".png"}


def test_the_page_is_whole(reported):
    text = reported.paths.page.read_text(encoding="utf-8")
    page = Page(text)
    assert "<script" not in text and "python -m &lt;this&gt;" in text
    images = [attrs for tag, attrs in page.tags if tag == "img" and "svg" in attrs["src"]]
    assert len(images) == len(reported.paths.figures)
    assert f"{LOST} diverged at step 100" in page.text
    assert "token_pvr-token_mixer-0000000c" in page.text
    for word in ("holdout-i", "noise sensitivity", "top-1 accuracy", "Left out", "Runs"):
        assert word in page.text
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert "examples.html" in links
    for link in links:
        if not link.startswith("#"):
            assert (reported.paths.directory / link).exists(), link


def test_findings_are_made_from_the_numbers(reported):
    found = reported.paths.tables["findings.md"].read_text(encoding="utf-8")
    assert "goes from 51.0 to 98.0 % (retrieval), 31.0 to 78.0 % (mod_sum, complexity 1)" in found
    assert "With mod_sum it falls with every step in complexity, 0 to 2, as expected." in found
    # Withheld accuracy is one half: of complexity 2, 57, 58 and 59 % less it are 7, 8 and 9 points.
    assert "points: no verdict, as only 58.00 % of the training samples are fitted" in found
    assert (
        "The most frequent mistake is 2 for 1, 100 % of all wrong ones and 50 % of class 1" in found
    )
    assert "over 3 tasks, of which 2 do not reach it and are tied at the top" in found
    assert "So few tasks give no interval" in found


def test_the_figures_show_the_means(reported):
    tokens = [cell for cell in reported.cells if cell.task == "token_pvr"]
    with drawing.style("test"):
        drawn = {name: draw() for name, draw in drawings(tokens).items()}
    (axis,) = drawn["accuracy_over_samples"].axes
    lines = [
        line for line in axis.lines if len(line.get_ydata()) == 2 and line.get_marker() in "os^"
    ]
    assert [line.get_ydata().tolist() for line in lines] == [
        pytest.approx(values) for values in ([51, 98], [31, 78], [11, 58])
    ]
    assert axis.get_xscale() == "log"
    flat = [line for line in axis.lines if line.get_linestyle() == "--"]
    assert flat[0].get_ydata() == pytest.approx([10, 10])  # chance
    (axis,) = drawn["accuracy_over_withheld"].axes
    lines = [line for line in axis.lines if line.get_marker() in "os"]
    by_counts = [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in lines]
    assert ([0, 1, 6], pytest.approx([58, 58, 58])) in by_counts
    assert ([1, 6], pytest.approx([50, 50])) in by_counts
    (axis,) = drawn["samples_against_noise"].axes
    hollow = [
        line.get_markerfacecolor() == "white" for line in axis.lines if line.get_marker() in "os"
    ]
    assert hollow == [False, True, True]
    assert "rank correlation 0.87" in axis.get_title(loc="left")


def test_curves_of_complexity_and_of_holdouts_have_panels_of_their_own(reported):
    tokens = [cell for cell in reported.cells if cell.task == "token_pvr"]
    with drawing.style("test"):
        figure = drawings(tokens)["accuracy_over_steps"]()
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["retrieval", "mod_sum, complexity 1", "mod_sum, complexity 2"]
    curves = [line for line in figure.axes[2].lines if len(line.get_xdata()) == 4]
    assert len(curves) == 5  # i.i.d. of three subtasks, withheld of two
    assert curves[0].get_ydata()[-1] == pytest.approx(58)


def test_chance_is_drawn_in_colour_where_tasks_differ(tmp_path):
    shares = [0.19, 0.17, 0.15, 0.13, 0.11, 0.09, 0.07, 0.05, 0.03, 0.01]
    tasks = [subtask(complexity=0), subtask("min", 1, shares=shares)]
    cells = read_cells_of(write_run(tmp_path, tasks=tasks))
    with drawing.style("test"):
        (axis,) = drawings(cells)["accuracy_over_samples"]().axes
    chances = {
        line.get_color(): line.get_ydata()[0] for line in axis.lines if line.get_ls() == "--"
    }
    assert sorted(chances.values()) == pytest.approx([10, 19])
    assert set(chances) == {line.get_color() for line in axis.lines if line.get_marker() in "os"}


def test_figures_without_anything_to_show_are_not_drawn(tmp_path):
    cells = read_cells_of(write_run(tmp_path, samples=(1000,), steps=(50,)))
    assert list(drawings(cells)) == ["confusion"]
    fresh = read_cells_of(write_run(tmp_path, "token_pvr-token_mlp-0000000b", samples=(None,)))
    assert list(drawings(fresh)) == ["accuracy_over_steps", "confusion"]


def test_writing_twice_gives_the_same_bytes(tmp_path):
    tasks = [subtask(complexity=0), subtask(complexity=1, withheld=1)]
    write_run(tmp_path, tasks=tasks, seeds=2)
    first = write_report(tmp_path / "pointer_value", tmp_path / "first")
    again = write_report(tmp_path / "pointer_value", tmp_path / "again")
    files = [path for path in first.directory.rglob("*") if path.is_file()]
    assert len(files) == len(first.tables) + 3 * len(first.figures) + 1
    for path in files:
        other = again.directory / path.relative_to(first.directory)
        assert path.read_bytes() == other.read_bytes(), path.name


def text_of(directory, **kwargs):
    write_run(directory, **kwargs)
    cells, unfinished = read_cells(directory / "pointer_value")
    return study(cells, unfinished)[1]["findings.md"]


def test_expectations_that_fail_are_said_to(tmp_path):
    tasks = [subtask(complexity=m) for m in (0, 1, 2)] + [subtask(complexity=2, withheld=1)]

    def odd(task, samples, seed):
        return 0.6 + (0.1 + 0.001 * seed) * (task["complexity"] - (samples > 1000))

    text = text_of(tmp_path, tasks=tasks, accuracy=odd, withheld_accuracy=lambda *a: odd(*a) + 0.05)
    assert "fails for mod_sum: the mean rises from 0 to 1 and 1 to 2" in text
    assert "it falls from 1000 to 10\u2009000 samples by 10.10 points" in text


def test_gaps_that_say_nothing_are_said_to(tmp_path):
    tasks = [subtask(withheld=1)]
    same = text_of(
        tmp_path / "a",
        tasks=tasks,
        accuracy=lambda *_: 0.97,
        withheld_accuracy=lambda task, samples, seed: 0.9 + 0.05 * seed,
    )
    assert "no gap is told from zero, all gaps at once" in same
    guessed = text_of(tmp_path / "c", tasks=tasks, accuracy=lambda *_: 0.1)
    assert "cannot be told from a constant guess, so nothing could be lost" in guessed
    one = text_of(tmp_path / "b", tasks=tasks, seeds=1)
    assert "one replica, so nothing can be said of chance" in one


def test_samples_that_are_fitted_without_learning_are_remarked(tmp_path):
    directory = write_run(tmp_path, accuracy=lambda *_: 0.3)
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    document["measures"]["train_accuracy"][-1] = [0.99] * 6
    path.write_text(json.dumps(document))
    text = study(read_cells_of(directory))[1]["findings.md"]
    assert "with 1000 and 10\u2009000 samples the network fits more than 95 % of them" in text


def test_models_are_compared_on_the_cells_they_share(tmp_path):
    tasks = [subtask(complexity=0), subtask(complexity=1)]
    write_run(tmp_path, tasks=tasks, accuracy=lambda task, samples, seed: 0.7 + 0.01 * seed)
    write_run(
        tmp_path,
        "token_pvr-token_mixer-0000000b",
        tasks[:1],
        accuracy=lambda task, samples, seed: 0.8 + 0.01 * seed,
        task_label="token_pvr",
    )
    cells, _ = read_cells(tmp_path / "pointer_value")
    text = study(cells)[1]["findings.md"]
    assert "Means over the 2 cells that all have, highest first: token_mixer 81.00 " in text
    assert "token_mlp 71.00 [68.45, 73.42] %" in text


def test_kept_results_can_be_compared_with_fresh_ones(reported, tmp_path):
    with pytest.raises(FileNotFoundError, match="unfinished: token_pvr-token_mixer-0000000c"):
        keep(reported.root, tmp_path / "no")
    run = reported.root / "token_pvr-token_mlp-0000000a"
    stored.keep(run, tmp_path / "kept")
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {"table.md", "table.csv", "replicas.csv", "findings.md", "run.json"} <= names
    assert "accuracy_over_samples.png" in names and "confusion.csv" not in names
    kept = pd.read_csv(tmp_path / "kept" / "replicas.csv")
    fresh = pd.read_csv(reported.paths.tables["replicas.csv"])
    found = agreement(fresh, kept)
    assert (found.replicas, found.kept, found.identical) == (30, 30, 30)
    records = json.loads((tmp_path / "kept" / "run.json").read_text())["runs"]
    assert records[run.name]["run"]["parameters"] == 12345


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
    for moved, holds in ((0.0179, True), (0.0181, False)):
        found = agreement(replicas([moved] * 3 + [0.3] * 3), kept)
        assert found.holds == holds
        assert found.largest == found.largest_mean == pytest.approx(moved / 0.9)
        place = "token_pvr-token_mlp-0000000a mod_sum m1 withheld0 samples1000"
        assert found.disagreeing == (() if holds else (place,))
        assert found.alone == 2  # equal seeds have no interval
    assert "2% (of the error of the best constant guess): they do NOT agree" in render_agreement(
        found
    )
    once = replicas([math.nan, 0.0, 0.0, 0.3, 0.3, 0.3])
    assert agreement(once, kept).largest == math.inf and agreement(once, once).holds


def test_means_of_accuracies_are_compared_with_the_spread_of_both():
    # Three errors .1 apart on both sides: standard error .1 √(2/3), 4 degrees of freedom.
    kept = replicas([0.1, 0.2, 0.3, 0.5, 0.5, 0.5])
    limit = 2.776445 * 0.1 * math.sqrt(2 / 3)
    for share, holds in ((0.99, True), (1.01, False)):
        moved = [error + share * limit for error in (0.1, 0.2, 0.3)]
        found = agreement(replicas([*moved, 0.5, 0.5, 0.5]), kept)
        assert found.holds == holds
        # An interval of ±.227 is wider than a quarter of .9, the error of the best constant guess.
        assert (found.means, found.loose, found.alone) == (2, 1, 1)


def test_pictures_without_aggregation_are_compared(tmp_path):
    path = tmp_path / "replicas.csv"
    replicas([0.1] * 6, aggregation=None, complexity=None).to_csv(path)
    table = pd.read_csv(path)
    assert agreement(table, table).holds
    assert agreement(table, table).where_mean.endswith("0000000a withheld0 samples1000")


def test_missing_and_damaged_files_are_one_line(tmp_path):
    root = tmp_path / "pointer_value"
    with pytest.raises(FileNotFoundError, match="no run found"):
        write_report(root)
    directory = write_run(tmp_path)
    path = directory / "measures.json"
    text = path.read_text()
    for broken, reason in (
        ("{", "damaged file"),
        (text.replace('"steps": [0, 10,', '"steps": [0,'), "iid_accuracy has shape"),
        (text.replace('"iid_loss"', '"other"'), "no entry 'iid_loss'"),
        (text.replace('"sampled"', '"found"'), "source is 'found', expected sampled or fresh"),
        (text.replace('"sampled"', '"fresh"'), "samples of mod_sum-m1-.* do not go with"),
        (text.replace('"task": 0', '"task": 3'), "is 3, expected 0 to 0"),
        (text.replace('"complexity": 1', '"complexity": "one"'), "invalid literal"),
    ):
        path.write_text(broken)
        with pytest.raises(ValueError, match=reason) as caught:
            read_cells_of(directory)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.unlink()
    for call in (lambda: write_report(root), lambda: keep(root, tmp_path / "kept")):
        with pytest.raises(FileNotFoundError, match=r"unfinished: token_pvr-token_mlp-0000000a"):
            call()


def test_a_damaged_file_of_examples_is_named_in_one_line(tmp_path):
    directory = write_run(tmp_path)
    path = directory / "examples.npz"
    cells = read_cells_of(directory)
    arrays = dict(np.load(path))
    for broken, reason in (
        (arrays | {"replica": np.array([0, 99], np.int32)}, "replica 99 is not in"),
        (arrays | {"iid_x": arrays["iid_x"][..., :5]}, r"iid_x has shape \[6, 5\]"),
        ({name: a for name, a in arrays.items() if name != "iid_y"}, "iid_y"),
    ):
        np.savez(path, **broken)
        with pytest.raises(ValueError, match=reason) as caught:
            read_examples(cells)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        assert "delete it and analyse.done" in str(caught.value)  # or the stage would be skipped
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match="damaged file"):
        read_examples(cells)
    path.unlink()
    assert read_examples(cells) == []
