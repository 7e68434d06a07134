"""A study: the runs of one experiment and the tables that compare them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pvr_jax.reporting.comparison import Comparison, compare
from pvr_jax.reporting.initialisation import initialisation_table
from pvr_jax.reporting.matched import Matched, match
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.tables import summary_table
from pvr_jax.reporting.twins import twin_table


@dataclass(frozen=True)
class Study:
    """The runs of one experiment and what is said of them together."""

    canonical: list[Run]
    table: pd.DataFrame  # of the canonical runs
    comparison: Comparison | None  # of two or more canonical runs
    initialisation: pd.DataFrame  # empty without a scan of init exponents
    matched: Matched | None
    twins: pd.DataFrame  # empty where there are too many, or none


def study_of(runs: Sequence[Run]) -> Study:
    """Return the tables of the runs of one experiment."""
    canonical = [run for run in runs if not run.matched]
    matched = [run for run in runs if run.matched]
    table = summary_table(canonical)
    comparison = compare(canonical, table) if len(canonical) > 1 else None
    return Study(
        canonical=canonical,
        table=table,
        comparison=comparison,
        initialisation=initialisation_table(comparison.cells) if comparison else pd.DataFrame(),
        matched=match(matched) if matched else None,
        twins=twin_table(canonical),
    )
