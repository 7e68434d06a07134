"""Tables, figures and one self-contained HTML page from the result files of finished runs.

Reads files only and never imports JAX, so a report can be made on any machine that has the files.
"""

from pvr_jax.reporting.files import ReportPaths
from pvr_jax.reporting.reading import find_experiments, read_run, read_runs, read_runs_of
from pvr_jax.reporting.report import write_report
from pvr_jax.reporting.runs import Pair, Replica, Run
from pvr_jax.reporting.tables import render_text, replica_table, summary_table

__all__ = [
    "Pair",
    "Replica",
    "ReportPaths",
    "Run",
    "find_experiments",
    "read_run",
    "read_runs",
    "read_runs_of",
    "render_text",
    "replica_table",
    "summary_table",
    "write_report",
]
