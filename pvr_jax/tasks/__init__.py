"""Targets on {-1, +1}^n, seen sets, training sets, and classification tasks."""

from pvr_jax.boolean.facts import ExactFacts
from pvr_jax.tasks.exact_facts import exact_facts, known_facts
from pvr_jax.tasks.seen_sets import SeenSet, make_seen_set
from pvr_jax.tasks.targets import Task, exact_values, make, names, parameters, truth_table

__all__ = [
    "ExactFacts",
    "SeenSet",
    "Task",
    "exact_facts",
    "exact_values",
    "known_facts",
    "make",
    "make_seen_set",
    "names",
    "parameters",
    "truth_table",
]
