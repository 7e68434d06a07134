"""Whether two people got the same table: fresh results beside those kept in the repository."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pvr_jax.reporting import statistics

REPLICAS_FILE = "replicas.csv"

# Rounding differs between machines, JAX versions and ways to share a device, and training
# amplifies it: a single replica may end elsewhere (README), a table's means may not. Two means
# agree where the 95 % interval of their difference, from the spread of both, holds 0, or where
# they differ by no more than this share of the kept one, as few seeds may happen to lie close
# together. Where nothing is frozen a fitted error is a few thousandths of the scale on which it is
# read, ½ Var f, and one late spike of Adam multiplies it: there the share is of that scale. Of
# classification it always is, the scale being the error of the best constant guess: an accuracy
# near 100 % leaves errors of a few test samples, or none.
TOLERANCE = 0.02
# An interval wider than this share, on either side, agrees with almost anything.
LOOSE = 0.25
SHOWN_PLACES = 3

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
    `where`, and `largest_mean` that of a mean over seeds, at `where_mean`. Of `means` that were
    compared, `disagreeing` are the places of those whose difference is shown; `loose` of them could
    hardly have disagreed, as their interval is wider than a quarter of the kept mean, and `alone`
    have no interval, as they are of one replica. `scale_words` say what the share of the tolerance
    is of.
    """

    replicas: int
    kept: int
    identical: int
    largest: float
    where: str
    largest_mean: float
    where_mean: str
    means: int
    disagreeing: tuple[str, ...]
    loose: int
    alone: int
    scale_words: str = _HALF_LOSSES.scale_words

    @property
    def holds(self) -> bool:
        """Whether all replicas were compared, and no difference of two means is shown."""
        return self.replicas == self.kept and self.largest < np.inf and not self.disagreeing


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
        before, after = (cell[name].to_numpy(float) for name in (error, fresh_error))
        means = [float(statistics.mean(values)) for values in (before, after)]
        scale = cell[_SCALE].iloc[0] if _SCALE in cell else np.nan
        unit = scale if kind.of_scale else means[0]
        rows.append(
            {
                "place": _place(dict(zip(names, key, strict=True))),
                "before": means[0],
                "after": means[1],
                "unit": unit,
                **_compared(before, after, np.fmax(abs(means[0]), scale), unit),
            }
        )
    means = pd.DataFrame(rows)
    mean_differences = _relative(means["before"], means["after"], means["unit"])
    at, at_mean = differences.idxmax(), mean_differences.idxmax()
    return Agreement(
        replicas=len(both),
        kept=len(kept),
        identical=int((differences == 0).sum()),
        largest=float(differences[at]),
        where=f"{both.at[at, 'run']} {both.at[at, 'replica']}",
        largest_mean=float(mean_differences[at_mean]),
        where_mean=means.at[at_mean, "place"],
        means=len(means),
        disagreeing=tuple(means.loc[~means["agree"], "place"]),
        loose=int(means["loose"].sum()),
        alone=int(means["alone"].sum()),
        scale_words=kind.scale_words,
    )


def _compared(before: np.ndarray, after: np.ndarray, scale: float, unit: float) -> dict[str, bool]:
    """Compare the means of kept and fresh errors [R] of one cell.

    `agree`: the tolerance, a share of `scale`, or Welch's interval of their difference allows it;
    `loose`: that interval is so wide, in shares of `unit`, that it hardly could not; `alone`: there
    is no interval.
    """
    difference = abs(float(statistics.mean(after)) - float(statistics.mean(before)))
    low, high = statistics.difference_interval(before, after)
    same = bool(np.array_equal(before, after, equal_nan=True))
    return {
        "agree": same
        or difference <= TOLERANCE * scale
        or statistics.against(low, high, 0.0) == "inside",
        "loose": (high - low) / 2 > LOOSE * abs(unit),
        "alone": not np.isfinite(low),
    }


def compare_files(fresh: Path, kept: Path) -> str:
    """Return one line on how far a report's replicas.csv is from a kept one."""
    return render_agreement(agreement(pd.read_csv(fresh), pd.read_csv(kept)))


def render_agreement(found: Agreement | None) -> str:
    """Return one line on how far fresh results are from the kept ones."""
    if found is None:
        return "kept results: none of these runs is among them; nothing was compared"
    places = ", ".join(found.disagreeing[:SHOWN_PLACES])
    more = len(found.disagreeing) - SHOWN_PLACES
    places += f" and {more} more" if more > 0 else ""
    verdict = "they agree" if found.holds else "replicas are missing, or diverged on one side only"
    verdict = f"they do NOT agree ({places})" if places else verdict
    return (
        f"kept results: {found.replicas} of {found.kept} replicas compared, {found.identical} with "
        f"the same digits; the largest difference of an error is {found.largest:.2%} "
        f"({found.where}), of a mean over seeds {found.largest_mean:.2%} ({found.where_mean}); "
        "two means agree where the 95 % interval of their difference (Welch) holds 0, or within "
        f"{TOLERANCE:.0%} (of {found.scale_words}): {verdict}; of {found.means} means "
        f"{found.loose} could hardly have disagreed, as that interval is wider than ±{LOOSE:.0%}, "
        f"and {found.alone} have none"
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
