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
# of that scale. Of classification it always is, the scale being the error of the best constant
# guess: an accuracy near 100 % leaves errors of a few test samples, or none.
TOLERANCE = 0.02

_SCALE = "constant_error"
_KEY = ["run", "replica"]


@dataclass(frozen=True)
class _Kind:
    """A kind of table: the column of its error, what makes a cell, and words for the scale.

    With `of_scale`, differences are shares of the scale and not of the kept error itself.
    """

    error: str
    cell: tuple[str, ...]
    scale_words: str
    of_scale: bool


_HALF_LOSSES = _Kind(
    error="generalization_error",
    cell=("run", "frozen_bit", "learning_rate", "init_scale"),
    scale_words="½ Var f where nothing is frozen",
    of_scale=False,
)
_CLASSIFICATION = _Kind(
    error="iid_error",
    cell=("run", "aggregation", "complexity", "withheld", "samples", "learning_rate", "init_scale"),
    scale_words="the error of the best constant guess",
    of_scale=True,
)


@dataclass(frozen=True)
class Agreement:
    """How far fresh errors are from kept ones.

    `replicas` were compared, `kept` are the results' own, `identical` of them without any
    difference. Relative to the kept ones, `largest` is the largest difference of a replica, at
    `where`, and `largest_mean` that of a mean over seeds, at `where_mean`. `moved` is the largest
    difference of a mean over its tolerance, at `where_moved`. `scale_words` say what the share of
    the tolerance is of.
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
    scale_words: str = _HALF_LOSSES.scale_words

    @property
    def holds(self) -> bool:
        """Whether all replicas were compared and all means are within their tolerance."""
        return self.replicas == self.kept and self.largest < np.inf and self.moved <= 1


def agreement(fresh: pd.DataFrame, kept: pd.DataFrame) -> Agreement | None:
    """Compare two tables of replicas (replicas.csv); None where they have no replica in common.

    Replicas are the same where run (which holds the digits of the configuration) and name are.
    One that diverged in one table only counts as an infinite difference. Tables of classification
    have the column iid_error; their differences are shares of the error of the best constant guess.
    """
    kind = _CLASSIFICATION if _CLASSIFICATION.error in kept else _HALF_LOSSES
    error, fresh_error = kind.error, f"{kind.error}_fresh"
    both = kept.merge(fresh[[*_KEY, error]], on=_KEY, suffixes=("", "_fresh"))
    if both.empty:
        return None
    units = both[_SCALE] if kind.of_scale else both[error]
    differences = _relative(both[error], both[fresh_error], units)
    rows = []
    names = [name for name in kind.cell if name in both]
    for key, cell in both.groupby(names, dropna=False, sort=False):
        before, after = (float(cell[name].mean()) for name in (error, fresh_error))
        low, high = statistics.mean_interval(cell[error].to_numpy())
        scale = cell[_SCALE].iloc[0] if _SCALE in cell else np.nan
        tolerance = np.fmax((high - low) / 2, TOLERANCE * np.fmax(abs(before), scale))
        place = _place(dict(zip(names, key, strict=True)))
        rows.append((place, before, after, tolerance, scale if kind.of_scale else before))
    means = pd.DataFrame(rows, columns=["place", "before", "after", "tolerance", "unit"])
    mean_differences = _relative(means["before"], means["after"], means["unit"])
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
        scale_words=kind.scale_words,
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
        f"{found.scale_words}): {verdict}"
    )


def _relative(kept: pd.Series, fresh: pd.Series, unit: pd.Series) -> pd.Series:
    difference = ((fresh - kept) / unit).abs().where(fresh != kept, 0.0)
    both_diverged = kept.isna() & fresh.isna()
    return difference.fillna(float("inf")).mask(both_diverged, 0.0)


def _place(cell: dict[str, object]) -> str:
    """Return the name of a cell: its run, its frozen bit or its task, and its number of samples."""
    words = (
        ("frozen_bit", "bit{:g}"),
        ("aggregation", "{}"),
        ("complexity", "m{:g}"),
        ("withheld", "withheld{:g}"),
        ("samples", "samples{:.0f}"),
    )
    known = {name: value for name, value in cell.items() if not pd.isna(value)}
    parts = [text.format(known[name]) for name, text in words if name in known]
    return " ".join([str(cell["run"]), *parts])
