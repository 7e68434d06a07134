"""Whether two people got the same tables: fresh results beside those kept in the repository."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pvr_jax.reporting.labels import joined
from pvr_jax.reporting.table_agreement import (
    LOOSE,
    ROUNDING,
    TOLERANCE,
    judged,
    measures_of,
    of_table,
    place,
    varied,
)
from pvr_jax.results import statistics

REPLICAS_FILE = "replicas.csv"

SHOWN_PLACES = 3

_SCALE = "constant_error"
_KEY = ["run", "replica"]
# What is given, not measured: all other numbers of replicas.csv are compared.
_GIVEN = {
    *_KEY,
    _SCALE,
    "aggregation",
    "complexity",
    "diverged_at",
    "exact",
    "frozen_bit",
    "init_scale",
    "leap",
    "learning_rate",
    "n",
    "samples",
    "seed",
    "seen_fraction",
    "step",
    "withheld",
}
# Texts of several numbers, each of which is a measure.
_LISTS = ("stage_iterations",)
# Numbers that may be infinite, for never; compared by their reciprocals, where never is 0.
_WAITING = ("samples_to_95",)


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
    """How far fresh results are from kept ones.

    `replicas` were compared, `kept` are the results' own, `missing` the names of those that the
    fresh ones lack and `one_sided` of those that diverged on one side only; `identical` have no
    difference in any measure. Relative to the kept ones, `largest` is the largest difference of a
    replica's error, at `where`, and `largest_mean` that of a mean over seeds, at `where_mean`. In
    `cells` cells `measures` were compared (those of replicas.csv and of the other tables), the
    error being one of them, `lacking` being those that only the kept results have. Of `means` that
    were compared, `disagreeing` are the places of those whose difference is shown; `loose` of them
    could hardly have disagreed, as their interval is wider than a quarter of the kept mean, and
    `alone` have no interval, as they are of one replica, or exact. `left_out` rows of other tables
    were not compared, being of runs with replicas that are missing. `scale_words` say what the
    share of the tolerance is of.
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
    measures: int = 1
    cells: int = 0
    missing: tuple[str, ...] = ()
    one_sided: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    left_out: int = 0
    scale_words: str = _HALF_LOSSES.scale_words

    @property
    def holds(self) -> bool:
        """Whether all replicas and measures were compared, and no difference of means is shown."""
        whole = self.replicas == self.kept and self.largest < np.inf
        return whole and not (self.disagreeing or self.one_sided or self.lacking or self.left_out)


def agreement(
    fresh: pd.DataFrame,
    kept: pd.DataFrame,
    others: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]] | None = None,
) -> Agreement | None:
    """Compare two tables of replicas (replicas.csv); None where they have no replica in common.

    Replicas are the same where run (which holds the digits of the configuration) and name are. All
    their measures are compared, means over the replicas that have a value on both sides. One that
    diverged in one table only counts as an infinite difference. Tables of classification have the
    column iid_error; their differences are shares of the error of the best constant guess.
    `others` are the study's other tables by file name, each fresh and kept, of which only the
    measures that replicas.csv does not have are compared.
    """
    kind = _CLASSIFICATION if _CLASSIFICATION.error in kept else _HALF_LOSSES
    kept, fresh = _with_lists(kept), _with_lists(fresh)
    measures = [kind.error, *(name for name in measures_of(kept, _GIVEN) if name != kind.error)]
    lacking = [name for name in measures if name not in fresh and kept[name].notna().any()]
    measures = [name for name in measures if name in fresh]
    whole = kept.merge(
        fresh[[*_KEY, *measures]], "left", _KEY, suffixes=("", "_fresh"), indicator="side"
    )
    both, gone = whole[whole["side"] == "both"], whole[whole["side"] != "both"]
    if both.empty:
        return None
    names = both["run"] + " " + both["replica"]
    error, fresh_error = both[kind.error], both[f"{kind.error}_fresh"]
    differences = _relative(error, fresh_error, both[_SCALE] if kind.of_scale else error)
    one_sided = error.isna() != fresh_error.isna()
    compared = [row for name in measures for row in _of_replicas(whole, name, kind)]
    apart = {*gone["run"], *both["run"][one_sided]}
    left_out = 0
    for name, (fresh_table, kept_table) in (others or {}).items():
        found = of_table(name, fresh_table, kept_table, {*measures, *lacking}, apart)
        compared += found.means
        lacking += found.lacking
        left_out += found.left_out
    means = pd.DataFrame(compared)
    errors = means[means["measure"] == kind.error]
    mean_differences = _relative(errors["before"], errors["after"], errors["unit"])
    at, at_mean = differences.idxmax(), mean_differences.idxmax() if len(errors) else None
    same = [_same(both[name], both[f"{name}_fresh"]) for name in measures]
    return Agreement(
        replicas=len(both),
        kept=len(kept),
        identical=int(np.all(same, axis=0).sum()),
        largest=float(differences[at]),
        where=names[at],
        largest_mean=math.nan if at_mean is None else float(mean_differences[at_mean]),
        where_mean="" if at_mean is None else errors.at[at_mean, "place"],
        means=len(means),
        disagreeing=tuple(
            row.place if row.measure == kind.error else f"{row.place}: {row.measure}"
            for row in means[~means["agree"]].itertuples()
        ),
        loose=int(means["loose"].sum()),
        alone=int(means["alone"].sum()),
        measures=means["measure"].nunique(),
        cells=means["place"].nunique(),
        missing=tuple(gone["run"] + " " + gone["replica"]),
        one_sided=tuple(names[one_sided]),
        lacking=tuple(lacking),
        left_out=left_out,
        scale_words=kind.scale_words,
    )


def _with_lists(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of replicas with a column of its own for every number of a text of several."""
    for name in _LISTS:
        if name in table:
            parts = table[name].astype("string").str.split(expand=True).astype(float)
            table = table.join(parts.rename(columns=lambda i, name=name: f"{name} {i + 1}"))
    return table


def _of_replicas(whole: pd.DataFrame, measure: str, kind: _Kind) -> Iterator[dict[str, object]]:
    """Compare the mean of a measure in every cell, of replicas that have it on both sides.

    Where some of them are missing or diverged on one side, one that is left may be anywhere within
    the spread of its cell: without an interval that cell is not judged.
    """
    names = [name for name in kind.cell if name in whole]
    constant = {"learning_rate", "init_scale"} - {*varied(whole)}
    is_error = measure.endswith(("_error", "_accuracy"))
    of_scale = kind.of_scale and is_error
    largest = _comparable(measure, whole[measure]).abs().max()
    columns = (measure, f"{measure}_fresh")
    for key, cell in whole.groupby(names, dropna=False, sort=False):
        values = np.array([_comparable(measure, cell[name]).to_numpy(float) for name in columns])
        counted = cell[[kind.error, f"{kind.error}_fresh"]].notna().all(axis=1).to_numpy()
        there = counted & np.isfinite(values).any(axis=0)
        before, after = values[:, there]
        if not there.any():
            continue  # nothing is measured here, or nothing is left to compare
        means = [float(statistics.mean(side)) for side in (before, after)]
        scale = cell[_SCALE].iloc[0] if _SCALE in cell and is_error else np.nan
        unit = scale if of_scale else means[0]
        allowed = TOLERANCE * np.fmax(abs(means[0]), scale) + ROUNDING * largest
        found = _compared(before, after, allowed, unit)
        if found["alone"] and there.sum() < np.isfinite(values[0]).sum():
            found["agree"] = True
        if (np.isnan(before) != np.isnan(after)).any():
            found["agree"] = False
        shown = {name: part for name, part in zip(names, key, strict=True) if name not in constant}
        yield {
            "place": place(shown),
            "measure": measure,
            "before": means[0],
            "after": means[1],
            "unit": unit,
            **found,
        }


def _comparable(measure: str, values: pd.Series) -> pd.Series:
    values = values.astype(float)
    return 1 / values if measure in _WAITING else values


def _compared(
    before: np.ndarray, after: np.ndarray, allowed: float, unit: float
) -> dict[str, bool]:
    """Compare the means of kept and fresh values [R] of one cell.

    `agree`: their difference is `allowed`, or its interval by Welch holds 0; `loose`: that interval
    is so wide, in shares of `unit`, that it hardly could not; `alone`: there is no interval.
    """
    difference = abs(float(statistics.mean(after)) - float(statistics.mean(before)))
    interval = statistics.difference_interval(before, after)
    return judged(np.array_equal(before, after), difference, allowed, interval, unit)


def compare_files(fresh: Path, kept: Path) -> str:
    """Return one line on how far a report's tables are from kept ones.

    Given are the two replicas.csv; the other tables lie beside them.
    """
    others = {}
    for path in sorted(kept.parent.glob("*.csv")):
        if path.name != kept.name:
            like = fresh.with_name(path.name)
            others[path.name] = (
                pd.read_csv(like) if like.is_file() else pd.DataFrame(),
                pd.read_csv(path),
            )
    return render_agreement(agreement(pd.read_csv(fresh), pd.read_csv(kept), others))


def render_agreement(found: Agreement | None) -> str:
    """Return one line on how far fresh results are from the kept ones."""
    if found is None:
        return "kept results: none of these runs is among them; nothing was compared"
    incomplete = [
        f"{words} ({_listed(names)})"
        for words, names in (
            ("replicas are missing", found.missing),
            ("replicas diverged on one side only", found.one_sided),
            ("measures are missing", found.lacking),
        )
        if names
    ]
    if found.left_out:
        incomplete.append(f"{found.left_out} rows of other tables have no counterpart")
    if np.isinf(found.largest) and not found.one_sided:
        incomplete.append(f"an error is infinite, or 0 on one side only ({found.where})")
    if found.disagreeing:
        verdict = "; ".join([f"they do NOT agree ({_listed(found.disagreeing)})", *incomplete])
    elif incomplete:
        verdict = f"what was compared agrees, but {joined(incomplete)}"
    else:
        verdict = "they agree"
    return (
        f"kept results: {found.replicas} of {found.kept} replicas compared, {found.identical} with "
        f"the same digits; the largest difference of an error is {found.largest:.2%} "
        f"({found.where}), of a mean over seeds {found.largest_mean:.2%} ({found.where_mean}); "
        "two means agree where the 95 % interval of their difference (Welch) holds 0, or within "
        f"{TOLERANCE:.0%}, errors within {TOLERANCE:.0%} (of {found.scale_words}): {verdict}; "
        f"{found.measures} measures were compared in {found.cells} cells: of {found.means} means "
        f"{found.loose} could hardly have disagreed, as that interval is wider than ±{LOOSE:.0%}, "
        f"and {found.alone} have none"
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_PLACES
    return ", ".join(names[:SHOWN_PLACES]) + (f" and {more} more" if more > 0 else "")


def _same(kept: pd.Series, fresh: pd.Series) -> pd.Series:
    return (kept == fresh) | (kept.isna() & fresh.isna())


def _relative(kept: pd.Series, fresh: pd.Series, unit: pd.Series) -> pd.Series:
    difference = ((fresh - kept) / unit).abs().where(fresh != kept, 0.0)
    return difference.fillna(float("inf")).mask(_same(kept, fresh), 0.0)
