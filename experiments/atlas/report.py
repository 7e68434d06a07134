"""x"""

from pvr_jax.reporting.publish import Report

REPORT = Report(title="x", question="", verdict=lambda study, context: "v", exhibits=[])
