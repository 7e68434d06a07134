"""Kept tables of classification are made again from the replicas and recalls kept with them."""

import re
from pathlib import Path

import pytest
from kept_accuracy import kept_cells

from pvr_jax.reporting.accuracy.report import study

RESULTS = Path(__file__).parents[2] / "experiments" / "pointer_value" / "results"
# Which class is taken for which is not kept, and of recalls no values by seed.
MISTAKE = re.compile(r" The most frequent mistake is [^.]*\.")


def without_stand_ins(name, text):
    """Return a kept file without what the stand-ins of `kept_accuracy` would say."""
    if name == "recall.md":
        text = re.sub(r"-{2,}", "-", re.sub(r"( \([^()]*\))? *\| *", "|", text))
    return MISTAKE.sub("", text)


@pytest.mark.parametrize("name", sorted(path.name for path in RESULTS.iterdir()))
def test_kept_tables_are_those_of_the_kept_replicas(name):
    directory = RESULTS / name
    files = study(kept_cells(directory))[1]
    kept = {path.name for path in directory.iterdir() if path.suffix in (".md", ".csv")}
    assert set(files) - {"confusion.csv"} == kept
    for file, text in files.items():
        if file.endswith(".md"):  # the last digits of other numbers are the machine's
            kept_text = (directory / file).read_text()
            assert without_stand_ins(file, text) == without_stand_ins(file, kept_text), file
