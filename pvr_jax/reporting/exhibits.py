"""Exhibits: all that a report is made of. Each is a value, made from a study and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from string import Formatter
from typing import Any

import pandas as pd

from pvr_jax.number_text import exact
from pvr_jax.reporting.columns import NOT_SETTINGS, Cell, Column, Context, Group, Verdict
from pvr_jax.reporting.numbers import MISSING
from pvr_jax.results import Measure, Study

# What a table or chart is made of: a row per replica, per step, or per whatever a report derives.
Data = Callable[[Study], pd.DataFrame]
Needs = Sequence[str | Callable[[Study], bool]]


def is_shown(needs: Needs, study: Study) -> bool:
    """Return whether a study has all that an exhibit needs."""
    return all(need in study if isinstance(need, str) else need(study) for need in needs)


def needing(need: str | Callable[[Study], bool], exhibits: Sequence[Any]) -> list[Any]:
    """Return exhibits that need one thing more."""
    return [replace(exhibit, needs=(need, *exhibit.needs)) for exhibit in exhibits]


def final(study: Study) -> pd.DataFrame:
    """The data of most exhibits: a row per replica."""
    return study.final()


def context_of(study: Study, measures: Mapping[str, Measure] | None = None) -> Context:
    """Return what is known of the names in a study and of those that a report derives."""
    return Context({**study.measures, **(measures or {})}, study.coordinates)


@dataclass(frozen=True)
class Made:
    """A table that is made: cells by heading, the first `keys` of which say what a row is of."""

    title: str
    headings: Sequence[str]
    about: Sequence[str]  # of every heading: what it says
    names: Sequence[str]  # of every heading: its columns in files begin with it
    rows: Sequence[Sequence[Cell]]
    keys: int
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The numbers, as in a CSV file."""
        return pd.DataFrame(
            [
                {
                    f"{name}{ending}": value
                    for name, cell in zip(self.names, row, strict=True)
                    for ending, value in (cell.values or {"": cell.text}).items()
                }
                for row in self.rows
            ]
        )


@dataclass(frozen=True)
class Table:
    """A row per setting, a column per statistic of its replicas.

    Rows that differ in a coordinate are never merged: coordinates that vary are columns of their
    own, except those it is taken `over`.

    Args:
        name: of its files.
        title: above it.
        columns: heading -> statistic.
        rows: columns of the data that are shown in any case, first.
        over: coordinates over which statistics are taken, besides the seed.
        data: what makes the frame.
        notes: below it.
        brief: headings that a terminal shows; all where none are given.
        needs: measures, coordinates or dimensions, or functions that say of a study whether it has
            what the exhibit shows; a study that lacks one has no such exhibit.
        lean: whether statistics that no row has are left out.
    """

    name: str
    title: str
    columns: Mapping[str, Column] = field(default_factory=dict)
    rows: Sequence[str] = ()
    over: Sequence[str] = ()
    data: Data = final
    notes: Sequence[str] = ()
    brief: Sequence[str] = ()
    needs: Needs = ()
    lean: bool = False

    def make(self, study: Study, context: Context) -> Made:
        """Compute every cell."""
        frame = self.data(study)
        keys = settings(frame, context, self.rows, self.over)
        return made(self, frame, keys, self.columns, context)


@dataclass(frozen=True)
class Pivot(Table):
    """A table with one more column per value of a coordinate, such as the model.

    Args:
        across: the coordinate.
        cell: the statistic of each of these columns, which come last; a dash where a row has no
            replica of a value.
        heading: of them, with {} for the value.
    """

    _: KW_ONLY
    across: str
    cell: Column
    heading: str = "{}"

    def make(self, study: Study, context: Context) -> Made:
        """Compute every cell."""
        frame = self.data(study)
        values = frame[self.across].drop_duplicates() if len(frame) else ()
        across = {self.heading.format(shown(value)): self._of(value) for value in values}
        keys = settings(frame, context, self.rows, (*self.over, self.across))
        return made(self, frame, keys, {**self.columns, **across}, context)

    def _of(self, value: object) -> Column:
        def cell(group: Group, context: Context) -> Cell:
            own = group[group[self.across] == value]
            return self.cell.cell(own, context) if len(own) else Cell(MISSING)

        return Column(f"{self.cell.name}_{shown(value)}", cell, self.cell.of, self.cell.about)


@dataclass(frozen=True)
class Finding:
    """A sentence per row of a table: a template, filled with statistics.

    Args:
        template: with {coordinate}, {statistic}, and {verdict}.
        values: statistic by its name in the template.
        verdict: answers from the cells of a row, by name, what they show.
    """

    template: str
    values: Mapping[str, Column]
    verdict: Verdict = lambda cells: ""
    rows: Sequence[str] = ()
    over: Sequence[str] = ()
    data: Data = final
    needs: Needs = ()

    def make(self, study: Study, context: Context) -> list[str]:
        """Return the sentences."""
        frame = self.data(study)
        keys = settings(frame, context, self.rows, self.over)
        sentences = []
        named = {name for _, name, _, _ in Formatter().parse(self.template) if name}
        for group in groups(frame, keys) if len(frame) else []:
            shown_names = dict.fromkeys([*keys, *(name for name in named if name in frame)])
            cells = {name: Cell(shown(group[name].iloc[0])) for name in shown_names}
            cells |= {name: column.cell(group, context) for name, column in self.values.items()}
            texts = {name: cell.text for name, cell in cells.items()}
            where = [
                f"{context.measure(key).long_name} {texts[key]}" for key in keys if key not in named
            ]
            sentence = self.template.format(**texts, verdict=self.verdict(cells))
            sentences.append(": ".join(filter(None, [", ".join(where), sentence])))
        return sentences


@dataclass(frozen=True)
class Text:
    """A reading in words."""

    words: str
    needs: Needs = ()

    def make(self, study: Study, context: Context) -> list[str]:
        """Return the reading."""
        return [self.words]


@dataclass(frozen=True)
class Images:
    """Examples, as HTML that an experiment renders: images of inputs, and what was made of them.

    Args:
        name: an anchor of the page.
        title: above them.
        render: the HTML, which loads nothing, of a study.
    """

    name: str
    title: str
    render: Callable[[Study], str]
    needs: Needs = ()


def settings(
    frame: pd.DataFrame, context: Context, rows: Sequence[str], over: Sequence[str]
) -> list[str]:
    """Return the columns that tell the rows of a table apart: those given, and all that vary."""
    known = [name for name in context.coordinates if name in frame and name not in NOT_SETTINGS]
    varying = [n for n in known if n not in (*rows, *over) and frame[n].nunique(dropna=False) > 1]
    return [*varying, *rows]


def beside(frame: pd.DataFrame, baseline: pd.Series, along: str, context: Context) -> pd.DataFrame:
    """Return every row that is not of the baseline, with the baseline's values of the same seed.

    Rows belong together where all their coordinates but `along` are the same. A seed that one side
    lacks has missing values there.

    Args:
        frame: a row per replica.
        baseline: which rows are, bool per row.
        along: the coordinate that tells the baseline from the others.
        context: which names coordinates.

    Returns:
        The columns of the frame, and those of the baseline with the ending `_baseline`.
    """
    known = [n for n in context.coordinates if n in frame and n not in (*NOT_SETTINGS, along)]
    keys = [*known, "seed"]
    others, base = frame[~baseline], frame[baseline]
    found = []
    for value in sorted_values(others[along]):
        own = others[others[along] == value]
        there = own[known].drop_duplicates().merge(base, on=known, how="inner")
        own = own.merge(there[known].drop_duplicates(), on=known, how="inner")
        both = own.merge(there, on=keys, how="outer", suffixes=("", "_baseline"))
        found.append(both.assign(**{along: value}))
    return pd.concat(found, ignore_index=True) if found else frame.iloc[:0]


def sorted_values(column: pd.Series) -> list[Any]:
    """Return the values of a column: numbers ascending, texts in their order."""
    values = column.drop_duplicates()
    return (values.sort_values() if pd.api.types.is_numeric_dtype(values) else values).tolist()


def groups(frame: pd.DataFrame, keys: Sequence[str]) -> list[pd.DataFrame]:
    """Return the rows of a frame by their keys: numbers ascend, texts keep their order."""
    if not keys:
        return [frame]
    frame = frame.reset_index(drop=True)  # rows may have come together from several frames
    places = pd.DataFrame(index=frame.index)
    for key in keys:
        column = frame[key]
        is_text = not pd.api.types.is_numeric_dtype(column)
        places[key] = pd.factorize(column)[0] if is_text else column
    order = places.sort_values(list(keys), kind="stable").index
    codes = places.groupby(list(keys), dropna=False, sort=True).ngroup()
    return [group for _, group in frame.loc[order].groupby(codes.loc[order], sort=True)]


def shown(value: object) -> str:
    """Return a coordinate as text; a missing one, such as the bit of no frozen bit, is a dash."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return MISSING
    whole = float(value).is_integer() and abs(value) < 1e15
    return f"{value:.0f}" if whole else exact(float(value))


def made(
    table: Table,
    frame: pd.DataFrame,
    keys: Sequence[str],
    columns: Mapping[str, Column],
    context: Context,
) -> Made:
    """Compute a table: a row per group of the keys.

    A column of variables that the frame lacks is left out; of some, a study kept the mean alone.
    """
    there = {*frame, *(name.removesuffix("_mean") for name in frame)}
    columns = {h: c for h, c in columns.items() if there.issuperset(c.of)}
    rows = groups(frame, keys) if len(frame) else []
    cells = {h: [column.cell(row, context) for row in rows] for h, column in columns.items()}
    if table.lean:
        columns = {h: c for h, c in columns.items() if any(x.text != MISSING for x in cells[h])}
    firsts = [[Cell(shown(row[k].iloc[0]), {"": row[k].iloc[0]}) for row in rows] for k in keys]
    about = [context.measure(key).description for key in keys]
    about += [
        c.about or context.measure(next(iter(c.of), "")).description for c in columns.values()
    ]
    return Made(
        title=table.title,
        headings=[*(context.measure(key).long_name for key in keys), *columns],
        about=about,
        names=[*keys, *(column.name for column in columns.values())],
        rows=list(zip(*firsts, *(cells[heading] for heading in columns), strict=True)),
        keys=len(keys),
        notes=tuple(table.notes),
    )
