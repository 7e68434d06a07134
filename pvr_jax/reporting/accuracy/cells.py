"""What the result files of classification hold: cells of replicas that differ in the seed alone."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pvr_jax.number_text import exact
from pvr_jax.results import statistics

ACCURACIES = ("iid_accuracy", "train_accuracy", "withheld_accuracy")
# Training loss is of the training set at an evaluation, batch loss the mean over the batches since
# the one before, each before its own step; of a stream, whose samples are shown once, only the
# latter is known.
LOSSES = ("iid_loss", "train_loss", "withheld_loss", "batch_loss")
MEASURES = ACCURACIES + LOSSES
PARTS = {"iid": "i.i.d.", "withheld": "withheld"}
RETRIEVAL = "retrieval"
FRESH = "fresh"


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, or an exact one, whose interval has no width."""

    value: float
    low: float
    high: float
    exact: bool


@dataclass(frozen=True)
class Subtask:
    """What a replica learns. `withheld`: permutations, or 1 for a positional holdout.

    Aggregation and complexity are None where a task has none; `noise` is the noise sensitivity.
    """

    aggregation: str | None
    complexity: int | None
    withheld: int
    withheld_words: str
    share_removed: float
    label_distribution: tuple[float, ...]
    label_distribution_exact: bool
    noise: Estimate | None

    @property
    def chance(self) -> float:
        """The largest probability of a label: the accuracy of the best constant guess."""
        return max(self.label_distribution)

    @property
    def entropy(self) -> float:
        """The entropy of the label in bits."""
        return -sum(p * math.log2(p) for p in self.label_distribution if p > 0) + 0.0

    @property
    def words(self) -> str:
        """The function in words, such as "mod_sum, complexity 1"; "" where a task has just one."""
        if self.aggregation is None:
            return ""
        if self.aggregation == RETRIEVAL:
            return RETRIEVAL
        return f"{self.aggregation}, complexity {self.complexity}"

    @property
    def function(self) -> tuple[str | None, int | None]:
        """What is to be learned, whatever is withheld: aggregation and complexity."""
        return self.aggregation, self.complexity

    @property
    def order(self) -> tuple[object, ...]:
        """A key that sorts subtasks: retrieval first, then by aggregation."""
        return (
            self.aggregation != RETRIEVAL,
            self.aggregation or "",
            -1 if self.complexity is None else self.complexity,
            self.withheld,
        )


@dataclass(frozen=True)
class Replica:
    """One trained copy; `index` is its place in the run, `diverged_at` a step or None."""

    name: str
    index: int
    seed: int
    diverged_at: int | None


class Arm(NamedTuple):
    """What is trained: the run (a model on a task), learning rate and init scale."""

    directory: Path
    learning_rate: float
    init_scale: float


@dataclass(frozen=True, eq=False)  # its arrays are not equal or unequal as a whole
class Cell:
    """The r replicas of one run that share everything but their seed, at T evaluations.

    `samples` is None where every row of a stream is shown once. `measures` are float[T, r], NaN
    where not defined; `confusion` are counts float[r, C, C] by part, true classes in rows, NaN
    where not defined.
    """

    arm: Arm
    task: str
    task_label: str
    model: str
    model_label: str
    optimizer: str
    size: str
    batch_size: int
    source: str
    shape: tuple[int, ...]
    alphabet: int | None
    classes: int
    test_samples: int
    train_samples_evaluated: int
    noise: float | None
    steps: np.ndarray
    subtask: Subtask
    samples: int | None
    replicas: tuple[Replica, ...]
    measures: dict[str, np.ndarray]
    confusion: dict[str, np.ndarray]
    config: dict[str, Any]
    record: dict[str, Any]

    @property
    def run(self) -> str:
        """The name of the run's directory."""
        return self.arm.directory.name

    @property
    def name(self) -> str:
        """A name that no other cell has."""
        subtask = self.subtask
        parts = [self.run]
        if subtask.aggregation is not None:
            parts += [f"{subtask.aggregation} m{subtask.complexity}"]
        parts += [f"withheld {subtask.withheld}", f"samples {self.samples_words}"]
        parts += [
            f"rate {exact(self.arm.learning_rate)}",
            f"init scale {exact(self.arm.init_scale)}",
        ]
        return ", ".join(parts)

    @property
    def is_fresh(self) -> bool:
        """Whether every training sample is shown once."""
        return self.source == FRESH

    @property
    def samples_words(self) -> str:
        """The size of the training set, or "fresh"."""
        return FRESH if self.samples is None else str(self.samples)

    @property
    def seeds(self) -> list[int]:
        """The seeds of the replicas [r]."""
        return [replica.seed for replica in self.replicas]

    @property
    def counted(self) -> np.ndarray:
        """Which replicas enter means, bool[r]: those that did not diverge."""
        return np.array([replica.diverged_at is None for replica in self.replicas])

    @property
    def gap(self) -> np.ndarray:
        """i.i.d. minus withheld accuracy of every replica [r] at the end; NaN if not defined."""
        return self.final("iid_accuracy") - self.final("withheld_accuracy")

    def final(self, name: str) -> np.ndarray:
        """Values [r] of a measure at the last evaluation, NaN of replicas that diverged."""
        return np.where(self.counted, self.measures[name][-1], math.nan)

    def curve(self, name: str) -> np.ndarray:
        """Values [T, r] of a measure, NaN of replicas that diverged."""
        return np.where(self.counted, self.measures[name], math.nan)


def mean_interval(
    values: np.ndarray, scale: statistics.Scale = "unit"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean [...] of `values` [..., r] and the bounds of its 95 % interval.

    Shares live on the unit scale; losses, `scale_of`, are positive.
    """
    return statistics.mean(values), *statistics.mean_interval(values, scale)


def gap_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of gaps [r] and the bounds of its 95 % interval.

    The difference d of two shares lies from −1 to 1: (d + 1) / 2 is put on the unit scale, and its
    interval back, so that it does not leave this range.
    """
    values = np.asarray(values, dtype=float)
    bounds = statistics.mean_interval((values + 1) / 2, "unit")
    low, high = (2 * float(side) - 1 for side in bounds)
    return float(statistics.mean(values)), low, high


def scale_of(measure: str) -> statistics.Scale:
    """Return where the values of a measure live."""
    return "positive" if measure in LOSSES else "unit"


def arms_of(cells: Iterable[Cell]) -> dict[Arm, list[Cell]]:
    """Return the cells by what is trained, both in order."""
    arms: dict[Arm, list[Cell]] = {}
    for cell in cells:
        arms.setdefault(cell.arm, []).append(cell)
    return arms


def least_withheld(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells of which no other of the same arm, function and size withholds less."""
    cells = list(cells)
    least: dict[tuple[object, ...], int] = {}
    for cell in cells:
        key = (cell.arm, cell.subtask.function)
        least[key] = min(cell.subtask.withheld, least.get(key, cell.subtask.withheld))
    return [c for c in cells if c.subtask.withheld == least[c.arm, c.subtask.function]]


def largest_sets(cells: Iterable[Cell]) -> list[Cell]:
    """Return, of every arm and subtask, the cell with the largest training set, in order."""
    largest: dict[tuple[Arm, Subtask], Cell] = {}
    for cell in cells:
        key = (cell.arm, cell.subtask)
        if key not in largest or (cell.samples or 0) > (largest[key].samples or 0):
            largest[key] = cell
    return list(largest.values())


def function_groups(cells: Sequence[Cell]) -> list[tuple[Arm, str | None, list[Cell]]]:
    """Return the cells by arm and aggregation; retrieval, complexity 0, is in every aggregation's.

    Without another aggregation, retrieval has a group of its own.
    """
    groups = []
    for arm, own in arms_of(cells).items():
        names = list(dict.fromkeys(cell.subtask.aggregation for cell in own))
        others = [name for name in names if name != RETRIEVAL] or names
        groups += [
            (arm, name, [c for c in own if c.subtask.aggregation in (name, RETRIEVAL)])
            for name in others
        ]
    return groups
