"""The report of training under a degree curriculum, beside training without one.

Reads files only and never imports JAX, so a report can be made on any machine that has the files.
"""

from pvr_jax.reporting.curriculum.report import keep, write_report

__all__ = ["keep", "write_report"]
