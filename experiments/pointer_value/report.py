"""Write the report of all runs of the experiment, from their files alone; imports no JAX."""

from pathlib import Path

from pvr_jax.reporting import ReportPaths
from pvr_jax.reporting.accuracy import write_report


def report(root: Path, out: Path | None = None) -> ReportPaths:
    """Write tables, figures and report.html of all runs in `root`, WORKDIR/pointer_value.

    They go to `out`, by default root/report.

    Raises:
        FileNotFoundError: no finished run; one line that says what to type.
        ValueError: a damaged result file, named.
    """
    return write_report(root, out)
