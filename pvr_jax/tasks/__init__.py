"""Targets on {-1, +1}^n, seen sets, training sets, and classification tasks."""

from pvr_jax.tasks.relevant_coordinates import relevant_coordinates
from pvr_jax.tasks.seen_sets import SeenSet, make_seen_set
from pvr_jax.tasks.targets import Task, exact_values, make, names, parameters, truth_table

__all__ = [
    "SeenSet",
    "Task",
    "exact_values",
    "make",
    "make_seen_set",
    "names",
    "parameters",
    "relevant_coordinates",
    "truth_table",
]
