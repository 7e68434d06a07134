"""Conditions written as text, such as "x0 = 1 or x1 = 1", read without running them.

Comparisons of two polynomials (see `polynomial`), joined by and, or, not and parentheses.
"""

import ast
import itertools
import operator
import re
from collections.abc import Callable
from functools import reduce
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from pvr_jax.refusal import Refusal
from pvr_jax.tasks import checks, polynomial

Condition = Callable[[jax.Array], jax.Array]

GRAMMAR = (
    "comparisons (= != < <= > >=) of polynomials in x0, x1, ..., joined by and, or, not and "
    "parentheses, such as 'x0 = 1 or x1*x2 = -1'"
)
COMPARISONS = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
JOINS = {ast.And: operator.and_, ast.Or: operator.or_}
_SINGLE_EQUALS = re.compile(r"(?<![<>=!])=(?!=)")


def parse(text: str) -> tuple[Condition, int]:
    """Read a condition: a function x[..., n] -> bool[...], and how many coordinates it needs.

    Raises ValueError that names the part of the text that is not allowed.
    """
    if not isinstance(text, str) or not text.strip():
        checks.refuse("condition", text, GRAMMAR)
    source = _SINGLE_EQUALS.sub("==", " ".join(text.split()))
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        checks.refuse("condition", text, GRAMMAR)
    return _read(source, tree)


def _read(source: str, node: ast.AST) -> tuple[Condition, int]:
    if isinstance(node, ast.BoolOp):
        return _joined(JOINS[type(node.op)], [_read(source, value) for value in node.values])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner, needed = _read(source, node.operand)
        return (lambda x: ~inner(x)), needed
    if isinstance(node, ast.Compare):
        sides = [_polynomial(source, side) for side in (node.left, *node.comparators)]
        if any(type(comparison) not in COMPARISONS for comparison in node.ops):
            _refuse(source, node)
        steps = [
            _comparison(COMPARISONS[type(comparison)], *pair)
            for comparison, pair in zip(node.ops, itertools.pairwise(sides), strict=True)
        ]
        return _joined(operator.and_, steps)
    return _refuse(source, node)


def _joined(
    join: Callable[[Any, Any], Any], parts: list[tuple[Condition, int]]
) -> tuple[Condition, int]:
    conditions = [condition for condition, _ in parts]
    return (
        lambda x: reduce(join, [condition(x) for condition in conditions]),
        max(needed for _, needed in parts),
    )


def _comparison(
    compare: Callable[[Any, Any], Any],
    left: tuple[polynomial.Program, int],
    right: tuple[polynomial.Program, int],
) -> tuple[Condition, int]:
    def condition(x: jax.Array) -> jax.Array:
        x = jnp.asarray(x, jnp.float32)
        return compare(polynomial.run(left[0], x), polynomial.run(right[0], x))

    return condition, max(left[1], right[1])


def _polynomial(source: str, node: ast.AST) -> tuple[polynomial.Program, int]:
    part = ast.get_source_segment(source, node) or source
    try:
        return polynomial.parse(part)
    except Refusal as error:
        message = str(error).removeprefix("expression: ")
        raise Refusal(f"condition: {message}") from error


def _refuse(source: str, node: ast.AST) -> NoReturn:
    checks.refuse("condition", ast.get_source_segment(source, node) or source, GRAMMAR)
