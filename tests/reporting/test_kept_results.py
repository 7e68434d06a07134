"""Kept tables of the canonical holdout are made again from the replicas kept with them."""

from pathlib import Path

import pytest
from kept_canonical import kept_runs

from pvr_jax.reporting.stored import kept_tables

RESULTS = Path(__file__).parents[2] / "experiments" / "canonical_holdout" / "results"
# The coefficients of single replicas are not kept, nor are settings.
NOT_FROM_REPLICAS = {"twins.csv", "twins.md"}


@pytest.mark.parametrize("study", sorted(path.name for path in RESULTS.iterdir()))
def test_kept_tables_are_those_of_the_kept_replicas(study):
    directory = RESULTS / study
    tables = kept_tables(kept_runs(directory))
    kept = {path.name for path in directory.iterdir() if path.suffix in (".md", ".csv")}
    assert set(tables) == kept - NOT_FROM_REPLICAS
    for name, text in tables.items():
        if name.endswith(".md"):  # the last digits of other numbers are the machine's
            assert text == (directory / name).read_text(), name
