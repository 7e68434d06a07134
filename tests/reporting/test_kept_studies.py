"""Every kept table, figure and page is made again from the kept data, byte for byte."""

import io
from pathlib import Path

import pandas as pd
import pytest

from experiments import reports
from pvr_jax import results
from pvr_jax.reporting.keep import kept_files

ROOT = Path(__file__).parents[2] / "experiments"
LARGE = 200_000  # bytes, of results that take seconds to read


STUDIES = [
    pytest.param(
        path.parent,
        marks=pytest.mark.slow if path.stat().st_size > LARGE else (),
        id=f"{path.parts[-4]}-{path.parts[-2]}",
    )
    for path in sorted(ROOT.glob("*/results/*/results.nc"))
]


@pytest.mark.parametrize("directory", STUDIES)
def test_kept_files_are_those_of_the_kept_data(directory):
    report = reports.report_of(directory.parts[-3])
    files = kept_files(report, results.open(directory))
    tables = {path.name for path in directory.iterdir() if path.suffix in (".md", ".csv", ".html")}
    assert set(files) == tables | {"run.json"}
    for name, text in files.items():
        kept = (directory / name).read_text()
        if name.endswith(".csv") and text != kept:
            # A mean of float64 may differ in its last digit from processor to processor.
            found, expected = (pd.read_csv(io.StringIO(table)) for table in (text, kept))
            pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=1e-12, obj=name)
        else:
            assert text == kept, name
