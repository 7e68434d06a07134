"""Kept tables of classification are those that the kept data give."""

import re
from pathlib import Path

import pandas as pd
import pytest
from kept_accuracy import read_kept

from pvr_jax.reporting.accuracy.report import study

RESULTS = Path(__file__).parents[2] / "experiments" / "pointer_value" / "results"
# Confusions are not kept, but for what findings say of them.
MISTAKE = re.compile(r" The most frequent mistake is [^.]*\.")


@pytest.mark.parametrize("name", sorted(path.name for path in RESULTS.iterdir()))
def test_kept_tables_are_those_of_the_kept_data(name):
    kept = RESULTS / name
    _, files = study(read_kept(kept))
    made = {file: text for file, text in files.items() if file.endswith(".md")}
    assert set(made) == {path.name for path in kept.glob("*.md")}
    for file, text in made.items():
        assert MISTAKE.sub("", text) == MISTAKE.sub("", (kept / file).read_text()), file


@pytest.mark.parametrize("name", sorted(path.name for path in RESULTS.iterdir()))
def test_no_kept_interval_leaves_its_range(name):
    for path in (RESULTS / name).glob("*.csv"):
        table = pd.read_csv(path)
        for column in table:
            if not re.search(r"(^|_)(low|high)$", column):
                continue
            values = table[column].dropna()
            least = -1 if column.startswith("gap") else 0
            most = float("inf") if "loss" in column or "samples" in column else 1
            assert values.between(least, most).all(), (path.name, column)
