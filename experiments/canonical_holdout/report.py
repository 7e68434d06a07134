"""Write the report of all runs of the experiment, from their files alone; imports no JAX."""

from pathlib import Path

from pvr_jax.reporting import ReportPaths, write_report


def report(root: Path, out: Path | None = None) -> ReportPaths:
    """Write table, figures and report.html of all runs in `root`, WORKDIR/canonical_holdout.

    They go to `out`, by default root/report.

    Raises:
        FileNotFoundError: no finished run; one line that says what to type.
        ValueError: a damaged result file, named.
    """
    return write_report(root, out)[Path(root).resolve().name]
