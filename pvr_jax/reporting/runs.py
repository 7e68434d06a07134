"""What the result files of runs hold, as plain dataclasses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MATCHED = "matched"
HOLDOUTS = ("canonical", MATCHED)


@dataclass(frozen=True)
class Replica:
    """One trained copy: its frozen bit (None: nothing frozen), seed and training settings.

    `diverged_at` is the step at which it diverged, if it did; `learning_rate` and `init_scale` are
    None in files that do not name them.
    """

    name: str
    bit: int | None
    seed: int
    diverged_at: int | None
    learning_rate: float | None = None
    init_scale: float | None = None

    @property
    def counted(self) -> bool:
        """Whether its values enter means: it did not diverge."""
        return self.diverged_at is None


@dataclass(frozen=True)
class Pair:
    """A low-degree monomial and its higher-degree twin, with their coefficients in the target.

    `limit` is what the low-degree prediction says the low-degree coefficient tends to.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    target_low: float
    target_high: float
    limit: float


@dataclass(frozen=True, eq=False)  # its arrays are not equal or unequal as a whole
class Run:
    """What one finished run measured, T evaluations of R replicas that share rate and scale.

    A directory whose replicas differ in learning rate or init scale holds several of these;
    `variant` then tells them apart and is part of `name`. `measures` are float[T, R] for all
    replicas (NaN where undefined), `predictions` float[R] the generalization error that theory
    predicts for each, `prediction_errors` the standard error of those that are means over a few
    initialisations, and `unexplained` float[R] the half squared distance, over the whole cube,
    between what each learned and what the theory predicts; `not_defined` says of the other
    theories why they predict nothing. `degree_profiles` float[T, r, n+1] and `pair_coefficients`
    float[T, r, P, 2] (low, high) are kept per frozen bit and hold the r counted (not diverged)
    replicas of that bit only. With `holdout` "matched" nothing is frozen: the one bit is None, its
    `frozen_degree_profiles` entry is the target's, and `target` has the target's exact measures.
    """

    name: str
    directory: Path
    experiment: str
    task: str
    task_label: str
    model: str
    model_label: str
    optimizer: str
    learning_rate: float | None
    init_scale: float | None
    variant: str
    size: str | None
    holdout: str
    n: int
    frozen_value: int
    loss: str
    steps: np.ndarray
    replicas: tuple[Replica, ...]
    influences: dict[int, float]
    measures: dict[str, np.ndarray]
    predictions: dict[str, np.ndarray]
    prediction_errors: dict[str, np.ndarray]
    unexplained: dict[str, np.ndarray]
    not_defined: dict[str, str]
    target: dict[str, float] | None
    degree_profiles: dict[int | None, np.ndarray]
    frozen_degree_profiles: dict[int | None, np.ndarray]
    pairs: dict[int | None, tuple[Pair, ...]]
    pair_coefficients: dict[int | None, np.ndarray]
    config: dict[str, Any]
    record: dict[str, Any]

    @property
    def matched(self) -> bool:
        """Whether training drew from the whole cube, nothing frozen."""
        return self.holdout == MATCHED

    @property
    def bits(self) -> list[int | None]:
        """Frozen bits of this run, ascending; [None] when nothing was frozen."""
        return distinct_bits(self.replicas)

    @property
    def file_name(self) -> str:
        """The name as part of a file's name."""
        return self.name.replace(", ", "-").replace(" ", "_")

    def counted(self, bit: int | None) -> list[int]:
        """Indices of the replicas that froze `bit` and did not diverge."""
        return [i for i, r in enumerate(self.replicas) if r.bit == bit and r.counted]

    def excluded(self, bit: int | None) -> list[Replica]:
        """Replicas that froze `bit` and diverged."""
        return [r for r in self.replicas if r.bit == bit and not r.counted]

    def final(self, name: str, bit: int | None) -> np.ndarray:
        """Values [r] of a measure at the last evaluation, for the counted replicas of `bit`."""
        return self.measures[name][-1, self.counted(bit)]


def distinct_bits(replicas: Sequence[Replica]) -> list[int | None]:
    """Return the bits that these replicas froze, ascending; [None] when nothing was frozen."""
    bits = {replica.bit for replica in replicas}
    return [None] if None in bits else sorted(bits)
