"""Which figures there are, what each shows, and what they are called."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.figure import Figure

from pvr_jax.reporting.accuracy.cells import Cell
from pvr_jax.reporting.accuracy.class_figures import confusion_matrices
from pvr_jax.reporting.accuracy.confusion import shown_cells
from pvr_jax.reporting.accuracy.figures import (
    accuracy_over_samples,
    accuracy_over_steps,
    accuracy_over_withheld,
    curve_groups,
    holdout_groups,
    size_groups,
)
from pvr_jax.reporting.accuracy.labels import task_labels
from pvr_jax.reporting.accuracy.threshold_figures import arms_with_points, samples_against_noise
from pvr_jax.reporting.drawing import Illustration

# Of every kind of figure: its alternative text and its caption, in the order of the page.
CAPTIONS = {
    "accuracy_over_samples": (
        "Accuracy against the size of the training set",
        "Accuracy at the end of training against the number of training samples. Marks are means "
        "over the replicas that did not diverge, bars their 95 % intervals over seeds. Dashed and "
        "without marks: chance, in the line's colour where tasks differ in it. Of every complexity "
        "the task that withholds least.",
    ),
    "accuracy_over_withheld": (
        "Accuracy against the number of withheld permutations",
        "Solid: i.i.d. accuracy, dashed with hollow marks: accuracy on the withheld windows "
        "alone, at the end of training; means over seeds with 95 % intervals. The distance "
        "between the two is the gap.",
    ),
    "accuracy_over_steps": (
        "Accuracy over training",
        "Of the largest training set of every task. Lines are means over the replicas that did not "
        "diverge, bands their 95 % intervals over seeds.",
    ),
    "samples_against_noise": (
        "Samples needed against noise sensitivity",
        "Training samples until i.i.d. accuracy reaches 95 % against the noise sensitivity of the "
        "task, a mark per task; the number is its complexity. Bars are 95 % intervals. Hollow with "
        "an arrow: not every seed reaches it, the task needs more; the rank correlation has these "
        "tied at the top. Tasks of the same sensitivity stand side by side.",
    ),
    "confusion": (
        "Confusion of classes",
        "Percent of the test samples of a true class (rows) by predicted class, means over seeds, "
        "with the largest training set of a task. Grey: no test sample of this class; shares "
        "below half a percent have no number. Of more than eight matrices eight are shown, "
        "confusion.csv has all.",
    ),
}


def drawings(cells: Sequence[Cell]) -> dict[str, Callable[[], Figure]]:
    """Return what draws each figure that the cells have something for, by name.

    A name is a kind of `CAPTIONS` and an ending of `parts_of`.
    """
    found: dict[str, Callable[[], Figure]] = {}
    for ending, (_, own) in parts_of(cells).items():
        kinds = {
            "accuracy_over_samples": (size_groups, accuracy_over_samples),
            "accuracy_over_withheld": (holdout_groups, accuracy_over_withheld),
            "accuracy_over_steps": (curve_groups, accuracy_over_steps),
            "samples_against_noise": (arms_with_points, samples_against_noise),
            "confusion": (shown_cells, confusion_matrices),
        }
        for kind, (content, draw) in kinds.items():
            if content(own):
                found[f"{kind}{ending}"] = partial(draw, own)
    order = list(CAPTIONS)
    return dict(sorted(found.items(), key=lambda item: order.index(_kind(item[0]))))


def parts_of(cells: Sequence[Cell]) -> dict[str, tuple[str, list[Cell]]]:
    """Return the cells that are drawn together, with words for them, by the ending of names.

    They share a task and the source of samples; where all cells do, ending and words are "".
    """
    labels = task_labels(cells)
    sources = {cell.is_fresh for cell in cells}
    parts: dict[str, tuple[str, list[Cell]]] = {}
    for cell in cells:
        words = [labels[cell.task_label]] if len(labels) > 1 else []
        words += ["fresh samples"] if cell.is_fresh and len(sources) > 1 else []
        text = ", ".join(words)
        ending = "_".join(["", *re.findall(r"\w+", text.lower())])
        parts.setdefault(ending, (text, []))[1].append(cell)
    return parts


def figures_by_kind(
    illustrations: Sequence[Illustration], cells: Sequence[Cell]
) -> list[tuple[str, list[tuple[Illustration, str, str]]]]:
    """Return the title of every kind, and its figures with alternative texts and captions.

    The first caption of a kind is the full one, the others say only what they are of.
    """
    parts = parts_of(cells)
    kinds: dict[str, list[tuple[Illustration, str, str]]] = {}
    for drawn in illustrations:
        kind = _kind(drawn.name)
        title, text = CAPTIONS[kind]
        words = parts[drawn.name.removeprefix(kind)][0]
        text = text if kind not in kinds else "as above."
        text = f"{words[0].upper()}{words[1:]}: {text[0].lower()}{text[1:]}" if words else text
        alternative = f"{title}: {words}" if words else title
        kinds.setdefault(kind, []).append((drawn, alternative, text))
    return [(CAPTIONS[kind][0], shown) for kind, shown in kinds.items()]


def _kind(name: str) -> str:
    return next(kind for kind in CAPTIONS if name.startswith(kind))
