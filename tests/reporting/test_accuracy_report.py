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
from pvr_jax.reporting.accuracy.findings import all_findings
from pvr_jax.reporting.accuracy.illustrations import drawings
from pvr_jax.reporting.accuracy.reading import read_cells, read_cells_of, read_examples
from pvr_jax.reporting.accuracy.report import study
from pvr_jax.reporting.agreement import agreement

TOKENS = "token PVR, bounded pointer"
NOISE = {0: 0.17, 1: 0.31, 2: 0.36}
LOST = "mod_sum-m2-withheld0-samples1000-seed1"


def accuracy(task, samples, seed):
    """Falls with complexity, grows with size; 97 % of retrieval with the largest sets."""
    return (0.5 if samples == 1000 else 0.97) - 0.2 * (task["complexity"] or 0) + 0.01 * seed


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
    # Every seed loses the same from one complexity to the next, so there is no interval.
    assert "Whether accuracy falls with complexity, as expected, is not shown for mod_sum." in found
    # Withheld accuracy is one half: of complexity 2, 57, 58 and 59 % less it are 7, 8 and 9 points.
    gap = "gap 8.00 [5.51, 10.48] points (7.00, 8.00, 9.00): "
    assert f"withheld 50.00 [–] % (50.0, 50.0, 50.0), {gap}" in found
    # Training accuracy is 57, 58 and 59 %.
    assert f"{gap}no verdict, as the fit is not finished (training accuracy 58.00 %)" in found
    assert (
        "The most frequent mistake is 2 for 1, 100 % of all wrong ones and 50 % of class 1" in found
    )
    assert "over 3 tasks, of which 2 do not reach it and are tied at the top" in found
    assert "Fewer than four tasks, or a correlation of ±1, give no interval." in found


def test_two_runs_of_one_title_both_have_their_finding(tmp_path):
    # One network, one function: what is withheld tells the runs apart, and they share no cell.
    for count in (1, 2):
        name = f"token_pvr-token_mlp-0000000{count}"
        write_run(tmp_path, name, [subtask("mod_sum", 1, count)], samples=(1000,))
    cells, _ = read_cells(tmp_path / "pointer_value")
    texts = [text for title, text in all_findings(cells) if title.endswith("withheld inputs")]
    assert len(texts) == 2
    for text, count in zip(texts, (1, 2), strict=True):
        assert text.startswith(f"Without the first {count} permutations")
        assert "95 % for all 2 gaps at once" in text or "no verdict" in text


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


@pytest.mark.slow
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


def text_of(directory, train=None, **kwargs):
    """Return the findings of a run whose training accuracies all end at `train`, if given."""
    run = write_run(directory, **kwargs)
    if train is not None:
        path = run / "measures.json"
        document = json.loads(path.read_text())
        last = document["measures"]["train_accuracy"][-1]
        document["measures"]["train_accuracy"][-1] = [train] * len(last)
        path.write_text(json.dumps(document).replace("NaN", "null"))
    cells, unfinished = read_cells(directory / "pointer_value")
    return study(cells, unfinished)[1]["findings.md"]


def odd(task, samples, seed):
    """Grows with complexity and falls with size, by nearly the same for every seed."""
    jitter = 1e-4 * (seed * (1 + task["complexity"]) % 3) * (1 + (samples > 1000))
    return 0.6 + 0.1 * task["complexity"] - 0.1 * (samples > 1000) + 0.01 * seed + jitter


def test_expectations_that_fail_are_said_to(tmp_path):
    tasks = [subtask(complexity=m) for m in (0, 1, 2)] + [subtask(complexity=2, withheld=1)]
    easier = {0: 0.05, 1: 0.051, 2: 0.052}
    arguments = {
        "tasks": tasks,
        "accuracy": odd,
        "withheld_accuracy": lambda task, samples, seed: odd(task, samples, seed) + easier[seed],
    }
    text = text_of(tmp_path / "fitted", 1.0, **arguments)
    assert "the accuracy of mod_sum rises, against the expectation, from 0 to 1 and 1 to 2" in text
    assert "From 1000 to 10\u2009000 samples it falls by 9.99 points" in text
    assert (
        "points (−5.00, −5.10, −5.20): withheld inputs are easier, against the expectation (95 %)"
        in text
    )
    # Without a finished fit, or without knowing of it, the same numbers have no verdict.
    for train, reason in ((0.9, "not finished (training accuracy 90.00 %)"), (math.nan, None)):
        text = text_of(tmp_path / str(train), train, **arguments)
        assert "rises" not in text and "it falls by" not in text and "easier" not in text
        assert (f"the fit is {reason}" if reason else "training accuracy was not measured") in text


def test_gaps_that_say_nothing_are_said_to(tmp_path):
    tasks = [subtask(withheld=1)]
    ends = {"withheld_accuracy": lambda task, samples, seed: 0.8 + 0.1 * seed}
    same = text_of(tmp_path / "a", 1.0, tasks=tasks, **ends)
    assert "not told apart from no gap (95 %)" in same
    equal = text_of(tmp_path / "c", 1.0, tasks=tasks)
    assert "gap 40.00 [–] points (40.0, 40.0, 40.0): no verdict, as the seeds form two" in equal
    one = text_of(tmp_path / "b", 1.0, tasks=tasks, seeds=1)
    assert "one replica, so nothing can be said of chance" in one


def test_verdicts_are_corrected_for_their_number(tmp_path):
    # Gaps .01 apart, of three seeds: alone ± 2.48 points, one of three at once ± 4.42 (t = 7.649).
    # A mean gap of 3.5 leaves out 0 alone, and not with three at once.
    tasks = [subtask(complexity=3, withheld=w) for w in (1, 2, 3)]
    gaps = {1: 0.035, 2: 0.20, 3: 0.20}

    def withheld(task, samples, seed):
        return 0.9 - gaps[task["withheld"]] - 0.01 * (seed - 1)

    alone = text_of(tmp_path / "a", 1.0, tasks=tasks[:1], withheld_accuracy=withheld)
    assert "gap 3.50 [1.01, 5.98] points (2.50, 3.50, 4.50): withheld inputs are harder" in alone
    three = text_of(tmp_path / "b", 1.0, tasks=tasks, withheld_accuracy=withheld)
    assert "(2.50, 3.50, 4.50): not told apart from no gap (95 % for all 3 gaps at" in three
    assert "[17.50, 22.47] points (19.0, 20.0, 21.0): withheld inputs are harder" in three
    # Every seed's gap grows by 16.5 points.
    assert "goes from 3.50 to 20.00 points; there is no verdict on the change" in three


def test_two_groups_of_seeds_have_no_verdict(tmp_path):
    text = text_of(
        tmp_path,
        1.0,
        tasks=[subtask(withheld=1)],
        withheld_accuracy=lambda task, samples, seed: (0.1, 0.85)[seed % 2] + 0.001 * seed,
        seeds=10,
    )
    assert "(5 at 10.4 and 5 at 85.5)" in text and "as the seeds form two groups" in text


def test_samples_that_are_fitted_without_learning_are_remarked(tmp_path):
    directory = write_run(tmp_path, accuracy=lambda *_: 0.3)
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    document["measures"]["train_accuracy"][-1] = [0.99] * 6
    path.write_text(json.dumps(document))
    text = study(read_cells_of(directory))[1]["findings.md"]
    assert "With 1000 and 10\u2009000 samples every seed fits more than 95 % of them" in text
    assert "(mod_sum, complexity 1)" in text
    document["measures"]["train_accuracy"][-1][4] = None  # nobody knows of seed 1
    path.write_text(json.dumps(document))
    text = study(read_cells_of(directory))[1]["findings.md"]
    assert "With 1000 samples every seed fits" in text


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
    width = 4.302653 * 0.01 / math.sqrt(3) / (0.71 * 0.29)
    odds = [0.71 / 0.29 * math.exp(side * width) for side in (-1, 1)]
    low, high = (100 * value / (1 + value) for value in odds)
    assert "Means over the 2 cells that all have, by their size: token_mixer 81.00 " in text
    assert f"token_mlp 71.00 [{low:.2f}, {high:.2f}] %" in text
    assert "The fit of 2 of 2 models is not finished everywhere, so there is no verdict" in text


def test_the_best_model_is_named_only_where_it_is_told_apart(tmp_path):
    # On the same seeds the differences are 1.0, 1.1 and 0.9 points, or 2, 0.5 and −1.
    for name, differences in (("apart", (0.01, 0.011, 0.009)), ("alike", (0.02, 0.005, -0.01))):
        for model, sign in (("mlp", 0), ("mixer", 1)):
            write_run(
                tmp_path / name,
                f"token_pvr-token_{model}-0000000{'ab'[sign]}",
                accuracy=lambda task, samples, seed, s=sign, d=differences: (
                    0.96 + 0.004 * seed + s * d[seed]
                ),
            )
        cells, _ = read_cells(tmp_path / name / "pointer_value")
        text = study(cells)[1]["findings.md"]
        assert ("token_mixer is the most accurate (paired over" in text) == (name == "apart")
        assert ("token_mixer is not told apart from token_mlp" in text) == (name == "alike")


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
