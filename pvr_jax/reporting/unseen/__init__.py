"""The report of networks trained on part of the cube, beside the exact min-degree interpolator.

Reads files only and never imports JAX, so a report can be made on any machine that has the files.
"""

from pvr_jax.reporting.unseen.reading import read_cells, read_cells_of
from pvr_jax.reporting.unseen.report import keep, write_report
from pvr_jax.reporting.unseen.runs import Cell, Monomial, Theory

__all__ = [
    "Cell",
    "Monomial",
    "Theory",
    "keep",
    "read_cells",
    "read_cells_of",
    "write_report",
]
