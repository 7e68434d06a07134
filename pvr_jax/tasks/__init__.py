"""What to learn, and on which inputs: targets on {-1, +1}^n, holdouts, training sets."""

from pvr_jax.tasks.targets import Task, make, names, parameters, truth_table

__all__ = ["Task", "make", "names", "parameters", "truth_table"]
