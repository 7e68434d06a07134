"""Reading the result files of classification runs."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pvr_jax.reporting.accuracy.cells import (
    FRESH,
    MEASURES,
    PARTS,
    Arm,
    Cell,
    Estimate,
    Replica,
    Subtask,
)
from pvr_jax.reporting.reading import (
    DAMAGES,
    EXAMPLES_FILE,
    MEASURES_FILE,
    array_of,
    damaged,
    read_json,
    runs_of,
)

SOURCES = ("sampled", FRESH)
# The order of tasks in a report; others stand behind these.
_TASKS = ("token_pvr", "picture_strip", "visual_pvr", "conditional_pvr")


@dataclass(frozen=True, eq=False)  # its arrays are not equal or unequal as a whole
class Examples:
    """Inputs of one part that a replica was shown: x [E, *shape], y [E], probabilities [E, C]."""

    cell: Cell
    replica: Replica
    part: str
    x: np.ndarray
    y: np.ndarray
    probabilities: np.ndarray


def read_cells(root: Path) -> tuple[list[Cell], list[str]]:
    """Return the cells of all finished runs in WORKDIR/pointer_value, and the unfinished runs.

    `root` may also be the directory of one run. A run is finished when it has its measures. Runs
    are in the order of their tasks, their models and what is the simplest of each.

    Raises:
        FileNotFoundError: there is no run at all.
        ValueError: a damaged file, named.
    """
    finished, unfinished = runs_of(root, "pointer_value", "configs/token_pvr.py:size=small")
    runs = sorted((read_cells_of(directory) for directory in finished), key=_place)
    return [cell for cells in runs for cell in cells], unfinished


def _place(cells: list[Cell]) -> tuple[int, str, int]:
    first = cells[0]
    task = _TASKS.index(first.task) if first.task in _TASKS else len(_TASKS)
    return task, first.model, min(cell.subtask.complexity or 0 for cell in cells)


def read_cells_of(directory: Path) -> list[Cell]:
    """Read one run: a `Cell` per subtask, training-set size, learning rate and init scale.

    Raises ValueError naming the damaged file, and FileNotFoundError without measures.json.
    """
    path = Path(directory) / MEASURES_FILE
    document = read_json(path)
    config = read_json(path.with_name("config.json"), optional=True)
    record = read_json(path.with_name("run.json"), optional=True)
    try:
        return _cells(path.parent, document, config, record)
    except DAMAGES as error:
        raise damaged(path, error) from error


def read_examples(cells: list[Cell]) -> list[Examples]:
    """Read the examples of the runs of `cells`, by part; a run need not have any.

    Raises ValueError naming a damaged file.
    """
    found = []
    for directory in dict.fromkeys(cell.arm.directory for cell in cells):
        path = directory / EXAMPLES_FILE
        if not path.exists():
            continue
        own = [cell for cell in cells if cell.arm.directory == directory]
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found += _examples(own, {name: arrays[name] for name in arrays.files})
        except (*DAMAGES, OSError, EOFError, zipfile.BadZipFile) as error:
            raise damaged(path, error) from error
    return found


def _cells(
    directory: Path, document: dict[str, Any], config: dict[str, Any], record: dict[str, Any]
) -> list[Cell]:
    entries = document["replicas"]
    steps = np.array(document["steps"], dtype=int)
    if steps.ndim != 1 or len(steps) == 0 or not entries:
        raise ValueError("no evaluation or no replica in it")
    if document["source"] not in SOURCES:
        raise ValueError(f"source is {document['source']!r}, expected {' or '.join(SOURCES)}")
    classes = int(document["classes"])
    subtasks = [_subtask(entry, classes) for entry in document["tasks"]]
    named = _named_losses(document)
    measures = {name: _measure(named, name, (len(steps), len(entries))) for name in MEASURES}
    confusion = {part: _confusion(document, part, len(entries), classes) for part in PARTS}
    keys = [_setting(entry, subtasks, document["source"]) for entry in entries]
    alphabet, noise = document["alphabet"], document.get("noise")
    cells = []
    for key in sorted(set(keys), key=lambda k: (k[2], k[3], k[0].order, k[1] or 0)):
        subtask, samples, rate, scale = key
        chosen = [index for index, other in enumerate(keys) if other == key]
        cells.append(
            Cell(
                arm=Arm(directory, rate, scale),
                task=str(document["task"]),
                task_label=str(document.get("task_label") or document["task"]),
                model=str(document["model"]),
                model_label=str(document.get("model_label") or document["model"]),
                optimizer=str(document.get("optimizer", "–")),
                size=str(document.get("size") or ""),
                batch_size=int(document["batch_size"]),
                source=str(document["source"]),
                shape=tuple(int(length) for length in document["shape"]),
                alphabet=None if alphabet is None else int(alphabet),
                classes=classes,
                test_samples=int(document["test_samples"]),
                train_samples_evaluated=int(document["train_samples_evaluated"]),
                noise=None if noise is None else float(noise),
                steps=steps,
                subtask=subtask,
                samples=samples,
                replicas=tuple(_replica(entries[index], index) for index in chosen),
                measures={name: values[:, chosen] for name, values in measures.items()},
                confusion={part: values[chosen] for part, values in confusion.items()},
                config=config,
                record=record,
            )
        )
    return cells


def _subtask(entry: dict[str, Any], classes: int) -> Subtask:
    aggregation, complexity = entry["aggregation"], entry["complexity"]
    shares = array_of(entry["label_distribution"], (classes,), "label_distribution")
    if not abs(shares.sum() - 1) < 1e-3:
        raise ValueError(f"label_distribution adds up to {shares.sum():g}, expected 1")
    noise = entry["noise_sensitivity"]
    return Subtask(
        aggregation=None if aggregation is None else str(aggregation),
        complexity=None if complexity is None else int(complexity),
        withheld=int(entry["withheld"]),
        withheld_words=str(entry.get("withheld_words") or ""),
        share_removed=float(entry["share_removed"]),
        label_distribution=tuple(shares.tolist()),
        label_distribution_exact=bool(entry["label_distribution_exact"]),
        noise=None
        if noise is None
        else Estimate(
            *(float(noise[name]) for name in ("value", "low", "high")), bool(noise["exact"])
        ),
    )


def _named_losses(document: dict[str, Any]) -> dict[str, Any]:
    """Return the measures of a document by their names.

    In those of earlier versions the one loss of training is that of the training set, or, of a
    stream, the mean batch loss.
    """
    measures = document["measures"]
    if "batch_loss" in measures:
        return measures
    if document["source"] == FRESH:
        return measures | {"batch_loss": measures["train_loss"], "train_loss": None}
    return measures | {"batch_loss": None}


def _measure(measures: dict[str, Any], name: str, shape: tuple[int, int]) -> np.ndarray:
    values = measures[name]
    return np.full(shape, np.nan) if values is None else array_of(values, shape, name)


def _confusion(document: dict[str, Any], part: str, replicas: int, classes: int) -> np.ndarray:
    """Return the counts [R, C, C] of a part; of replicas without any they are NaN."""
    empty = np.full((classes, classes), np.nan)
    rows = document["confusion"][part]
    rows = [None] * replicas if rows is None else rows
    if len(rows) != replicas:
        raise ValueError(f"confusion has {len(rows)} replicas, expected {replicas}")
    name = f"confusion of {part}"
    return np.stack([empty if row is None else array_of(row, empty.shape, name) for row in rows])


def _setting(
    entry: dict[str, Any], subtasks: list[Subtask], source: str
) -> tuple[Subtask, int | None, float, float]:
    number, samples = int(entry["task"]), entry["samples"]
    if not 0 <= number < len(subtasks):
        raise ValueError(f"task of {entry['name']} is {number}, expected 0 to {len(subtasks) - 1}")
    if (samples is None) != (source == FRESH):
        raise ValueError(f"samples of {entry['name']} do not go with the source {source}")
    return (
        subtasks[number],
        None if samples is None else int(samples),
        float(entry["learning_rate"]),
        float(entry["init_scale"]),
    )


def _replica(entry: dict[str, Any], index: int) -> Replica:
    diverged_at = entry["diverged_at"]
    return Replica(
        name=str(entry["name"]),
        index=index,
        seed=int(entry["seed"]),
        diverged_at=None if diverged_at is None else int(diverged_at),
    )


def _examples(cells: list[Cell], arrays: dict[str, np.ndarray]) -> list[Examples]:
    """Return the examples of one run, but for replicas that diverged and parts without any.

    A part that a replica has no examples of has y = -1.
    """
    owners = {replica.index: (cell, replica) for cell in cells for replica in cell.replicas}
    shape, classes = cells[0].shape, cells[0].classes
    found = []
    for place, index in enumerate(arrays["replica"].tolist()):
        if index not in owners:
            raise ValueError(f"replica {index} is not in {MEASURES_FILE}")
        if owners[index][1].diverged_at is not None:
            continue
        for part in PARTS:
            x, y, probabilities = (
                arrays[f"{part}_{name}"][place] for name in ("x", "y", "probabilities")
            )
            expected = {"x": (len(y), *shape), "probabilities": (len(y), classes)}
            for name, values in (("x", x), ("probabilities", probabilities)):
                if values.shape != expected[name]:
                    raise ValueError(
                        f"{part}_{name} has shape {list(values.shape)} per replica, expected "
                        f"{list(expected[name])}"
                    )
            known = y >= 0
            if known.any():
                found.append(
                    Examples(*owners[index], part, x[known], y[known], probabilities[known])
                )
    return found
