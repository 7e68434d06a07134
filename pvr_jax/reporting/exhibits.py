"""Exhibits, the parts of a report. Each is a value, made from a study alone."""

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

# Makes the frame of a table or chart from a study: a row per replica, per step, ….
Data = Callable[[Study], pd.DataFrame]
Needs = Sequence[str | Callable[[Study], bool]]


def is_shown(needs: Needs, study: Study) -> bool:
    """Return whether a study has everything that an exhibit needs."""
    return all(need in study if isinstance(need, str) else need(study) for need in needs)


def needing(need: str | Callable[[Study], bool], exhibits: Sequence[Any]) -> list[Any]:
    """Return exhibits with an additional need."""
    return [replace(exhibit, needs=(need, *exhibit.needs)) for exhibit in exhibits]


def final(study: Study) -> pd.DataFrame:
    """The data of most exhibits: a row per replica."""
    return study.final()


def context_of(study: Study, measures: Mapping[str, Measure] | None = None) -> Context:
    """Return the context of a study, with the measures that a report derives."""
    return Context({**study.measures, **(measures or {})}, study.coordinates)


@dataclass(frozen=True)
class Made:
    """A computed table: cells by heading; the first `keys` headings identify a row."""

    title: str
    headings: Sequence[str]
    about: Sequence[str]  # the explanation of every heading
    names: Sequence[str]  # the prefix, in files, of every heading's columns
    rows: Sequence[Sequence[Cell]]
    keys: int
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The numbers, as in the CSV file."""
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

    Rows that differ in a coordinate are never merged: coordinates that vary become columns, except
    those in `over`.

    Args:
        name: name of its files.
        title: its title.
        columns: heading -> statistic.
        rows: columns of the data that come first and are always shown.
        over: coordinates over which statistics are taken, besides the seed.
        data: makes the frame from a study.
        notes: text below it.
        brief: headings for the terminal; by default all.
        needs: measures, coordinates or dimensions that a study must have, or predicates of a study;
            otherwise the exhibit is left out.
        lean: whether to leave out statistics that no row has.
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
    """A table with a further column per value of a coordinate, such as the model.

    Args:
        across: the coordinate.
        cell: the statistic of these columns, which come last; a dash if there is no replica.
        heading: their heading, with {} for the value.
    """

    _: KW_ONLY
    across: str
    cell: Column
    heading: str = "{}"

    def make(self, study: Study, context: Context) -> Made:
        """Compute every cell."""
        frame = self.data(study)
        values = frame[self.across].drop_duplicates() if len(frame) else ()
        across = {
            self.heading.format(format_coordinate(value)): self._of(value) for value in values
        }
        keys = settings(frame, context, self.rows, (*self.over, self.across))
        return made(self, frame, keys, {**self.columns, **across}, context)

    def _of(self, value: object) -> Column:
        def cell(group: Group, context: Context) -> Cell:
            own = group[group[self.across] == value]
            return self.cell.cell(own, context) if len(own) else Cell(MISSING)

        return Column(
            f"{self.cell.name}_{format_coordinate(value)}", cell, self.cell.of, self.cell.about
        )


@dataclass(frozen=True)
class Finding:
    """A sentence per row of a table: a template filled with statistics.

    Args:
        template: contains {coordinate}, {statistic} and {verdict}.
        values: statistics, by name in the template.
        verdict: maps the cells of a row, by name, to the verdict.
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
            cells = {name: Cell(format_coordinate(group[name].iloc[0])) for name in shown_names}
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
    """A paragraph of text."""

    text: str
    needs: Needs = ()

    def make(self, study: Study, context: Context) -> list[str]:
        """Return the paragraph."""
        return [self.text]


@dataclass(frozen=True)
class Images:
    """Examples as HTML rendered by an experiment: images of inputs, and predictions.

    Args:
        name: anchor in the page.
        title: their title.
        render: maps a study to self-contained HTML.
    """

    name: str
    title: str
    render: Callable[[Study], str]
    needs: Needs = ()


def settings(
    frame: pd.DataFrame, context: Context, rows: Sequence[str], over: Sequence[str]
) -> list[str]:
    """Return the columns that distinguish rows of a table: those given, and all that vary."""
    known = [name for name in context.coordinates if name in frame and name not in NOT_SETTINGS]
    varying = [n for n in known if n not in (*rows, *over) and frame[n].nunique(dropna=False) > 1]
    return [*varying, *rows]


def beside(frame: pd.DataFrame, baseline: pd.Series, along: str, context: Context) -> pd.DataFrame:
    """Join every other row with the baseline's row of the same seed.

    Rows match if all their coordinates except `along` are equal. Seeds without a match get missing
    values.

    Args:
        frame: a row per replica.
        baseline: whether each row belongs to the baseline.
        along: the coordinate in which the baseline differs.
        context: names the coordinates.

    Returns:
        The columns of the frame, and those of the baseline with the suffix `_baseline`.
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
    """Return the values of a column: numbers ascending, strings in order of appearance."""
    values = column.drop_duplicates()
    return (values.sort_values() if pd.api.types.is_numeric_dtype(values) else values).tolist()


def groups(frame: pd.DataFrame, keys: Sequence[str]) -> list[pd.DataFrame]:
    """Group the rows of a frame by keys: numbers ascending, strings in order of appearance."""
    if not keys:
        return [frame]
    frame = frame.reset_index(drop=True)  # rows may come from several frames
    sortable = pd.DataFrame(index=frame.index)
    for key in keys:
        column = frame[key]
        is_text = not pd.api.types.is_numeric_dtype(column)
        sortable[key] = pd.factorize(column)[0] if is_text else column
    order = sortable.sort_values(list(keys), kind="stable").index
    codes = sortable.groupby(list(keys), dropna=False, sort=True).ngroup()
    return [group for _, group in frame.loc[order].groupby(codes.loc[order], sort=True)]


def format_coordinate(value: object) -> str:
    """Format a coordinate; a missing one, such as the bit if none is frozen, is a dash."""
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
    """Compute a table with a row per group of the keys.

    Columns whose variables are all missing from the frame are left out.
    """
    there = {*frame, *(name.removesuffix("_mean") for name in frame)}
    columns = {h: c for h, c in columns.items() if there.issuperset(c.of)}
    rows = groups(frame, keys) if len(frame) else []
    cells = {h: [column.cell(row, context) for row in rows] for h, column in columns.items()}
    if table.lean:
        columns = {h: c for h, c in columns.items() if any(x.text != MISSING for x in cells[h])}
    firsts = [
        [Cell(format_coordinate(row[k].iloc[0]), {"": row[k].iloc[0]}) for row in rows]
        for k in keys
    ]
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
