"""Whether two people got the same table: fresh results beside those kept in the repository."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

REPLICAS_FILE = "replicas.csv"

# Rounding differs between machines, JAX versions and ways to share a device, and training
# amplifies it. Set from the same command on other instruction sets and versions (README).
TOLERANCE = 0.15  # of a replica's error
MEAN_TOLERANCE = 0.10  # of the mean over the seeds of a cell

_ERROR = "generalization_error"
_KEY = ["run", "replica"]
_CELL = ["run", "frozen_bit", "learning_rate", "init_scale"]


@dataclass(frozen=True)
class Agreement:
    """How far fresh errors are from kept ones, relative to the kept ones.

    `replicas` were compared, `kept` are the results' own; `largest` is the largest relative
    difference of a replica, at `where`, and `largest_mean` that of a mean over seeds, at
    `where_mean`. `identical` counts replicas without any difference.
    """

    replicas: int
    kept: int
    identical: int
    largest: float
    where: str
    largest_mean: float
    where_mean: str

    @property
    def holds(self) -> bool:
        """Whether all replicas were compared and all differences are within the tolerance."""
        whole = self.replicas == self.kept
        return whole and self.largest <= TOLERANCE and self.largest_mean <= MEAN_TOLERANCE


def agreement(fresh: pd.DataFrame, kept: pd.DataFrame) -> Agreement | None:
    """Compare two tables of replicas (replicas.csv); None where they have no replica in common.

    Replicas are the same where run (which holds the digits of the configuration) and name are.
    One that diverged in one table only counts as an infinite difference.
    """
    both = kept.merge(fresh[[*_KEY, _ERROR]], on=_KEY, suffixes=("", "_fresh"))
    if both.empty:
        return None
    cells = both.groupby([name for name in _CELL if name in both], dropna=False, sort=False)
    means = cells[[_ERROR, f"{_ERROR}_fresh"]].mean()
    differences, mean_differences = _relative(both), _relative(means)
    at = differences.idxmax()
    place = dict(zip(means.index.names, _as_tuple(mean_differences.idxmax()), strict=True))
    return Agreement(
        replicas=len(both),
        kept=len(kept),
        identical=int((differences == 0).sum()),
        largest=float(differences[at]),
        where=f"{both.at[at, 'run']} {both.at[at, 'replica']}",
        largest_mean=float(mean_differences.max()),
        where_mean=" ".join(
            [str(place["run"])]
            + ([] if pd.isna(place["frozen_bit"]) else [f"bit{place['frozen_bit']}"])
        ),
    )


def compare_files(fresh: Path, kept: Path) -> str:
    """Return one line on how far a report's replicas.csv is from a kept one."""
    return render_agreement(agreement(pd.read_csv(fresh), pd.read_csv(kept)))


def render_agreement(found: Agreement | None) -> str:
    """Return one line on how far fresh results are from the kept ones."""
    if found is None:
        return "kept results: none of these runs is among them; nothing was compared"
    verdict = "agree" if found.holds else "do NOT agree"
    return (
        f"kept results: {found.replicas} of {found.kept} replicas compared, {found.identical} with "
        f"the same digits; the largest difference of an error is {found.largest:.2%} "
        f"({found.where}), of a mean over seeds {found.largest_mean:.2%} ({found.where_mean}); "
        f"stated tolerance {TOLERANCE:.0%} and {MEAN_TOLERANCE:.0%}: they {verdict}"
    )


def _relative(rows: pd.DataFrame) -> pd.Series:
    kept, fresh = rows[_ERROR], rows[f"{_ERROR}_fresh"]
    difference = (fresh / kept - 1).abs().where(fresh != kept, 0.0)
    both_diverged = kept.isna() & fresh.isna()
    return difference.fillna(float("inf")).mask(both_diverged, 0.0)


def _as_tuple(key: object) -> tuple[object, ...]:
    return key if isinstance(key, tuple) else (key,)
