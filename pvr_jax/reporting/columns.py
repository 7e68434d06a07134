"""Columns of tables: statistics of a group of replicas, as text and as numbers.

A column maps the rows of a group, such as the replicas of one cell, to a `Cell`. The `Context` has
the descriptions of variables, and the scales of their intervals.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy  # loads scipy.stats, which takes long, where it is used

from pvr_jax.reporting import numbers
from pvr_jax.results import Measure, statistics, verdicts
from pvr_jax.results.statistics import Scale
from pvr_jax.results.verdicts import Decision

Group = pd.DataFrame


@dataclass(frozen=True)
class Context:
    """Descriptions of the names in a table: measures and coordinates of replicas."""

    measures: Mapping[str, Measure]
    coordinates: Sequence[str]

    def measure(self, name: str) -> Measure:
        """Return the description of a name; for an undescribed column, the name alone."""
        return self.measures.get(name) or Measure(name.replace("_", " "))

    def cells(self, group: Group) -> list[str]:
        """Return the coordinates that vary within a group, except the seed."""
        own = [n for n in self.coordinates if n in group and n not in NOT_SETTINGS]
        return [name for name in own if group[name].nunique(dropna=False) > 1]


# Columns that identify a replica, or its end, rather than its setting.
NOT_SETTINGS = ("run", "replica", "seed", "diverged_at", "size")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, and the numbers behind it.

    `values` are the columns of a CSV file, by suffix; "" is the value itself, by which a page
    sorts.
    """

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sort(self) -> Any:
        """The value by which the table is sorted."""
        return self.values.get("", self.text)

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds of its interval, or NaN."""
        return self.values.get("_low", math.nan), self.values.get("_high", math.nan)


@dataclass(frozen=True)
class Column:
    """A statistic of a group of replicas.

    Args:
        name: name of its values in files.
        cell: computes it from a group.
        of: the variables it uses, whose definitions explain it.
        about: its explanation, if the definitions are not enough.
    """

    name: str
    cell: Callable[[Group, Context], Cell]
    of: tuple[str, ...] = ()
    about: str = ""


# Maps the cells of a row, by name, to a sentence.
Verdict = Callable[[Mapping[str, Cell]], str]
# Maps a group and its cell to a mark such as " ↑".
Mark = Callable[[Group, Context, Cell], str]


def mean(
    name: str,
    where: str = "",
    *,
    digits: int = 4,
    decimals: int | None = None,
    per: str = "",
    percent: bool = False,
    mark: Mark | None = None,
    values: bool = True,
) -> Column:
    """The mean over replicas with its 95 % interval, on the scale of its quantity.

    If the group has several cells, such as frozen bits, the mean is over cells and its interval
    over seeds. A study that kept only `<name>_mean`, `<name>_low` and `<name>_high` shows these.

    Args:
        name: the variable.
        where: a Boolean column; only these replicas count.
        digits: significant digits of the mean.
        decimals: decimals, instead of `digits`.
        per: a column to divide by, such as the influence.
        percent: show 100 times the value.
        mark: a mark to append, such as `against("influence")`.
        values: show the values of seeds as well, if the mean alone would mislead.
    """

    def cell(group: Group, context: Context) -> Cell:
        scale = "positive" if per else context.measure(name).scale
        kept = [f"{name}_{part}" for part in ("mean", "low", "high")]
        is_kept = set(kept) <= set(group)
        empty = group.assign(**{name: math.nan}) if name not in group else group
        grid = values_by_cell(empty, name, context, where, per)
        center = statistics.mean_over_cells(grid)
        if is_kept and math.isnan(center):
            center, low, high = (float(group[part].iloc[0]) for part in kept)
        elif len(grid) > 1:
            low, high = statistics.interval_over_seeds(grid, scale)
        else:
            low, high = (float(bound[0]) for bound in statistics.mean_interval(grid, scale))
        factor = 100 if percent else 1
        shown = [factor * part for part in (center, low, high)]
        text = numbers.interval(*shown, digits=digits, decimals=decimals)
        if values and math.isfinite(center):
            text += numbers.seeds(factor * statistics.seed_means(grid))
        found = Cell(text, {"": center, "_low": low, "_high": high})
        return _marked(found, mark, group, context)

    return Column(f"{name}_{where}" if where else name, cell, (name,))


def values_by_cell(
    group: Group, name: str, context: Context, where: str = "", per: str = ""
) -> np.ndarray:
    """Return the values of a group, [cells, seeds] by seed, NaN if missing or not counted."""
    values = group[name].astype(float)
    values = values / group[per].astype(float) if per else values
    values = values.where(group[where].eq(True)) if where else values
    cells = context.cells(group)
    if "seed" not in group:
        return values.to_numpy()[None]
    if not cells:
        return values.to_numpy()[None, np.argsort(group["seed"].to_numpy(), kind="stable")]
    table = group[cells].assign(seed=group["seed"], value=values)
    codes = table.groupby(cells, dropna=False, sort=False).ngroup()
    return table.assign(cell=codes).pivot(index="cell", columns="seed", values="value").to_numpy()


def smallest(names: Mapping[str, str], per: str = "", column: str = "least") -> Column:
    """The smallest of several paired quantities, and those not significantly different from it.

    For as many rows at once as the column `comparisons` says; one if there is none.

    Args:
        names: the name of every quantity, by column; columns that the data lack are left out.
        per: see `mean`.
        column: its name in files.
    """

    def cell(group: Group, context: Context) -> Cell:
        grids = {n: values_by_cell(group, n, context, per=per) for n in names if n in group}
        rows = int(group["comparisons"].iloc[0]) if "comparisons" in group else 1
        found, means = verdicts.least(grids, rows, looks_of(group))
        if not found:
            return Cell(numbers.MISSING)
        if len(found) == len(means):
            return Cell("no significant difference")
        return Cell(" or ".join(names[name] for name in found))

    about = (
        "The smallest mean, and all that do not differ significantly from it, by paired intervals "
        "over seeds that hold for all rows at once."
    )
    return Column(column, cell, about=about)


def _marked(cell: Cell, mark: Mark | None, group: Group, context: Context) -> Cell:
    return replace(cell, text=cell.text + mark(group, context, cell)) if mark else cell


def against(level: str | float, unfitted: str = "") -> Mark:
    """A mark: ↑ or ↓ if the interval excludes a level, † if the fit is not finished.

    Args:
        level: a number, or a column.
        unfitted: a Boolean column.
    """

    def mark(group: Group, context: Context, cell: Cell) -> str:
        if unfitted and group[unfitted].eq(True).any():
            return " †"
        at = float(group[level].iloc[0]) if isinstance(level, str) else level
        return ARROWS.get(statistics.against(*cell.bounds, at), "")

    return mark


ARROWS = {"above": " ↑", "below": " ↓"}


def judged(
    group: Group,
    values: np.ndarray,
    level: float = 0.0,
    scale: Scale = "real",
    margin: float = 0.0,
) -> Decision:
    """Compare the mean of `values` [cells, seeds] of a group with a level.

    Returns:
        The decision of `verdicts.decide`, for as many rows at once as the column `comparisons`
        says; "unfinished" where the column of this name is true.
    """
    if group["unfinished"].eq(True).any():
        return Decision("unfinished", values.shape[-1])
    comparisons = int(group["comparisons"].iloc[0])
    return verdicts.decide(values, level, margin, comparisons, looks_of(group), scale)


def looks_of(group: Group) -> tuple[int, ...]:
    """Return the planned looks of a group, from the column `looks`; none in a fixed design."""
    planned = map(verdicts.looks_of, group["looks"].unique() if "looks" in group else ())
    return max(planned, key=lambda looks: looks[-1:], default=())


def read(name: str, otherwise: str, level: float = 0.0, **verdicts: str) -> Verdict:
    """A verdict on the interval of a cell: `above`, `below` or `inside` a level.

    Args:
        name: name of the cell.
        otherwise: the verdict in any other case.
        level: the level to compare with.
        verdicts: the verdict by case.
    """
    return lambda cells: verdicts.get(statistics.against(*cells[name].bounds, level), otherwise)


def exact(name: str) -> Column:
    """A value that all replicas of the group share, such as an exact fact about the target."""

    def cell(group: Group, context: Context) -> Cell:
        found = group[name].dropna().unique()
        value = found[0] if len(found) else math.nan
        text = value if isinstance(value, str) else numbers.exact_value(float(value))
        return Cell(text, {"": value})

    return Column(name, cell, (name,))


def number(
    name: str,
    digits: int = 4,
    decimals: int | None = None,
    per: str = "",
    about: str = "",
    percent: bool = False,
    mark: Mark | None = None,
) -> Column:
    """The mean over replicas, without an interval; `percent` shows 100 times the value."""

    def cell(group: Group, context: Context) -> Cell:
        value = statistics.mean_over_cells(values_by_cell(group, name, context, per=per))
        shown = 100 * value if percent else value
        plain = decimals is not None and math.isfinite(value)
        text = f"{shown:.{decimals}f}" if plain else numbers.number(shown, digits)
        return _marked(Cell(text, {"": value}), mark, group, context)

    return Column(name, cell, (name,), about)


def estimate(name: str, decimals: int, percent: bool = False) -> Column:
    """A value shared by the group, with the interval in the columns `<name>_low` and `_high`.

    An exact value, whose interval has no width, is shown alone.
    """

    def cell(group: Group, context: Context) -> Cell:
        found = group[[name, f"{name}_low", f"{name}_high"]].drop_duplicates().iloc[0]
        center, low, high = map(float, found)
        factor = 100 if percent else 1
        text = numbers.interval(factor * center, factor * low, factor * high, decimals=decimals)
        text = text.split(" [")[0] if low == high else text
        return Cell(text, {"": center, "_low": low, "_high": high})

    return Column(name, cell, (name,))


def count(*conditions: str) -> Column:
    """The number of replicas that meet each condition: "9 of 10", or "9, 10 of 10".

    Conditions are Boolean columns; replicas with a missing value are not counted.
    """

    def cell(group: Group, context: Context) -> Cell:
        known = [group[name].dropna() for name in conditions]
        counts, wholes = [int(k.astype(bool).sum()) for k in known], [len(k) for k in known]
        if len(set(wholes)) == 1:
            text = f"{', '.join(map(str, counts))} of {wholes[0]}"
        else:
            text = ", ".join(f"{a} of {b}" for a, b in zip(counts, wholes, strict=True))
        values = {"": counts[0], "_of": wholes[0]}
        if len(counts) > 1:
            values = {}
            for name, part, whole in zip(conditions, counts, wholes, strict=True):
                values |= {f"_{name}": part, f"_{name}_of": whole}
        return Cell(text, values)

    return Column("count" if len(conditions) > 1 else conditions[0], cell, conditions)


def ratio(first: str, second: str, *, digits: int = 4) -> Column:
    """The geometric mean over replicas of first / second, with the interval of the mean logarithm.

    Counts only replicas for which both are finite and positive.
    """

    def cell(group: Group, context: Context) -> Cell:
        a, b = (group[name].to_numpy(float) for name in (first, second))
        with np.errstate(all="ignore"):
            logs = np.log(np.where(np.isfinite(a) & np.isfinite(b), a / b, math.nan))
        bounds = (statistics.mean(logs), *statistics.mean_interval(logs))
        center, low, high = (float(np.exp(bound)) for bound in bounds)
        text = numbers.interval(center, low, high, digits) + numbers.seeds(np.exp(logs), True)
        used = int(np.isfinite(logs).sum())
        return Cell(text, {"": center, "_low": low, "_high": high, "_seeds": used})

    return Column(f"{first}_per_{second}", cell, (first, second))


def sign_test(smaller: str, larger: str) -> Column:
    """The number of replicas in which the first is smaller, without ties."""

    def cell(group: Group, context: Context) -> Cell:
        less, compared, p = sign_test_of(group, smaller, larger)
        return Cell(f"{less} of {compared}", {"": less, "_of": compared, "_p": p})

    return Column(f"{smaller}_smaller", cell, (smaller, larger))


def sign_test_p(smaller: str, larger: str) -> Column:
    """The p-value of the exact two-sided sign test of the two columns."""

    def cell(group: Group, context: Context) -> Cell:
        p = sign_test_of(group, smaller, larger)[2]
        return Cell(numbers.p_value(p), {"": p})

    return Column(f"{smaller}_p", cell, (smaller, larger))


def sign_test_of(group: Group, first: str, second: str) -> tuple[int, int, float]:
    """Return how often the first is smaller, the number of untied pairs, and p (NaN if none)."""
    a, b = (group[name].to_numpy(float) for name in (first, second))
    less, more = int(np.sum(a < b)), int(np.sum(a > b))
    p = scipy.stats.binomtest(less, less + more).pvalue if less + more else math.nan
    return less, less + more, float(p)


def correlation(first: str, second: str, digits: int = 2, together: str = "") -> Column:
    """Spearman's rank correlation over the rows of the group, with its interval.

    Args:
        first, second: columns.
        digits: decimals.
        together: a column with the number of such intervals that hold jointly with 95 %.
    """

    def cell(group: Group, context: Context) -> Cell:
        a, b = (group[name].to_numpy(float) for name in (first, second))
        value = statistics.rank_correlation(a, b)
        confidence = statistics.simultaneous(int(group[together].iloc[0]) if together else 1)
        low, high = statistics.rank_correlation_interval(a, b, confidence)
        text = numbers.interval(value, low, high, decimals=digits)
        return Cell(text, {"": value, "_low": low, "_high": high})

    return Column(f"correlation_{first}_{second}", cell, (first, second))
