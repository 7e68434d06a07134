"""How many training samples a task needs until its accuracy reaches a threshold."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pvr_jax.reporting.accuracy.cells import (
    Arm,
    Cell,
    Subtask,
    arms_of,
    least_withheld,
)
from pvr_jax.results import statistics

THRESHOLD = 0.95
LEVEL = "95 %"


@dataclass(frozen=True)
class Threshold:
    """The samples until i.i.d. accuracy reaches `THRESHOLD`, for one arm and subtask.

    `samples` [s] are by `seeds`: infinite where not reached, NaN of seeds that do not count.
    `first` and `last` are the fewest and the most samples that were looked at.
    """

    arm: Arm
    subtask: Subtask
    seeds: tuple[int, ...]
    samples: np.ndarray
    first: float
    last: float

    @property
    def counted(self) -> np.ndarray:
        """The samples of the seeds that count [c]."""
        return self.samples[~np.isnan(self.samples)]

    @property
    def reaching(self) -> int:
        """How many of the seeds that count reach the threshold."""
        return int(np.isfinite(self.counted).sum())

    @property
    def reached(self) -> bool:
        """Whether all seeds that count reach it, and there is one; else the task is censored."""
        return 0 < len(self.counted) == self.reaching

    @property
    def at_once(self) -> bool:
        """Whether a seed reaches it with the fewest samples, so that it may need fewer still."""
        return bool((self.counted <= self.first).any())

    @cached_property
    def mean(self) -> tuple[float, float, float]:
        """Geometric mean over seeds and its 95 % interval, that of the mean of the logarithms.

        Of a censored task a bound from below without an interval: seeds that do not reach the
        threshold count as if they did with the most samples. Of one that a seed reaches at once it
        is a bound from above, without an interval too.
        """
        logs = np.log(np.minimum(self.counted, self.last))
        if len(logs) == 0:
            return math.nan, math.nan, math.nan
        bounds = statistics.mean_interval(logs)
        middle, low, high = (float(np.exp(value)) for value in (statistics.mean(logs), *bounds))
        known = self.reached and not self.at_once
        return (middle, low, high) if known else (middle, math.nan, math.nan)


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of noise sensitivity with samples to the threshold.

    `value`, `low`, `high` are over all `tasks`, the censored ones tied at the top; `reached_*` over
    the `reached` tasks that reach the threshold only. NaN where a correlation says nothing.
    `verdict` says where the first lies against 0 ("below", "above" or "inside" the interval that
    holds for the correlations of all arms at once; "" without one).
    """

    arm: Arm
    tasks: int
    reached: int
    value: float
    low: float
    high: float
    reached_value: float
    reached_low: float
    reached_high: float
    verdict: str


def crossing(samples: np.ndarray, accuracy: np.ndarray) -> float:
    """Return at how many `samples` [N], ascending, `accuracy` [N] first reaches the threshold.

    Between two entries the accuracy is taken to be linear in the logarithm of the samples. Entries
    without samples or with a NaN are left out. Infinite where it is never reached; NaN of nothing,
    and where it is not reached before the last entry, which is missing.
    """
    known = np.isfinite(accuracy) & (np.asarray(samples) > 0)
    to_the_end = len(known) > 0 and bool(known[-1])
    samples, accuracy = np.asarray(samples, float)[known], accuracy[known]
    # 19 of 20 test samples are .95, and a little less in float32.
    above = np.flatnonzero(accuracy >= THRESHOLD * (1 - statistics.FLOAT32_ROUNDING))
    if len(above) == 0:
        return math.inf if to_the_end else math.nan
    after = int(above[0])
    if after == 0:
        return float(samples[0])
    share = (THRESHOLD - accuracy[after - 1]) / (accuracy[after] - accuracy[after - 1])
    logs = np.log(samples[after - 1 : after + 1])
    return float(np.exp(logs[0] + share * (logs[1] - logs[0])))


def thresholds_of(cells: Sequence[Cell]) -> list[Threshold]:
    """Return the samples to the threshold of every arm and subtask, in order.

    Of a stream along the training of one cell; of fixed sets over the cells of different sizes, of
    which there have to be two. Training sets of two sizes are not parts of one another.
    """
    found = []
    for arm, own in arms_of(cells).items():
        for subtask in dict.fromkeys(cell.subtask for cell in own):
            sized = [cell for cell in own if cell.subtask == subtask]
            if sized[0].is_fresh:
                found.append(_along_training(sized[0]))
            elif len(sized) > 1:
                found.append(_over_sizes(arm, subtask, sized))
    return found


def _along_training(cell: Cell) -> Threshold:
    shown = cell.steps * cell.batch_size
    curves = cell.curve("iid_accuracy").T
    samples = np.array([crossing(shown, curve) for curve in curves])
    positive = shown[shown > 0]
    first = float(positive[0]) if len(positive) else math.nan
    return Threshold(cell.arm, cell.subtask, tuple(cell.seeds), samples, first, float(shown[-1]))


def _over_sizes(arm: Arm, subtask: Subtask, cells: list[Cell]) -> Threshold:
    sizes = np.array([cell.samples for cell in cells], dtype=float)
    seeds = tuple(sorted({seed for cell in cells for seed in cell.seeds}))
    curves = np.full((len(seeds), len(cells)), math.nan)
    for column, cell in enumerate(cells):
        for seed, value in zip(cell.seeds, cell.final("iid_accuracy"), strict=True):
            curves[seeds.index(seed), column] = value
    samples = np.array([crossing(sizes, curve) for curve in curves])
    return Threshold(arm, subtask, seeds, samples, float(sizes[0]), float(sizes[-1]))


def least_thresholds(thresholds: Sequence[Threshold], cells: Sequence[Cell]) -> list[Threshold]:
    """Return those of every function with the least withheld: one per arm and function."""
    kept = {(cell.arm, cell.subtask) for cell in least_withheld(cells)}
    return [t for t in thresholds if (t.arm, t.subtask) in kept]


def correlations_of(thresholds: Sequence[Threshold]) -> list[Correlation]:
    """Return the rank correlation of every arm with two or more tasks that noise is known of."""
    known = [t for t in thresholds if t.subtask.noise is not None and len(t.counted)]
    arms = Counter(t.arm for t in known)
    arms = [arm for arm, tasks in arms.items() if tasks > 1]
    confidence = statistics.simultaneous(len(arms))
    found = []
    for arm in arms:
        own = [t for t in known if t.arm == arm]
        noise = np.array([t.subtask.noise.value for t in own])
        reached = np.array([t.reached for t in own])
        samples = np.array([t.mean[0] for t in own])
        top = 2 * max(max(t.last, t.mean[0]) for t in own)
        tied = np.where(reached, samples, top)
        found.append(
            Correlation(
                arm,
                len(own),
                int(reached.sum()),
                statistics.rank_correlation(noise, tied),
                *statistics.rank_correlation_interval(noise, tied),
                statistics.rank_correlation(noise[reached], samples[reached]),
                *statistics.rank_correlation_interval(noise[reached], samples[reached]),
                statistics.against(
                    *statistics.rank_correlation_interval(noise, tied, confidence), 0.0
                ),
            )
        )
    return found
