"""Rows of exhibits: join with curves, label by what differs, sort naturally."""

import re
from collections.abc import Hashable, Mapping, Sequence

import pandas as pd

from pvr_jax.reporting.exhibits import format_coordinate
from pvr_jax.results import Study


def along(study: Study, own: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Join measures at every coordinate, such as `step`, with the columns of their replica.

    Args:
        study: has the measures.
        own: a row per replica.
        names: measures with the same dimensions.
    """
    curve = study.curve(*names)
    coordinates = [name for name in curve if name not in (*study.coordinates, *names)]
    own = own.drop(columns=[*names, *coordinates], errors="ignore")
    return own.merge(curve[["run", "replica", *coordinates, *names]], on=["run", "replica"])


def labels(
    found: pd.DataFrame,
    names: Sequence[str],
    within: Sequence[str] = (),
    prefixes: Mapping[str, str] | None = None,
    start: pd.Series | None = None,
) -> pd.Series:
    """Return the shortest labels that distinguish rows.

    A column is added to the labels if rows with equal labels differ in it.

    Args:
        found: the rows.
        names: columns, in order; those that the rows lack are ignored.
        within: columns that distinguish rows already.
        prefixes: text before a value, by column, such as "learning rate ".
        start: beginning of the labels, such as the model.
    """
    label = pd.Series("", found.index) if start is None else start
    for name in [name for name in names if name in found]:
        like = [*(found[key] for key in within), label]
        alike = found[name].groupby(like, dropna=False).nunique(dropna=False)
        if alike.max() > 1:
            before = (prefixes or {}).get(name, "")
            values = [
                "" if pd.isna(v) or v == "" else before + format_coordinate(v) for v in found[name]
            ]
            parts = zip(label, values, strict=True)
            label = pd.Series([", ".join(filter(None, own)) for own in parts], found.index)
    return label


def in_order(found: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Sort rows by columns, strings in natural order: 2 before 10."""
    return found.sort_values(list(names), key=_natural_order, kind="stable", ignore_index=True)


def _natural_order(column: pd.Series) -> pd.Series:
    return column.map({v: i for i, v in enumerate(sorted(column.unique(), key=_natural))})


def _natural(value: Hashable) -> tuple:
    parts = re.split(r"(\d+(?:\.\d*)?)", value) if isinstance(value, str) else ["", value]
    return tuple(float(part) if i % 2 else part for i, part in enumerate(parts))
