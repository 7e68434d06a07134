"""Parse conditions such as "x0 = 1 or x1 = 1", without executing them.

Conditions compare polynomials (see `polynomial`), joined by and, or, not and parentheses. They are
exact, with decimal numbers as fractions: 0.1*x0 + 0.2*x1 = 0.3 holds at (1, 1).
"""

import ast
import itertools
import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any, NamedTuple, NoReturn

import jax

from pvr_jax import checks
from pvr_jax.refusal import Refusal
from pvr_jax.tasks import exact_sign, polynomial

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


class Part(NamedTuple):
    """A condition, x[..., n] -> bool[...], and the coordinates in it.

    `by_level` if it is known to depend only on how many of these are -1, as a parity or a ball.
    """

    holds: Condition
    coordinates: frozenset[int]
    by_level: bool = False


def parse(text: str) -> list[Part]:
    """Parse a condition into parts without common coordinates; it holds where all parts do.

    Raises:
        Refusal: a syntax error; the message names the part of the text.
    """
    if not isinstance(text, str) or not text.strip():
        raise checks.invalid("condition", text, GRAMMAR)
    source = _SINGLE_EQUALS.sub("==", polynomial.one_line(text))
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise checks.invalid("condition", text, GRAMMAR) from None
    is_conjunction = isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And)
    parts: list[Part] = []
    for node in tree.values if is_conjunction else [tree]:
        new = _read(source, node)
        touched = [part for part in parts if _touch(part, new)]
        parts = [part for part in parts if not _touch(part, new)]
        parts.append(joined(operator.and_, [*touched, new]))
    return parts


def joined(join: Callable[[Any, Any], Any], parts: Sequence[Part]) -> Part:
    """Combine parts into one condition."""
    every = [part.coordinates for part in parts]
    return Part(
        lambda x: reduce(join, [part.holds(x) for part in parts]),
        frozenset().union(*every),
        all(part.by_level for part in parts) and len(set(every)) == 1,
    )


def _touch(one: Part, other: Part) -> bool:
    """Return whether two parts share a coordinate, or one of them has none."""
    if not (one.coordinates and other.coordinates):
        return True
    return not one.coordinates.isdisjoint(other.coordinates)


def _read(source: str, node: ast.AST) -> Part:
    if isinstance(node, ast.BoolOp):
        return joined(JOINS[type(node.op)], [_read(source, value) for value in node.values])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _read(source, node.operand)
        return inner._replace(holds=lambda x: ~inner.holds(x))
    if isinstance(node, ast.Compare):
        sides = [_polynomial(source, side) for side in (node.left, *node.comparators)]
        if any(type(comparison) not in COMPARISONS for comparison in node.ops):
            _refuse(source, node)
        steps = [
            _comparison(source, COMPARISONS[type(comparison)], *pair)
            for comparison, pair in zip(node.ops, itertools.pairwise(sides), strict=True)
        ]
        return joined(operator.and_, steps)
    return _refuse(source, node)


def _comparison(
    source: str,
    compare: Callable[[Any, Any], Any],
    left: tuple[polynomial.Program, str],
    right: tuple[polynomial.Program, str],
) -> Part:
    difference = (*left[0], *right[0], ("-", None))
    try:
        sign = exact_sign.sign(difference)
    except Refusal as error:
        raise Refusal(f"condition: given {source!r} with {error}") from error
    mentioned = frozenset(argument for operation, argument in difference if operation == "x")
    by_level = len(mentioned) > 1 and is_symmetric(f"{left[1]} - ({right[1]})")
    return Part(lambda x: compare(sign(x), 0), mentioned, by_level)


def is_symmetric(expression: str) -> bool:
    """Return whether a polynomial is the same under all permutations of its coordinates.

    False also where it has too many terms to list.
    """
    try:
        terms = polynomial.expand(expression)
    except Refusal:  # too long
        return False
    if terms is None:
        return False
    coefficients: dict[int, list[Fraction]] = defaultdict(list)
    for mask, coefficient in terms.items():
        coefficients[mask.bit_count()].append(coefficient)
    program, _ = polynomial.parse(expression)
    count = len({argument for operation, argument in program if operation == "x"})
    return all(
        len(set(own)) == 1 and len(own) == math.comb(count, size)
        for size, own in coefficients.items()
    )


def _polynomial(source: str, node: ast.AST) -> tuple[polynomial.Program, str]:
    """Return the program and the text of one side of a comparison."""
    part = ast.get_source_segment(source, node) or source
    try:
        return polynomial.parse(part, exact=True)[0], part
    except Refusal as error:
        message = str(error).removeprefix("expression: ")
        raise Refusal(f"condition: {message}") from error


def _refuse(source: str, node: ast.AST) -> NoReturn:
    raise checks.invalid("condition", ast.get_source_segment(source, node) or source, GRAMMAR)
