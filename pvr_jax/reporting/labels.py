"""Short names for the tasks and trained models of a study, that still tell them apart."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from pvr_jax.number_text import exact
from pvr_jax.reporting.runs import Run

_LABEL = re.compile(r"([^ (]+) \((.+)\)")
_NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?)")

# What tells two trainings of one model on one task apart, tried in this order.
_SETTINGS: tuple[Callable[[Run], str], ...] = (
    lambda run: run.optimizer,
    lambda run: "" if run.learning_rate is None else f"learning rate {exact(run.learning_rate)}",
    lambda run: "" if run.init_scale is None else f"init scale {exact(run.init_scale)}",
    lambda run: run.size or "",
    lambda run: run.directory.name.rsplit("-", 1)[-1],
)
_NEVER_MERGED = (_SETTINGS[0], _SETTINGS[2], _SETTINGS[3])  # of two tasks either


def short_labels(labels: Iterable[str]) -> dict[str, str]:
    """Return, for labels such as "pvr (window=3, tie=0)", a short form that is as distinct.

    Parameters that all labels of one name share are left out.
    """
    parsed = {label: split_label(label) for label in labels}
    short = {}
    for label, (name, parameters) in parsed.items():
        own = [other for other_name, other in parsed.values() if other_name == name]
        shown = [item for item in parameters if not all(item in other for other in own)]
        short[label] = f"{name} ({', '.join(shown)})" if shown else name
    counts = Counter(short.values())
    return {label: text if counts[text] == 1 else label for label, text in short.items()}


def split_label(label: str) -> tuple[str, list[str]]:
    """Return the name of a label and its parameters as "key=value"."""
    match = _LABEL.fullmatch(label)
    return (match[1], re.split(r", (?=\w+=)", match[2])) if match else (label, [])


def label_in_full(run: Run) -> str:
    """Return the label of a run's model with its parameters, also where all are at their default.

    `model_label` leaves them out there, and so cannot say how the run differs from others.
    """
    section = run.config.get("model")
    if split_label(run.model_label)[1] or not isinstance(section, dict):
        return run.model_label
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in section.items()
        if name != "name"
    }
    given = ", ".join(f"{name}={value}" for name, value in values.items())
    return f"{run.model} ({given})" if given else run.model_label


def label_notes(short: dict[str, str]) -> list[str]:
    """Return a note for every label that was shortened."""
    return [f"{text}: {label}." for label, text in short.items() if text != label]


def natural(text: str) -> list[tuple[bool, float, str]]:
    """Return a key that sorts text by its numbers as numbers."""
    parts = _NUMBER.split(text)
    return [
        (True, float(part), "") if i % 2 else (False, 0.0, part) for i, part in enumerate(parts)
    ]


def consecutive(coordinates: Iterable[int]) -> list[list[int]]:
    """Return the coordinates, ascending, cut where one is left out: 0 1 4 gives [0, 1] and [4]."""
    parts: list[list[int]] = []
    for i in sorted(coordinates):
        if parts and i == parts[-1][-1] + 1:
            parts[-1].append(i)
        else:
            parts.append([i])
    return parts


def bits_in_words(bits: Iterable[int]) -> str:
    """Return frozen bits as "bit 3" or "bits 0, 3 to 7 and 9", ascending."""
    bits = list(bits)
    parts: list[str] = []
    for run in consecutive(bits):
        parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(bit) for bit in run]
    return f"bit {parts[0]}" if len(bits) == 1 else f"bits {joined(parts)}"


def joined(parts: Sequence[str]) -> str:
    """Return parts of a sentence with commas and a last "and"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def arm_labels(runs: Sequence[Run]) -> dict[str, str]:
    """Return, by the name of the run, a label of what was trained: the model, and its settings.

    Runs of one label never have a frozen bit of a task in common, nor differ in optimizer, init
    scale or size: where two would, these, the learning rate, and at last the digits of the
    configuration are added to all labels, as few of these as do. Learning rates may differ from
    task to task, as each has its own; see `rate_notes`.
    """
    models = short_labels(run.model_label for run in runs)
    labels = {run.name: models[run.model_label] for run in runs}
    for setting in _SETTINGS:
        longer = {
            run.name: ", ".join(filter(None, (labels[run.name], setting(run)))) for run in runs
        }
        splits = len(set(longer.values())) > len(set(labels.values()))
        if _clashes(runs, longer) < _clashes(runs, labels) or (splits and setting in _NEVER_MERGED):
            labels = longer
    return labels


def rate_notes(runs: Sequence[Run]) -> list[str]:
    """Return a note per label of an arm whose tasks were trained with several learning rates."""
    labels, rates = arm_labels(runs), {}
    for run in runs:
        if run.learning_rate is not None:
            own = rates.setdefault(labels[run.name], {})
            own.setdefault(exact(run.learning_rate), []).append(run.task_label)
    return [
        f"{label} has a learning rate of its own for each task: "
        f"{'; '.join(f'{rate} for {joined(tasks)}' for rate, tasks in own.items())}."
        for label, own in rates.items()
        if len(own) > 1
    ]


def _clashes(runs: Sequence[Run], labels: dict[str, str]) -> int:
    """Return how many frozen bits of runs share task and label with an earlier run's."""
    cells = [(labels[run.name], run.task_label, bit) for run in runs for bit in run.bits]
    return len(cells) - len(set(cells))


def pointer_bits(run: Run) -> int | None:
    """Return how many pointer bits the task has, None for a task that is not known to be PVR."""
    if not run.task.startswith("pvr"):
        return None
    section = run.config.get("task")
    given = section.get("pointer_bits") if isinstance(section, dict) else None
    if isinstance(given, int):
        return given
    named = re.search(r"pointer_bits=(\d+)", run.task_label)
    if named:
        return int(named[1])
    return 3 if run.task == "pvr_majority" else None
