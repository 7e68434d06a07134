"""Whether two people got the same table: fresh results beside those kept in the repository."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pvr_jax.reporting import statistics

REPLICAS_FILE = "replicas.csv"

# Rounding differs between machines, JAX versions and ways to share a device, and training
# amplifies it: a single replica may end elsewhere (README), a table's means may not. A mean may
# move by the half-width of its kept 95 % interval, or by this share of itself where few seeds
# happen to lie close together. Where nothing is frozen a fitted error is a few thousandths of the
# scale on which it is read, ½ Var f, and one late spike of Adam multiplies it: there the share is
# of that scale.
TOLERANCE = 0.02

_ERROR = "generalization_error"
_SCALE = "constant_error"
_KEY = ["run", "replica"]
_CELL = ["run", "frozen_bit", "learning_rate", "init_scale"]


@dataclass(frozen=True)
class Agreement:
    """How far fresh errors are from kept ones.

    `replicas` were compared, `kept` are the results' own, `identical` of them without any
    difference. Relative to the kept ones, `largest` is the largest difference of a replica, at
    `where`, and `largest_mean` that of a mean over seeds, at `where_mean`. `moved` is the largest
    difference of a mean over its tolerance, at `where_moved`.
    """

    replicas: int
    kept: int
    identical: int
    largest: float
    where: str
    largest_mean: float
    where_mean: str
    moved: float
    where_moved: str

    @property
    def holds(self) -> bool:
        """Whether all replicas were compared and all means are within their tolerance."""
        return self.replicas == self.kept and self.largest < np.inf and self.moved <= 1


def agreement(fresh: pd.DataFrame, kept: pd.DataFrame) -> Agreement | None:
    """Compare two tables of replicas (replicas.csv); None where they have no replica in common.

    Replicas are the same where run (which holds the digits of the configuration) and name are.
    One that diverged in one table only counts as an infinite difference.
    """
    both = kept.merge(fresh[[*_KEY, _ERROR]], on=_KEY, suffixes=("", "_fresh"))
    if both.empty:
        return None
    differences = _relative(both[_ERROR], both[f"{_ERROR}_fresh"])
    rows = []
    names = [name for name in _CELL if name in both]
    for key, cell in both.groupby(names, dropna=False, sort=False):
        before, after = (float(cell[name].mean()) for name in (_ERROR, f"{_ERROR}_fresh"))
        low, high = statistics.mean_interval(cell[_ERROR].to_numpy())
        scale = cell[_SCALE].iloc[0] if _SCALE in cell else np.nan
        tolerance = np.fmax((high - low) / 2, TOLERANCE * np.fmax(abs(before), scale))
        rows.append((_place(dict(zip(names, key, strict=True))), before, after, tolerance))
    means = pd.DataFrame(rows, columns=["place", "before", "after", "tolerance"])
    mean_differences = _relative(means["before"], means["after"])
    moved = (means["after"] - means["before"]).abs() / means["tolerance"]
    moved = moved.where(mean_differences > 0, 0.0).fillna(np.inf)
    at, at_mean, at_moved = (d.idxmax() for d in (differences, mean_differences, moved))
    return Agreement(
        replicas=len(both),
        kept=len(kept),
        identical=int((differences == 0).sum()),
        largest=float(differences[at]),
        where=f"{both.at[at, 'run']} {both.at[at, 'replica']}",
        largest_mean=float(mean_differences[at_mean]),
        where_mean=means.at[at_mean, "place"],
        moved=float(moved[at_moved]),
        where_moved=means.at[at_moved, "place"],
    )


def compare_files(fresh: Path, kept: Path) -> str:
    """Return one line on how far a report's replicas.csv is from a kept one."""
    return render_agreement(agreement(pd.read_csv(fresh), pd.read_csv(kept)))


def render_agreement(found: Agreement | None) -> str:
    """Return one line on how far fresh results are from the kept ones."""
    if found is None:
        return "kept results: none of these runs is among them; nothing was compared"
    verdict = "they agree" if found.holds else f"they do NOT agree ({found.where_moved})"
    return (
        f"kept results: {found.replicas} of {found.kept} replicas compared, {found.identical} with "
        f"the same digits; the largest difference of an error is {found.largest:.2%} "
        f"({found.where}), of a mean over seeds {found.largest_mean:.2%} ({found.where_mean}); "
        f"stated tolerance of a mean: the half-width of its 95 % interval, or {TOLERANCE:.0%} (of "
        f"½ Var f where nothing is frozen): {verdict}"
    )


def _relative(kept: pd.Series, fresh: pd.Series) -> pd.Series:
    difference = (fresh / kept - 1).abs().where(fresh != kept, 0.0)
    both_diverged = kept.isna() & fresh.isna()
    return difference.fillna(float("inf")).mask(both_diverged, 0.0)


def _place(cell: dict[str, object]) -> str:
    """Return the name of a cell: its run, and its frozen bit if it has one."""
    bit = cell.get("frozen_bit")
    return str(cell["run"]) if bit is None or pd.isna(bit) else f"{cell['run']} bit{bit:g}"
