"""Rows that exhibits are made of: joined with curves, labeled by what differs, in natural order."""

import re
from collections.abc import Hashable, Mapping, Sequence

import pandas as pd

from pvr_jax.reporting.exhibits import shown
from pvr_jax.results import Study


def along(study: Study, own: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return measures at every place, such as a step, beside what else is known of the replica.

    Args:
        study: which has the measures.
        own: a row per replica.
        names: measures with the same dimensions.
    """
    curve = study.curve(*names)
    places = [name for name in curve if name not in (*study.coordinates, *names)]
    own = own.drop(columns=[*names, *places], errors="ignore")
    return own.merge(curve[["run", "replica", *places, *names]], on=["run", "replica"])


def labels(
    found: pd.DataFrame,
    names: Sequence[str],
    within: Sequence[str] = (),
    words: Mapping[str, str] | None = None,
    start: pd.Series | None = None,
) -> pd.Series:
    """Return the shortest texts that tell rows apart by some of their columns.

    A column adds its values to the labels where rows that have the same label so far differ in it.

    Args:
        found: the rows.
        names: columns, in order; one that the rows lack adds nothing.
        within: columns that tell rows apart already.
        words: what stands before a value, by column, such as "learning rate ".
        start: what the labels begin with, such as the model.
    """
    label = pd.Series("", found.index) if start is None else start
    for name in [name for name in names if name in found]:
        like = [*(found[key] for key in within), label]
        alike = found[name].groupby(like, dropna=False).nunique(dropna=False)
        if alike.max() > 1:
            before = (words or {}).get(name, "")
            values = ["" if pd.isna(v) or v == "" else before + shown(v) for v in found[name]]
            parts = zip(label, values, strict=True)
            label = pd.Series([", ".join(filter(None, own)) for own in parts], found.index)
    return label


def in_order(found: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return rows in the order of columns, texts by the numbers in them: 2 stands before 10."""
    return found.sort_values(list(names), key=_places, kind="stable", ignore_index=True)


def _places(column: pd.Series) -> pd.Series:
    return column.map({v: i for i, v in enumerate(sorted(column.unique(), key=_natural))})


def _natural(value: Hashable) -> tuple:
    parts = re.split(r"(\d+(?:\.\d*)?)", value) if isinstance(value, str) else ["", value]
    return tuple(float(part) if i % 2 else part for i, part in enumerate(parts))
