"""What the numbers say, in sentences; where an expectation fails, the sentence says so."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pvr_jax.reporting.accuracy.cells import (
    Arm,
    Cell,
    arms_of,
    function_groups,
    largest_sets,
    least_withheld,
)
from pvr_jax.reporting.accuracy.confusion import has, shares
from pvr_jax.reporting.accuracy.labels import arm_labels, task_labels
from pvr_jax.reporting.accuracy.model_findings import model_findings
from pvr_jax.reporting.accuracy.shown import accuracy_text, gap_text, grouped, percent
from pvr_jax.reporting.accuracy.thresholds import (
    LEVEL,
    Correlation,
    correlations_of,
    least_thresholds,
    thresholds_of,
)
from pvr_jax.reporting.accuracy.verdicts import (
    FITTED,
    SIMULTANEOUS,
    change,
    fit,
    judged,
)
from pvr_jax.reporting.labels import joined
from pvr_jax.results import statistics

Findings = list[tuple[str, str]]
UNLEARNED = 0.5  # a network that gets fewer i.i.d. inputs right has not learned the task


def overview(cells: Sequence[Cell]) -> str:
    """Return what was trained, and the answer in short."""
    arms = arms_of(cells)
    models = list(dict.fromkeys(cell.model for cell in cells))
    tasks = list(task_labels(cells).values())
    replicas = sum(len(cell.replicas) for cell in cells)
    text = (
        f"{grouped(replicas)} replicas of {joined(models)} were trained on {joined(tasks)}, in "
        f"{len(cells)} cells: a cell is a task, a size of the training set and a setting, its "
        "replicas differ in the seed alone. How accurate are they on inputs like those of "
        "training, how many training samples does that take, and what becomes of inputs that "
        "training never shows?"
    )
    gaps = [cell for cell in largest_sets(cells) if cell.subtask.withheld and _finite(cell.gap)]
    answers = []
    best = [_mean(cell, "iid_accuracy") for cell in largest_sets(cells)]
    best = [value for value in best if math.isfinite(value)]
    if best:
        where = "with the largest training sets" if _sizes(cells) else "at the end of training"
        answers.append(f"{where[0].upper()}{where[1:]} mean i.i.d. accuracy is {_between(best)} %")
    if gaps:
        means = [float(statistics.mean(cell.gap)) for cell in gaps]
        answers.append(f"mean i.i.d. minus withheld accuracy is {_between(means)} points")
    return f"{text} {'; '.join(answers)}." if answers and arms else text


def all_findings(cells: Sequence[Cell]) -> Findings:
    """Return title and text of every paragraph there is something to say in."""
    return [
        *_accuracy_findings(cells),
        *_holdout_findings(cells),
        *model_findings(cells),
        *_noise_findings(cells),
    ]


def arm_title(arm: Arm, name: str | None, cells: Sequence[Cell]) -> str:
    """Return the title of a paragraph about one arm, and a function where there is one."""
    own = next(cell for cell in cells if cell.arm == arm)
    tasks = task_labels(cells)
    task = tasks[own.task_label]
    parts = [task[0].upper() + task[1:]] if len(tasks) > 1 else []
    return ", ".join([*parts, arm_labels(cells)[arm], *([name] if name else [])])


def _sizes(cells: Sequence[Cell]) -> list[int]:
    return sorted({cell.samples for cell in cells if cell.samples is not None})


def _mean(cell: Cell, name: str) -> float:
    return float(statistics.mean(cell.final(name)))


def _finite(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).any())


def _shown(values: np.ndarray) -> str:
    return _minus(accuracy_text(values, unit=" %"))


def _points(values: np.ndarray) -> str:
    return _minus(gap_text(values, unit=" points"))


def _between(shares: Sequence[float]) -> str:
    """Return the least and the largest of some shares in percent, one number where they agree."""
    return _minus(" to ".join(dict.fromkeys(percent(f(shares)) for f in (min, max))))


def _minus(numbers: str) -> str:
    return numbers.replace("-", "−")


def _accuracy_findings(cells: Sequence[Cell]) -> Findings:
    """Return, for every arm, how accuracy depends on size and complexity."""
    groups = {
        arm: [cell for cell in group if _finite(cell.final("iid_accuracy"))]
        for arm, group in arms_of(least_withheld(cells)).items()
    }
    sizes = sum(len(_size_steps(group)) for group in groups.values())
    steps = sum(len(own) for group in groups.values() for own in _complexity_steps(group).values())
    found = []
    for arm, group in groups.items():
        if group:
            parts = [
                *_ranges(group),
                *_fitted_sentences(group),
                *_falls(group, sizes),
                *_complexity_sentences(group, steps),
            ]
            found.append((f"{arm_title(arm, None, cells)}: accuracy", " ".join(parts)))
    return found


def _shown_samples(cell: Cell) -> str:
    return f"{grouped(int(cell.steps[-1]) * cell.batch_size)} fresh samples"


def _ranges(group: Sequence[Cell]) -> list[str]:
    """Return from where to where accuracy goes with size, a sentence per range of sizes."""
    ranges: dict[str, list[str]] = {}
    for subtask in dict.fromkeys(cell.subtask for cell in group):
        own = [cell for cell in group if cell.subtask == subtask]
        first, last = (_short(_mean(cell, "iid_accuracy")) for cell in (own[0], own[-1]))
        name = f" ({subtask.words})" if subtask.words else ""
        if own[-1].is_fresh:
            where, value = f"After {_shown_samples(own[-1])}", f"{last} %{name}"
        elif len(own) == 1:
            where, value = f"With {grouped(own[0].samples)} training samples", f"{last} %{name}"
        else:
            sizes = f"{grouped(own[0].samples)} to {grouped(own[-1].samples)}"
            where, value = f"From {sizes} training samples", f"{first} to {last} %{name}"
        ranges.setdefault(where, []).append(value)
    chances = sorted({_short(cell.subtask.chance) for cell in group})
    chance = f"chance {' or '.join(chances)} %"
    return [
        f"{where} mean i.i.d. accuracy {'goes from' if where.startswith('From') else 'is'} "
        f"{joined(values)}; {chance}."
        for where, values in ranges.items()
    ]


def _short(share: float) -> str:
    return f"{100 * share:.1f}"


def _fitted_sentences(group: Sequence[Cell]) -> list[str]:
    """Return where every seed fits its samples but has not learned the task, by the sizes."""
    names: dict[tuple[int, ...], list[str]] = {}
    for subtask in dict.fromkeys(cell.subtask for cell in group):
        sizes = tuple(
            cell.samples for cell in group if cell.subtask == subtask and _fitted_alone(cell)
        )
        if sizes:
            names.setdefault(sizes, []).append(subtask.words)
    return [
        f"With {joined([grouped(size) for size in sizes])} samples every seed fits more than "
        f"{100 * FITTED:.0f} % of them, but gets fewer than {100 * UNLEARNED:.0f} % of others "
        f"right{f' ({joined(words)})' if all(words) else ''}."
        for sizes, words in names.items()
    ]


def _fitted_alone(cell: Cell) -> bool:
    if cell.is_fresh:
        return False
    train, iid = (cell.final(name)[cell.counted] for name in ("train_accuracy", "iid_accuracy"))
    return len(iid) > 0 and bool((train > FITTED).all() and (iid < UNLEARNED).all())


def _iid(cell: Cell) -> np.ndarray:
    return cell.final("iid_accuracy")


def _size_steps(group: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Return the cells of one subtask with one size and with the next."""
    return [
        pair
        for subtask in dict.fromkeys(cell.subtask for cell in group)
        for pair in pairwise(
            [cell for cell in group if cell.subtask == subtask and not cell.is_fresh]
        )
    ]


def _falls(group: Sequence[Cell], comparisons: int) -> list[str]:
    """Return where accuracy falls from one size to the next."""
    sentences = []
    for a, b in _size_steps(group):
        if change(a, b, _iid, comparisons) == "below":
            name = f" ({a.subtask.words})" if a.subtask.words else ""
            fall = _mean(a, "iid_accuracy") - _mean(b, "iid_accuracy")
            sentences.append(
                f"From {grouped(a.samples)} to {grouped(b.samples)} samples it falls by "
                f"{percent(fall)} points{name}."
            )
    return sentences


def _complexity_steps(group: Sequence[Cell]) -> dict[str, list[tuple[Cell, Cell]]]:
    """Return, by function, the cells of one complexity and the next, with the largest sets."""
    steps = {}
    for _, name, own in function_groups(largest_sets(group)):
        ordered = sorted(own, key=lambda cell: cell.subtask.complexity or 0)
        if ordered[0].subtask.complexity != ordered[-1].subtask.complexity:
            steps[str(name)] = list(pairwise(ordered))
    return steps


def _complexity_sentences(group: Sequence[Cell], comparisons: int) -> list[str]:
    """Return where accuracy is shown to fall and to rise with complexity."""
    sentences, silent, count, total = [], [], 0, 0
    for name, steps in _complexity_steps(group).items():
        found: dict[str, list[str]] = {}
        for a, b in steps:
            verdict = change(a, b, _iid, comparisons)
            found.setdefault(verdict, []).append(
                f"{a.subtask.complexity} to {b.subtask.complexity}"
            )
        parts = [
            f"{word} from {joined(found[side])}"
            for side, word in (("below", "falls"), ("above", "rises, against the expectation,"))
            if side in found
        ]
        if parts:
            sentences.append(f"In complexity the accuracy of {name} {' and '.join(parts)}.")
        else:
            silent.append(name)
        count += len(found.get("", [])) + len(found.get("inside", []))
        total += len(steps)
    if not sentences and not silent:
        return []
    if silent:
        sentences.append(
            "Whether accuracy falls with complexity, as expected, is not shown for "
            f"{joined(silent)}."
        )
    sentences.append(
        f"{count} of {total} steps in complexity have no verdict, as their fit is not finished, or "
        f"are not told apart from no change (paired over seeds, {SIMULTANEOUS})."
    )
    return sentences


def _holdout_findings(cells: Sequence[Cell]) -> Findings:
    groups = []  # titles may be the same of two arms that have no cell in common
    for arm, own in arms_of(largest_sets(cells)).items():
        for function in dict.fromkeys(cell.subtask.function for cell in own):
            alike = [
                cell
                for cell in own
                if cell.subtask.function == function and cell.subtask.withheld and _finite(cell.gap)
            ]
            if alike:
                title = arm_title(arm, alike[0].subtask.words or None, cells)
                groups.append((f"{title}: withheld inputs", alike))
    gaps = sum(len(alike) for _, alike in groups)
    changes = sum(len(alike) > 1 for _, alike in groups)
    return [(title, _holdout_text(alike, gaps, changes)) for title, alike in groups]


def _holdout_text(alike: Sequence[Cell], gaps: int, changes: int) -> str:
    # Of many, the ends: what lies between is in the table.
    ends = alike if len(alike) < 3 else alike[:: len(alike) - 1]
    sentences = [_gap_sentence(cell, gaps) for cell in ends]
    if len(alike) > 1:
        first, last = alike[0], alike[-1]
        values = [_minus(percent(float(statistics.mean(cell.gap)))) for cell in (first, last)]
        verdict = change(first, last, lambda cell: cell.gap, changes)
        words = {
            "above": ": it grows",
            "below": ": it shrinks",
            "inside": ": a change is not shown",
            "": "; there is no verdict on the change",
        }
        sentences.append(
            f"From {first.subtask.withheld} to {last.subtask.withheld} withheld the mean gap goes "
            f"from {values[0]} to {values[1]} points{words[verdict]}."
        )
    return " ".join(sentences)


def _gap_sentence(cell: Cell, gaps: int) -> str:
    """Return the gap of one cell whatever it is, and what withheld inputs are taken for.

    The verdict on it holds for all `gaps` at once.
    """
    subtask = cell.subtask
    what = subtask.withheld_words or f"{subtask.withheld} withheld"
    size = "" if cell.samples is None else f", {grouped(cell.samples)} training samples"
    text = (
        f"Without {what} ({100 * subtask.share_removed:.3g} % of all inputs{size}): i.i.d. "
        f"{_shown(cell.final('iid_accuracy'))}, withheld "
        f"{_shown(cell.final('withheld_accuracy'))}, gap {_points(cell.gap)}: "
        f"{_gap_verdict(cell, gaps)}."
    )
    return f"{text}{_mistaken(cell)}"


def _gap_verdict(cell: Cell, gaps: int) -> str:
    finite = int(np.isfinite(cell.gap).sum())
    found = fit(cell)
    if finite < 2:
        return "one replica, so nothing can be said of chance"
    if found == "unfinished":
        share = percent(_mean(cell, "iid_accuracy" if cell.is_fresh else "train_accuracy"))
        return f"no verdict, as the fit is not finished (training accuracy {share} %)"
    if found == "not measured":
        return "no verdict, as training accuracy was not measured"
    at_once = f"95 % for all {gaps} gaps at once" if gaps > 1 else "95 %"
    words = {
        "above": f"withheld inputs are harder ({at_once})",
        "below": f"withheld inputs are easier, against the expectation ({at_once})",
        "inside": f"not told apart from no gap ({at_once})",
        "": "no verdict, as the seeds form two groups or all have one gap",
    }
    return words[judged(cell.gap, gaps)]


def _mistaken(cell: Cell) -> str:
    """Return which class wrong withheld inputs are most often taken for, of more than a few."""
    if not has(cell, "withheld"):
        return ""
    counts = np.nan_to_num(cell.confusion["withheld"][cell.counted]).sum(axis=0)
    wrong = counts - np.diag(np.diag(counts))
    total = wrong.sum()
    if total < 0.02 * counts.sum():
        return ""
    true, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
    share = statistics.mean(shares(cell, "withheld")[:, true, predicted])
    return (
        f" The most frequent mistake is {predicted} for {true}, "
        f"{100 * wrong[true, predicted] / total:.0f} % of all wrong ones and "
        f"{100 * float(share):.0f} % of class {true}."
    )


def _noise_findings(cells: Sequence[Cell]) -> Findings:
    found = []
    for correlation in correlations_of(least_thresholds(thresholds_of(cells), cells)):
        title = f"{arm_title(correlation.arm, None, cells)}: noise sensitivity"
        found.append((title, _noise_text(correlation)))
    return found


def _noise_text(c: Correlation) -> str:
    if not math.isfinite(c.value):
        return (
            f"Of {c.tasks} tasks {c.reached} reach {LEVEL}: too few, or all alike, for a rank "
            "correlation of noise sensitivity with the samples they need."
        )
    text = (
        f"The rank correlation of noise sensitivity with the samples to {LEVEL} is "
        f"{_correlation(c.value, c.low, c.high)} (Fisher's z) over {c.tasks} tasks"
    )
    censored = c.tasks - c.reached
    if censored:
        text += f", of which {censored} do not reach it and are tied at the top"
    text += ". "
    if censored and math.isfinite(c.reached_value):
        text += (
            f"Over the {c.reached} that reach it alone it is "
            f"{_correlation(c.reached_value, c.reached_low, c.reached_high)}. "
        )
    elif censored:
        text += f"The {c.reached} that reach it are too few for one of their own. "
    words = {
        "above": "Tasks that are more sensitive to noise need more samples, as expected.",
        "below": "The expectation fails: tasks more sensitive to noise need fewer samples.",
        "inside": "The interval holds zero: the expectation of a positive one is not confirmed.",
        "": "Fewer than four tasks, or a correlation of ±1, give no interval.",
    }
    return f"{text}{words[c.verdict]}"


def _correlation(value: float, low: float, high: float) -> str:
    text = f"{value:.2f} [{low:.2f}, {high:.2f}]" if math.isfinite(low) else f"{value:.2f} [–]"
    return _minus(text)
