"""Measures of learned functions on the whole cube."""

from pvr_jax.analysis.measures import MEASURES, measure

__all__ = ["MEASURES", "measure"]
