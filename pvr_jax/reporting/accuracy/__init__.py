"""The report of classification tasks: accuracy on inputs like those of training and on withheld.

Reads files only and never imports JAX, so a report can be made on any machine that has the files.
"""

from pvr_jax.reporting.accuracy.report import keep, write_report

__all__ = ["keep", "write_report"]
