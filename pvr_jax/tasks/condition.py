"""Parse conditions such as "x0 = 1 or x1 = 1", without executing them.

Conditions compare polynomials (see `polynomial`), joined by and, or, not and parentheses. They are
exact, with decimal numbers as fractions: 0.1*x0 + 0.2*x1 = 0.3 holds at (1, 1).
"""

import ast
import itertools
import math
import operator
import re
from collections import Counter
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
MAX_MONOMIALS = 2**16
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
    left: polynomial.Program,
    right: polynomial.Program,
) -> Part:
    difference = (*left, *right, ("-", None))
    try:
        sign = exact_sign.sign(difference)
    except Refusal as error:
        raise Refusal(f"condition: given {source!r} with {error}") from error
    mentioned = frozenset(argument for operation, argument in difference if operation == "x")
    by_level = len(mentioned) > 1 and is_symmetric(difference, mentioned)
    return Part(lambda x: compare(sign(x), 0), mentioned, by_level)


def is_symmetric(program: polynomial.Program, coordinates: frozenset[int]) -> bool:
    """Return whether a polynomial is the same under all permutations of these coordinates.

    False also where its monomials are more than `MAX_MONOMIALS`.
    """
    one = Fraction(1)
    try:
        found = polynomial.execute(
            program, lambda index: {frozenset([index]): one}, _apply_to_monomials
        )
    except _TooManyMonomialsError:
        return False
    sizes: dict[int, set[Fraction]] = {}
    counts: Counter[int] = Counter()
    for monomial, coefficient in _monomials(found).items():
        if monomial and coefficient:
            sizes.setdefault(len(monomial), set()).add(coefficient)
            counts[len(monomial)] += 1
    return all(
        len(own) == 1 and counts[size] == math.comb(len(coordinates), size)
        for size, own in sizes.items()
    )


class _TooManyMonomialsError(Exception):
    """A polynomial has too many monomials to list."""


def _monomials(value: Any) -> dict[frozenset[int], Fraction]:
    return {frozenset(): value} if isinstance(value, Fraction) else value


def _apply_to_monomials(operation: str, argument: Any, operands: list[Any]) -> Any:
    """Apply an operation to polynomials, {monomial: coefficient}; numbers are fractions."""
    if all(isinstance(operand, Fraction) for operand in operands):
        return polynomial.apply_operation(operation, argument, operands)
    first, last = _monomials(operands[0]), _monomials(operands[-1])
    if operation == "**":
        power: Any = Fraction(1)
        for _ in range(argument):
            power = _apply_to_monomials("*", None, [power, first])
        return power
    found: dict[frozenset[int], Fraction] = {}
    if operation in ("*", "/"):
        factor = {frozenset(): 1 / operands[1]} if operation == "/" else last
        if len(first) * len(factor) > MAX_MONOMIALS:
            raise _TooManyMonomialsError
        for (one, a), (other, b) in itertools.product(first.items(), factor.items()):
            found[one ^ other] = found.get(one ^ other, Fraction(0)) + a * b
        return found
    signs = {"+": (1, 1), "-": (1, -1), "negate": (-1,), "keep": (1,)}[operation]
    for own, sign in zip((first, last), signs, strict=False):
        for monomial, coefficient in own.items():
            found[monomial] = found.get(monomial, Fraction(0)) + sign * coefficient
    return found


def _polynomial(source: str, node: ast.AST) -> polynomial.Program:
    part = ast.get_source_segment(source, node) or source
    try:
        return polynomial.parse(part, exact=True)[0]
    except Refusal as error:
        message = str(error).removeprefix("expression: ")
        raise Refusal(f"condition: {message}") from error


def _refuse(source: str, node: ast.AST) -> NoReturn:
    raise checks.invalid("condition", ast.get_source_segment(source, node) or source, GRAMMAR)
