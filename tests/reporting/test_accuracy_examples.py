"""The page of examples: what a reader sees of an input, its label and the prediction."""

import base64
import re
import zlib

import matplotlib.image
import numpy as np
import pytest
from parsed_page import Page
from synthetic_accuracy import TEST, hops_of, label_of, subtask, write_run

from pvr_jax.reporting.accuracy import examples
from pvr_jax.reporting.accuracy.reading import read_cells_of, read_examples


def pages(tmp_path, *args, **kwargs):
    cells = read_cells_of(write_run(tmp_path, *args, **kwargs))
    found = read_examples(cells)
    return cells, found, examples.render_examples(found, cells)


@pytest.mark.parametrize("name", ["mod_sum", "min", "max", "median", "majority_vote"])
def test_the_label_is_computed_from_the_window(tmp_path, name):
    _, found, page = pages(tmp_path, tasks=[subtask(name, 3)], samples=(1000,))
    text = Page(page).text
    (part,) = found
    for x, y in zip(part.x.tolist(), part.y.tolist(), strict=True):
        window = " ".join(str(x[1 + (x[0] + i) % 10]) for i in range(4))
        assert re.search(rf"pointer {x[0]} → window {window} → [a-z0-9 ]+: label {y}", text)
        assert y == label_of(x, name, 3)


def test_pointer_and_window_are_marked_and_the_window_wraps(tmp_path):
    directory = write_run(tmp_path, tasks=[subtask("mod_sum", 2)], samples=(1000,), seeds=1)
    path = directory / "examples.npz"
    arrays = dict(np.load(path))
    arrays["iid_x"][:] = [8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 4]
    arrays["iid_y"][:] = (9 + 4 + 1) % 10
    np.savez(path, **arrays)
    cells = read_cells_of(directory)
    page = Page(examples.render_examples(read_examples(cells), cells))
    boxes = [attrs["class"].split()[1:] for tag, attrs in page.tags if "digit " in str(attrs)]
    assert boxes[:11] == [["pointer"], ["window"], *[[]] * 7, ["window"], ["window"]]
    assert "pointer 8 → window 9 4 1 → sum modulo 10: label 4" in page.text
    arrays["iid_y"][0, 0] = 5
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"a label is 5 where the input of .* says 4") as caught:
        examples.render_examples(read_examples(cells), cells)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_wrong_ones_stand_first_and_are_counted_over_the_cell(tmp_path):
    ends = {0: 0.9, 1: 0.8, 2: 0.7}
    _, _, page = pages(
        tmp_path,
        tasks=[subtask("mod_sum", 1, 1)],
        accuracy=lambda task, samples, seed: ends[seed],
        withheld_accuracy=lambda task, samples, seed: 0.25,
        samples=(1000,),
    )
    text = Page(page).text
    assert f"i.i.d.: 100 of {TEST} wrong (10.00 %); mean over 3 seeds 20.00 %" in text
    assert f"withheld (the first 1 permutations of 0 to 1): 750 of {TEST} wrong (75.00 %)" in text
    kinds = re.findall(r'class="example (right|wrong)"', page)
    assert kinds == 2 * (3 * ["wrong"] + 3 * ["right"])
    # Right and wrong are told apart by a sign and a word, not by colour alone.
    assert page.count("✗ wrong") == page.count("✓ right") == 6
    assert re.search(r"✗ wrong predicted \d with probability 0\.80; \d had 0\.02", text)


def test_what_withholds_nothing_has_no_withheld_examples(tmp_path):
    tasks = [subtask("mod_sum", 1, 0), subtask("mod_sum", 1, 1)]
    _, found, _ = pages(tmp_path, tasks=tasks, samples=(1000,))
    assert [(part.cell.subtask.withheld, part.part) for part in found] == [
        (0, "iid"),
        (1, "iid"),
        (1, "withheld"),
    ]


def test_pictures_are_enlarged_by_a_whole_factor(tmp_path):
    tasks = [subtask(None, None, noise=None)]
    name = "visual_pvr-resnet-0000000a"
    _, found, page = pages(tmp_path, name, tasks, picture=(24, 24), samples=(1000,))
    images = [attrs for tag, attrs in Page(page).tags if tag == "img"]
    assert len(images) == 6
    assert {(image["width"], image["height"]) for image in images} == {("120", "120")}
    data = base64.b64decode(images[0]["src"].removeprefix("data:image/png;base64,"))
    path = tmp_path / "first.png"
    path.write_bytes(data)
    shown = matplotlib.image.imread(path)
    wrong_first = found[0].x[1]  # examples in odd places are wrong
    assert shown.shape == (24, 24) and np.abs(shown - wrong_first).max() < 0.51 / 255


def test_png_is_a_grey_picture_of_eight_bits():
    data = examples.png(np.array([[0.0, 1.0, 2.0]]))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    assert zlib.decompress(data[start : start + length]) == b"\0\x00\xff\xff"


def test_the_hops_of_conditional_pvr_are_shown(tmp_path):
    shares = [0.5, 0.3, 0.2, *[0.0] * 37]
    name = "conditional_pvr-token_mlp-0000000a"
    _, found, page = pages(
        tmp_path, name, [subtask(None, None, shares=shares)], conditional=40, samples=(1000,)
    )
    text = Page(page).text
    for x, y in zip(found[0].x.tolist(), found[0].y.tolist(), strict=True):
        path = [0]
        while x[path[-1]] > path[-1]:
            path.append(x[path[-1]])
        assert f"hops {' → '.join(map(str, path))}, where {x[path[-1]]} does not lead on" in text
        assert y == hops_of(x) == len(path) - 1


def test_the_report_shows_one_replica_and_leads_to_all(tmp_path):
    tasks = [subtask("mod_sum", 1), subtask("mod_sum", 1, 1)]
    cells, found, _ = pages(tmp_path, tasks=tasks)
    section = examples.section(found, cells)
    assert '4 replicas are on <a href="examples.html">' in section
    # The one with both parts and the largest training set.
    assert "mod_sum, complexity 1, 1 withheld, 10\u2009000 training samples, seed 0" in section
    assert section.count("<h4>") == 2
    assert "no examples" in examples.section([], cells)


def test_a_replica_that_diverged_has_no_examples(tmp_path):
    name = "mod_sum-m1-withheld0-samples1000-seed0"
    _, found, page = pages(tmp_path, diverged={name: 10})
    assert [part.cell.samples for part in found] == [10000] and "1000 training" not in page
