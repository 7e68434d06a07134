"""Exact facts about a task at any n: from its monomials, its windows, or all of its values."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from pvr_jax.boolean import float64
from pvr_jax.boolean.facts import DenseFacts, ExactFacts, SparseFacts, mask_of
from pvr_jax.refusal import Refusal
from pvr_jax.tasks.polynomial import expand
from pvr_jax.tasks.pvr import F3
from pvr_jax.tasks.pvr_facts import WindowFacts
from pvr_jax.tasks.targets import Task, exact_values

# The values of a task without a closed form are enumerated.
LARGEST_N = 20

Monomials = Mapping[int, float | Fraction]


def _quadratic_chain(n: int) -> Monomials:
    return {0b11 << i: i + 1 for i in range(n - 1)}


def _staircase(n: int) -> Monomials:
    return {(1 << size) - 1: 1 for size in range(1, n + 1)}


def _linear(n: int, coefficients: tuple[float, ...], intercept: float) -> Monomials:
    return {0: intercept} | {1 << i: value for i, value in enumerate(coefficients)}


def _parity(n: int, degree: int | None, coordinates: tuple[int, ...] | None) -> Monomials:
    return {mask_of(range(degree) if coordinates is None else coordinates, n): 1}


def _polynomial(n: int, expression: str) -> Monomials | None:
    return expand(expression)


# One line gives a task a closed form: a function of its parameters that returns the coefficients
# that are not 0 by `facts.mask_of` their sets, or None where they are too many to list.
_MONOMIALS: dict[str, Callable[..., Monomials | None]] = {
    "quadratic_chain": _quadratic_chain,
    "staircase": _staircase,
    "linear": _linear,
    "parity": _parity,
    "polynomial": _polynomial,
}
_WINDOWS: dict[str, dict[str, Any]] = {"pvr": {}, "pvr_majority": F3}


def exact_facts(task: Task) -> ExactFacts:
    """Return exact facts about a task, float64: from its closed form, or from all its values.

    Pointer value retrieval has one at any number of pointer bits, from its windows; quadratic
    chains, staircases, linear functions, parities and polynomials have one at any n, from their
    monomials. Truth tables, functions of the user's own and polynomials of too many monomials are
    enumerated, n up to 20.

    Raises:
        Refusal: the task has no closed form and more than 20 coordinates, or windows of more than
            64 bits.

    >>> from pvr_jax import tasks
    >>> facts = tasks.exact_facts(tasks.make("pvr", pointer_bits=5, window=3))
    >>> facts.n, facts.influences[0].item(), facts.influences[5].item()  # 3/32 of a value bit
    (37, 0.5, 0.09375)
    """
    if task.name in _WINDOWS:
        return WindowFacts(**_WINDOWS[task.name], **task.params)
    if task.name in _MONOMIALS:
        terms = _MONOMIALS[task.name](**task.params)
        if terms is not None:
            return SparseFacts(task.n, terms)
    if task.n > LARGEST_N:
        raise Refusal(
            f"task: given {task.name} with n = {task.n}, which has no closed form; allowed n up to "
            f"{LARGEST_N}, or {', '.join((*_WINDOWS, *_MONOMIALS))}"
        )
    return DenseFacts(float64.exact_spectrum(exact_values(task)))


def known_facts(task: Task) -> ExactFacts | None:
    """Return `exact_facts` of a task, or None where it refuses."""
    try:
        return exact_facts(task)
    except Refusal:
        return None
