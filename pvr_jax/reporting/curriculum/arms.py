"""What the result files hold: arms, the replicas that differ in their seed alone, and pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats

from pvr_jax.reporting import statistics

# Of the error of the best constant: a replica that ends below it has learned the target, above it
# has done no more than fit its samples.
LEARNED = 0.5


@dataclass(frozen=True)
class Stage:
    """A stage that a replica passed: its radius, samples inside, epochs and iterations until then.

    `iterations` are counted from the beginning of training, as `epochs`.
    """

    radius: int
    samples: int
    epochs: int
    iterations: int


@dataclass(frozen=True)
class Replica:
    """One trained copy. `finished`: it passed the last stage within its epochs.

    `iterations` are all optimiser steps it took, `radius` is the last it trained with, and
    `diverged_at` the epoch at which it diverged, if it did.
    """

    name: str
    seed: int
    finished: bool
    iterations: int
    epochs: int | None
    radius: int
    diverged_at: int | None
    stages: tuple[Stage, ...]

    @property
    def spent(self) -> list[tuple[Stage, int]]:
        """The stages that it passed, each with the iterations that it took."""
        ends = [0, *(stage.iterations for stage in self.stages)]
        return list(zip(self.stages, np.diff(ends).tolist(), strict=True))


@dataclass(frozen=True, eq=False)  # its arrays are not equal or unequal as a whole
class Arm:
    """The r replicas of one run that share everything but their seed, at T evaluations.

    `name` is that of the run's directory with what tells its arms apart. `iterations` [T, r] are
    the optimiser steps taken until an evaluation; `measures` are float[T, r]. `half_variance` is
    the error of the best constant.
    """

    name: str
    directory: Path
    task: str
    model: str
    optimizer: str
    size: str
    n: int
    samples: int
    leap: int
    learning_rate: float
    init_scale: float
    threshold: float
    half_variance: float
    epochs: np.ndarray
    iterations: np.ndarray
    replicas: tuple[Replica, ...]
    measures: dict[str, np.ndarray]
    config: dict[str, Any]
    record: dict[str, Any]

    @property
    def is_normal(self) -> bool:
        """Whether all samples are shown from the beginning: no curriculum."""
        return self.leap >= self.n

    @property
    def label(self) -> str:
        """What the arm is called beside the others of its run."""
        return "normal training" if self.is_normal else f"curriculum, leap {self.leap}"

    @property
    def seeds(self) -> list[int]:
        """The seeds of the replicas [r]."""
        return [replica.seed for replica in self.replicas]

    @property
    def finished(self) -> np.ndarray:
        """Which replicas ended, bool[r]."""
        return np.array([replica.finished for replica in self.replicas])

    @property
    def counted(self) -> np.ndarray:
        """Which replicas enter means of errors, bool[r]: those that did not diverge."""
        return np.array([replica.diverged_at is None for replica in self.replicas])

    @property
    def iterations_to_end(self) -> np.ndarray:
        """Optimiser steps until training ended, float[r]; infinite where it did not."""
        return np.array([r.iterations if r.finished else math.inf for r in self.replicas])

    @property
    def learned(self) -> np.ndarray:
        """Which replicas end with less than half the best constant's error, bool[r]."""
        return self.final("generalization_error") < LEARNED * self.half_variance

    @property
    def measured(self) -> np.ndarray:
        """Of which replicas the error on the whole cube is known in the end, bool[r]."""
        return np.isfinite(self.final("generalization_error"))

    def final(self, name: str) -> np.ndarray:
        """Values [r] of a measure at the last evaluation, NaN of replicas that diverged."""
        return np.where(self.counted, self.measures[name][-1], math.nan)


@dataclass(frozen=True)
class SignTest:
    """How often one of two is smaller, over seeds; ties are left out of `compared`.

    `p` is of the exact two-sided test that both are as likely; NaN with nothing to compare.
    """

    smaller: int
    compared: int
    p: float


@dataclass(frozen=True)
class Pair:
    """A curriculum beside normal training on the same samples, from the same initial parameters."""

    normal: Arm
    curriculum: Arm

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds that both arms have."""
        return [seed for seed in self.normal.seeds if seed in self.curriculum.seeds]

    def both(self, normal: np.ndarray, curriculum: np.ndarray) -> np.ndarray:
        """Return the values [r] of both arms by common seed, [2, s]."""
        rows = zip((self.normal, self.curriculum), (normal, curriculum), strict=True)
        return np.array([[values[arm.seeds.index(s)] for s in self.seeds] for arm, values in rows])

    @cached_property
    def log_ratios(self) -> np.ndarray:
        """log(iterations of normal training / of the curriculum) [s]; NaN unless both ended."""
        both = self.both(self.normal.iterations_to_end, self.curriculum.iterations_to_end)
        ended = np.isfinite(both).all(axis=0)
        return np.log(np.where(ended, both[0], math.nan) / np.where(ended, both[1], math.nan))

    @cached_property
    def ratio(self) -> tuple[float, float, float]:
        """Geometric mean of the ratio of iterations over seeds, and its 95 % interval.

        The geometric mean is the exponential of the mean of the logarithms, so the bounds are those
        of Student's t interval of that mean: nothing but the definition makes these logarithms.
        """
        values = self.log_ratios
        bounds = (statistics.mean(values), *statistics.mean_interval(values))
        return tuple(float(np.exp(bound)) for bound in bounds)

    @cached_property
    def fewer_iterations(self) -> SignTest:
        """How often the curriculum took fewer iterations.

        A replica that did not end took more than one that did; two that did not end are a tie.
        """
        normal, curriculum = self.both(
            self.normal.iterations_to_end, self.curriculum.iterations_to_end
        )
        return sign_test(curriculum, normal)

    @cached_property
    def smaller_error(self) -> SignTest:
        """How often the curriculum's error on the whole cube is the smaller one in the end."""
        name = "generalization_error"
        normal, curriculum = self.both(self.normal.final(name), self.curriculum.final(name))
        return sign_test(curriculum, normal)


def sign_test(first: np.ndarray, second: np.ndarray) -> SignTest:
    """Test whether `first` [s] is smaller than `second` [s] as often as larger, without ties."""
    smaller, larger = int(np.sum(first < second)), int(np.sum(first > second))
    if smaller + larger == 0:
        return SignTest(0, 0, math.nan)
    p = scipy.stats.binomtest(smaller, smaller + larger).pvalue
    return SignTest(smaller, smaller + larger, float(p))


def pairs_of(arms: Sequence[Arm]) -> list[Pair]:
    """Return every curriculum beside the normal training it is compared with, in order."""

    def setting(arm: Arm) -> tuple[object, ...]:
        return arm.directory, arm.learning_rate, arm.init_scale, arm.samples

    normal = {setting(arm): arm for arm in arms if arm.is_normal}
    return [
        Pair(normal[setting(arm)], arm)
        for arm in arms
        if not arm.is_normal and setting(arm) in normal
    ]
