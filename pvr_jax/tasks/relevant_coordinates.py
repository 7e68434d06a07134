"""The coordinates that a target can depend on, from its parameters."""

from pvr_jax.tasks.polynomial import parse
from pvr_jax.tasks.targets import Task


def relevant_coordinates(task: Task) -> tuple[int, ...]:
    """Return the coordinates that a task mentions, ascending; all of a task that does not say.

    >>> from pvr_jax import tasks
    >>> task = tasks.make("polynomial", n=40, expression="x2*x9*x23*x36")
    >>> tasks.relevant_coordinates(task)
    (2, 9, 23, 36)
    """
    if task.name == "polynomial":
        program, _ = parse(task.params["expression"])
        return tuple(sorted({index for operation, index in program if operation == "x"}))
    if task.name == "parity":
        chosen = task.params["coordinates"]
        return tuple(range(task.params["degree"])) if chosen is None else tuple(sorted(chosen))
    return tuple(range(task.n))
