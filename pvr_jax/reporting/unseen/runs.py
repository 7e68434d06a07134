"""What the result files of a run on an unseen domain hold, as plain dataclasses."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pvr_jax.reporting.runs import Replica

MIN_DEGREE = "min_degree"
WIDE_NTK = "wide_ntk"
# The min-degree interpolator can be so large off the seen inputs (length generalization: 1e8) that
# no network comes near it: its error over that of the zero function, from which it counts as far.
FAR = 100.0
NO_MASS = 1e-12  # of the whole; below it a degree of the min-degree interpolator is empty


@dataclass(frozen=True)
class Monomial:
    """A tracked monomial with its coefficients in the target and in the min-degree interpolator.

    The latter is NaN where the interpolator was not computed.
    """

    coordinates: tuple[int, ...]
    target: float
    min_degree: float


@dataclass(frozen=True)
class Theory:
    """What a theory predicts the learned function to be: its half errors, and the coefficients [M].

    Entries that are not known are NaN.
    """

    generalization_error: float
    unseen_error: float
    coefficients: np.ndarray


@dataclass(frozen=True, eq=False)  # its arrays are not equal or unequal as a whole
class Cell:
    """The replicas of one run that share learning rate and init scale: one row of the table.

    `measures` are float[T, r] for all r replicas of the cell (NaN where undefined or diverged),
    `coefficients` float[T, r, M] of the M tracked monomials, `degree_profiles` float[T, r, n+1],
    None where the cube is sampled. `mean_square` is E f² of the target over the whole cube, NaN
    where an earlier version has not written it. `theories` and `unexplained`, float[r] per theory,
    are empty without predictions; `not_defined` says of a theory, the interpolator too, why it
    predicts nothing here. `variant` is part of `name` and tells the cells of one directory apart.
    """

    name: str
    directory: Path
    experiment: str
    variant: str
    setting: str
    task: str
    task_label: str
    model: str
    model_label: str
    optimizer: str
    learning_rate: float | None
    init_scale: float | None
    size: str
    n: int
    seen: str
    seen_fraction: float
    exact: bool
    points: int | None
    training_samples: int | None
    loss: str
    steps: np.ndarray
    replicas: tuple[Replica, ...]
    measures: dict[str, np.ndarray]
    mean_square: float
    monomials: tuple[Monomial, ...]
    coefficients: np.ndarray
    degree_profiles: np.ndarray | None
    target_degree_profile: np.ndarray | None
    min_degree_profile: np.ndarray | None
    theories: dict[str, Theory]
    unexplained: dict[str, np.ndarray]
    not_defined: dict[str, str]
    config: dict[str, Any]
    record: dict[str, Any]

    @property
    def counted(self) -> list[int]:
        """Indices of the replicas that did not diverge."""
        return [i for i, replica in enumerate(self.replicas) if replica.counted]

    @property
    def excluded(self) -> list[Replica]:
        """Replicas that diverged."""
        return [replica for replica in self.replicas if not replica.counted]

    def final(self, name: str) -> np.ndarray:
        """Values [c] of a measure at the last evaluation, of counted replicas; NaN if absent."""
        if name not in self.measures:
            return np.full(len(self.counted), np.nan)
        return self.measures[name][-1, self.counted]

    def predicted_error(self, theory: str) -> float:
        """Half squared error on the unseen inputs that a theory predicts; NaN if it does not."""
        found = self.theories.get(theory)
        return math.nan if found is None else found.unseen_error

    @property
    def far(self) -> bool:
        """Whether the min-degree interpolator is out of every network's reach on the unseen."""
        return self.predicted_error(MIN_DEGREE) > FAR * self.mean_square / 2 > 0

    @property
    def is_target(self) -> bool:
        """Whether the min-degree interpolator is the target on the unseen inputs, up to rounding.

        Nothing is a share of its error then.
        """
        error = self.predicted_error(MIN_DEGREE)
        return error == 0 or error <= NO_MASS * self.mean_square / 2

    @cached_property
    def highest_degree(self) -> int | None:
        """Degree r of the min-degree interpolator; None where unknown, or where no degree is above.

        Degrees with less than `NO_MASS` of its mass count as empty.
        """
        profile = self.min_degree_profile
        if profile is None or self.degree_profiles is None:
            return None
        filled = np.flatnonzero(profile > NO_MASS * profile.sum())
        degree = int(filled[-1]) if len(filled) else 0
        return degree if degree < self.n else None

    def mass_above(self) -> np.ndarray:
        """Mass [c] that counted replicas have above `highest_degree` at the last evaluation."""
        if self.highest_degree is None or self.degree_profiles is None:
            return np.full(len(self.counted), np.nan)
        return self.degree_profiles[-1, self.counted, self.highest_degree + 1 :].sum(axis=-1)
