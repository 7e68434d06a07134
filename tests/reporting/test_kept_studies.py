"""Every kept table, figure and page is made again from the kept data, byte for byte."""

from pathlib import Path

import pytest

from experiments import reports
from pvr_jax import results
from pvr_jax.reporting.keep import kept_files

ROOT = Path(__file__).parents[2] / "experiments"
STUDIES = sorted(path.parent for path in ROOT.glob("*/results/*/results.nc"))


@pytest.mark.parametrize("directory", STUDIES, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_kept_files_are_those_of_the_kept_data(directory):
    report = reports.report_of(directory.parts[-3])
    files = kept_files(report, results.open(directory))
    tables = {path.name for path in directory.iterdir() if path.suffix in (".md", ".csv", ".html")}
    assert set(files) == tables | {"run.json"}
    for name, text in files.items():
        assert text == (directory / name).read_text(), name
