"""What the numbers say, in sentences; where an expectation fails, the sentence says so."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pvr_jax.reporting import statistics
from pvr_jax.reporting.accuracy.cells import (
    Arm,
    Cell,
    arms_of,
    difference_interval,
    direction,
    function_groups,
    largest_sets,
    least_withheld,
    mean_interval,
    paired,
)
from pvr_jax.reporting.accuracy.confusion import has, shares
from pvr_jax.reporting.accuracy.labels import arm_labels, task_labels
from pvr_jax.reporting.accuracy.shown import grouped, percent, percent_interval
from pvr_jax.reporting.accuracy.threshold_findings import noise_sentence
from pvr_jax.reporting.accuracy.thresholds import (
    correlations_of,
    least_thresholds,
    thresholds_of,
)
from pvr_jax.reporting.labels import joined

Findings = list[tuple[str, str]]
# A network that gets so many of its training samples right has fitted them, and one that gets so
# few others right has not learned the task.
FITTED, UNLEARNED = 0.95, 0.5


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
        answers.append(f"i.i.d. minus withheld accuracy is {_between(means)} points")
    return f"{text} {'; '.join(answers)}." if answers and arms else text


def all_findings(cells: Sequence[Cell]) -> Findings:
    """Return title and text of every paragraph there is something to say in."""
    return [
        *_accuracy_findings(cells),
        *_holdout_findings(cells),
        *_model_findings(cells),
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
    return f"{_minus(percent_interval(*mean_interval(values)))} %"


def _points(values: np.ndarray) -> str:
    return f"{_minus(percent_interval(*difference_interval(values)))} points"


def _between(shares: Sequence[float]) -> str:
    """Return the least and the largest of some shares in percent, one number where they agree."""
    return _minus(" to ".join(dict.fromkeys(percent(f(shares)) for f in (min, max))))


def _minus(numbers: str) -> str:
    return numbers.replace("-", "−")


def _accuracy_findings(cells: Sequence[Cell]) -> Findings:
    """Return, for every arm, how accuracy depends on size and complexity."""
    found = []
    for arm, group in arms_of(least_withheld(cells)).items():
        group = [cell for cell in group if _finite(cell.final("iid_accuracy"))]
        if not group:
            continue
        subtasks = dict.fromkeys(cell.subtask for cell in group)
        text = " ".join(_ranges(group))
        for subtask in subtasks:
            text += _remarks([cell for cell in group if cell.subtask == subtask])
        text += _complexity_sentences(largest_sets(group))
        found.append((f"{arm_title(arm, None, cells)}: accuracy", text))
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


def _remarks(own: Sequence[Cell]) -> str:
    """Return where accuracy falls with size, and where samples are fitted but no task learned.

    It falls where that is told from 0 over the seeds that both sizes have, all steps at once.
    """
    if own[-1].is_fresh:
        return ""
    name, text = own[-1].subtask.words or "It", ""
    name = name[0].upper() + name[1:]
    steps = [(a, b, paired(a, b)) for a, b in pairwise(own)]
    confidence = statistics.simultaneous(len(steps))
    falls = [
        f"from {grouped(a.samples)} to {grouped(b.samples)} samples by "
        f"{percent(-float(statistics.mean(change)))} points"
        for a, b, change in steps
        if direction(change, confidence) == "below"
    ]
    if falls:
        text += f" {name} does not grow with every step in size: it falls {joined(falls)}."
    fitted = [
        cell
        for cell in own
        if _mean(cell, "train_accuracy") > FITTED and _mean(cell, "iid_accuracy") < UNLEARNED
    ]
    if fitted:
        sizes = joined([grouped(cell.samples) for cell in fitted])
        begin = "With" if name == "It" else f"{name}: with"
        text += (
            f" {begin} {sizes} samples the network fits more than {100 * FITTED:.0f} % of them, "
            f"but gets fewer than {100 * UNLEARNED:.0f} % of others right."
        )
    return text


def _complexity_sentences(largest: Sequence[Cell]) -> str:
    """Return whether accuracy falls with complexity, with the largest training sets.

    A step rises or falls where that is told from 0 over the seeds that both levels have, all steps
    of all functions at once.
    """
    falling: dict[tuple[int, int], list[str]] = {}
    open_steps: list[str] = []
    text = ""
    groups = function_groups(largest)
    confidence = statistics.simultaneous(sum(len(own) - 1 for _, _, own in groups))
    for _, name, own in groups:
        ordered = sorted(own, key=lambda cell: cell.subtask.complexity or 0)
        levels = [cell.subtask.complexity or 0 for cell in ordered]
        if levels[0] == levels[-1]:
            continue
        steps = [direction(paired(a, b), confidence) for a, b in pairwise(ordered)]
        names = [f"{a} to {b}" for a, b in pairwise(levels)]
        if rises := [step for step, where in zip(names, steps, strict=True) if where == "above"]:
            text += (
                f" The expectation that accuracy falls with complexity fails for {name}: the mean "
                f"rises from {joined(rises)}."
            )
        elif all(where == "below" for where in steps):
            falling.setdefault((levels[0], levels[-1]), []).append(str(name))
        if unsure := [step for step, where in zip(names, steps, strict=True) if not where]:
            open_steps.append(f"{joined(unsure)} ({name})")
    for (first, last), names in falling.items():
        text += (
            f" With {joined(names)} it falls with every step in complexity, {first} to {last}, as "
            "expected."
        )
    if open_steps:
        text += (
            " All steps at once, no difference is told between the complexities "
            f"{joined(open_steps)}."
        )
    return text


def _holdout_findings(cells: Sequence[Cell]) -> Findings:
    found = []
    # Of every function at most two gaps are judged, and the change between them.
    withheld = [c for c in largest_sets(cells) if c.subtask.withheld and _finite(c.gap)]
    counts = Counter((cell.arm, cell.subtask.function) for cell in withheld)
    confidence = statistics.simultaneous(sum(1 if n == 1 else 3 for n in counts.values()))
    for arm, own in arms_of(largest_sets(cells)).items():
        for function in dict.fromkeys(cell.subtask.function for cell in own):
            alike = [
                cell
                for cell in own
                if cell.subtask.function == function and cell.subtask.withheld and _finite(cell.gap)
            ]
            if alike:
                title = arm_title(arm, alike[0].subtask.words or None, cells)
                found.append((f"{title}: withheld inputs", _holdout_text(alike, confidence)))
    return found


def _holdout_text(alike: Sequence[Cell], confidence: float) -> str:
    # Of many, the ends: what lies between is in the table.
    sentences = [
        _gap_sentence(cell, confidence)
        for cell in (alike if len(alike) < 3 else alike[:: len(alike) - 1])
    ]
    if len(alike) > 1:
        first, last = (float(statistics.mean(cell.gap)) for cell in (alike[0], alike[-1]))
        where = direction(_gap_change(alike[0], alike[-1]), confidence)
        words = {"above": "the gap grows", "below": "the gap shrinks"}
        sentences.append(
            f"From {alike[0].subtask.withheld} to {alike[-1].subtask.withheld} withheld "
            f"{words.get(where, 'no change of the gap is told from zero, all at once')}, "
            f"{_minus(percent(first))} to {_minus(percent(last))} points."
        )
    return " ".join(sentences)


def _gap_change(first: Cell, last: Cell) -> np.ndarray:
    """Return half of what the gap grows by, which lies between -1 and 1, of every common seed."""
    before, after = (dict(zip(cell.seeds, cell.gap, strict=True)) for cell in (first, last))
    return np.array([(after[seed] - before[seed]) / 2 for seed in before if seed in after])


def _gap_sentence(cell: Cell, confidence: float) -> str:
    """Return the gap of one cell whatever it is, and what withheld inputs are taken for."""
    subtask = cell.subtask
    what = subtask.withheld_words or f"{subtask.withheld} withheld"
    size = "" if cell.samples is None else f", {grouped(cell.samples)} training samples"
    judged = _judged(cell, confidence)
    text = (
        f"Without {what} ({100 * subtask.share_removed:.3g} % of all inputs{size}): i.i.d. "
        f"{_shown(cell.final('iid_accuracy'))}, withheld "
        f"{_shown(cell.final('withheld_accuracy'))}, gap {_points(cell.gap)}: {judged}."
    )
    return f"{text}{_mistaken(cell)}"


def _judged(cell: Cell, confidence: float) -> str:
    """Return what may be said of a gap: nothing before the training samples are fitted."""
    mean, low, _ = map(float, mean_interval(cell.final("iid_accuracy")))
    trained = _mean(cell, "train_accuracy")
    where = direction(cell.gap, confidence)
    if np.isfinite(cell.gap).sum() < 2:
        return "one replica, so nothing can be said of chance"
    if not (low if math.isfinite(low) else mean) > cell.subtask.chance + 1e-9:
        return "i.i.d. accuracy cannot be told from a constant guess, so nothing could be lost"
    if math.isfinite(trained) and trained <= FITTED:
        return f"no verdict, as only {percent(trained)} % of the training samples are fitted"
    if not statistics.can_be_judged(cell.gap):
        return "two groups of seeds, so no verdict"
    if where == "above":
        return "withheld inputs are harder"
    if where == "below":
        return "withheld inputs are easier, against the expectation"
    if not math.isfinite(difference_interval(cell.gap)[1]):
        return "all replicas have the same gap, so there is no interval and no verdict"
    return "no gap is told from zero, all gaps at once"


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


def _model_findings(cells: Sequence[Cell]) -> Findings:
    """Return the models beside each other, by the cells that all of a group have."""
    labels, short, found = arm_labels(cells), task_labels(cells), []
    for task in dict.fromkeys(cell.task_label for cell in cells):
        groups: list[dict[Arm, dict[tuple[object, ...], Cell]]] = []
        for arm, own in arms_of([c for c in cells if c.task_label == task]).items():
            keyed = {(c.subtask, c.samples, c.is_fresh): c for c in own}
            for group in groups:
                common = set(keyed).intersection(*(other.keys() for other in group.values()))
                models = {next(iter(o.values())).model_label for o in group.values()}
                if common and own[0].model_label not in models:
                    group[arm] = keyed
                    break
            else:
                groups.append({arm: keyed})
        for group in groups:
            if len(group) < 2:
                continue
            first = next(iter(group.values()))
            common = [key for key in first if all(key in other for other in group.values())]
            for part in ("iid", "withheld"):
                if text := _model_sentence(group, common, labels, f"{part}_accuracy"):
                    name = "i.i.d." if part == "iid" else "withheld"
                    found.append((f"Models on {short[task]}, {name} accuracy", text))
    return found


def _model_sentence(group: dict, common: list, labels: dict[Arm, str], name: str) -> str:
    """Return the models' mean accuracies over common cells, best first; "" without any."""
    known = [key for key in common if all(_finite(own[key].final(name)) for own in group.values())]
    if not known:
        return ""
    seeds = sorted({seed for own in group.values() for key in known for seed in own[key].seeds})
    rows = []
    for arm, own in group.items():
        values = np.full((len(known), len(seeds)), math.nan)
        for row, key in zip(values, known, strict=True):
            for seed, value in zip(own[key].seeds, own[key].final(name), strict=True):
                row[seeds.index(seed)] = value
        rows.append((statistics.mean_over_cells(values), labels[arm], values))
    rows.sort(key=lambda row: -row[0])
    texts = [
        f"{label} {percent_interval(mean, *statistics.interval_over_seeds(values, 'unit'))} %"
        for mean, label, values in rows
    ]
    confidence = statistics.simultaneous(len(rows) - 1)
    unsure = [
        label
        for _, label, values in rows[1:]
        if statistics.against(
            *statistics.interval_over_seeds(rows[0][2] - values, confidence=confidence),
            0.0,
        )
        != "above"
    ]
    told = f"not told apart from {joined(unsure)}" if unsure else "told apart from all others"
    cells = "the one cell" if len(known) == 1 else f"the {len(known)} cells"
    return (
        f"Means over {cells} that all have, highest first: "
        f"{joined(texts)}. Intervals are over seeds; by the differences of seeds "
        f"{rows[0][1]} is {told}."
    )


def _noise_findings(cells: Sequence[Cell]) -> Findings:
    found = []
    for correlation in correlations_of(least_thresholds(thresholds_of(cells), cells)):
        title = f"{arm_title(correlation.arm, None, cells)}: noise sensitivity"
        found.append((title, noise_sentence(correlation)))
    return found
