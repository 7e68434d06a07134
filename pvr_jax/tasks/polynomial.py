"""Parse polynomials such as "x0*x1 - 1.25*x1*x2", without executing them.

The text is parsed into a syntax tree, checked against a list of allowed nodes, and compiled to a
postfix program: a tuple of (operation, argument) for a stack machine. So no text is executed as
Python, and a sum of a thousand terms needs no deep recursion.
"""

import ast
import math
import operator
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks

Program = tuple[tuple[str, Any], ...]

GRAMMAR = (
    "numbers, coordinates x0, x1, ..., + - *, division by a number, "
    "** with a whole power 0 to 64, and parentheses"
)
LARGEST_POWER = 64
LONGEST_EXPRESSION = 100_000
MOST_PRODUCTS = 2**17  # of monomials, in one multiplication of two polynomials
# Half of the largest float32: intermediate values must be finite.
LARGEST_VALUE = float(np.finfo(np.float32).max) / 2
SMALLEST_DIVISOR = float(np.finfo(np.float32).tiny)
BINARY = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
}
COMPUTE = dict(BINARY.values())
VARIABLE = re.compile(r"x(0|[1-9][0-9]{0,3})")
# Python accepts more: 0x1, most likely a typo for x0*x1, or 1_0.
DECIMAL = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


class Bound(NamedTuple):
    """Bound of a value for all x: its constant, if it is one, and its largest absolute value."""

    constant: float | None
    size: float


def _refuse(expression: str, node: ast.AST | None, allowed: str = GRAMMAR) -> NoReturn:
    """Raise a one-line error that names the invalid part of the expression."""
    part = expression if node is None else ast.get_source_segment(expression, node)
    where = "" if part == expression else f" (in {_shortened(expression)!r})"
    raise checks.invalid("expression", _shortened(part or expression), allowed + where)


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def one_line(text: str) -> str:
    """Return a text as one line with single spaces, without comments."""
    return " ".join(" ".join(line.split("#")[0] for line in text.splitlines()).split())


def _tree(expression: str) -> ast.AST:
    """Syntax tree of a one-line expression."""
    try:
        with warnings.catch_warnings():
            # The tokenizer warns about literals such as "1if": they are errors here.
            warnings.simplefilter("error")
            return ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError, Warning):
        _refuse(expression, None)


def _literal(expression: str, node: ast.AST) -> str | None:
    """Text of a number in decimal digits; None for any other node.

    The expression has one line.
    """
    if not (isinstance(node, ast.Constant) and type(node.value) in (int, float)):
        return None
    # The columns of a tree count bytes.
    text = expression.encode()[node.col_offset : node.end_col_offset].decode()
    return text if DECIMAL.fullmatch(text) else None


def _leaf(expression: str, node: ast.AST) -> tuple[str, Any] | None:
    """Instruction for a number or a coordinate; None for any other node."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        literal = _literal(expression, node)
        if literal is None:
            _refuse(expression, node, "numbers in decimal digits, such as 12, 0.5 or 1e-3")
        if abs(node.value) > LARGEST_VALUE:
            _refuse(expression, node, f"numbers up to {LARGEST_VALUE:.2g}")
        if node.value != 0:
            return "number", Fraction(Decimal(literal))
        if re.search("[1-9]", re.split("[eE]", literal)[0]):
            _refuse(expression, node, "0, or numbers from 1e-300")
        return "number", Fraction(0)
    if isinstance(node, ast.Name):
        name = VARIABLE.fullmatch(node.id)
        if name:
            return "x", int(name[1])
    return None


def _branch(expression: str, node: ast.AST) -> tuple[tuple[str, Any], list[ast.AST]] | None:
    """Instruction and operands of an operation; None if it is not allowed."""
    if isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.USub):
            return ("negate", None), [node.operand]
        if isinstance(node.op, ast.UAdd):
            return ("keep", None), [node.operand]
    if isinstance(node, ast.BinOp):
        if type(node.op) in BINARY:
            return (BINARY[type(node.op)][0], None), [node.left, node.right]
        power = node.right
        is_power = isinstance(node.op, ast.Pow) and _literal(expression, power) is not None
        if is_power and type(power.value) is int and power.value <= LARGEST_POWER:
            return ("**", power.value), [node.left]
    return None


def _bound(operation: str, argument: Any, operands: list[Bound]) -> Bound:
    """Bound of one operation, for coordinates in {-1, +1}."""
    constants = [operand.constant for operand in operands]
    sizes = [operand.size for operand in operands]
    if None not in constants:
        constant = apply_operation(operation, argument, constants)
        return Bound(constant, abs(constant))
    if operation in ("negate", "keep"):
        return Bound(None, sizes[0])
    # The absolute value of a difference is at most the sum of the absolute values.
    return Bound(None, apply_operation("+" if operation == "-" else operation, argument, sizes))


def apply_operation(operation: str, argument: Any, operands: list[Any]) -> Any:
    """Apply an operation to numbers or arrays."""
    if operation == "keep":
        return operands[0]
    if operation == "negate":
        return -operands[0]
    if operation == "**":
        return operands[0] ** argument
    return COMPUTE[operation](*operands)


def _checked(expression: str, node: ast.AST, step: tuple[str, Any], operands: list[Bound]) -> Bound:
    """Check one operation and return its bound."""
    operation, argument = step
    if operation == "/":
        divisor = operands[1].constant
        if divisor is None or abs(divisor) < SMALLEST_DIVISOR:
            _refuse(expression, node, "division by a number that is not 0")
    try:
        bound = _bound(operation, argument, operands)
    except OverflowError:
        bound = Bound(None, math.inf)
    if not bound.size <= LARGEST_VALUE:
        _refuse(expression, node, f"values up to {LARGEST_VALUE:.2g}")
    return bound


def parse(expression: str, exact: bool = False) -> tuple[Program, int]:
    """Parse a polynomial into its postfix program and its number of coordinates.

    The number of coordinates is the largest index plus one, or 0. The numbers in the program are
    floats, or, if `exact`, fractions.

    Raises:
        Refusal: the expression has anything but numbers, x0, x1, ..., + - *, division by a number,
            small integer powers and parentheses; the message names that part.
    """
    if not isinstance(expression, str) or len(expression) > LONGEST_EXPRESSION:
        raise checks.invalid("expression", expression, "text such as 'x0*x1 - 1.25*x1*x2'")
    expression = one_line(expression)
    program: list[tuple[str, Any]] = []
    bounds: list[Bound] = []
    coordinates = 0
    pending: list[tuple[ast.AST, tuple[str, Any] | None, int]] = [(_tree(expression), None, 0)]
    while pending:
        node, step, operands = pending.pop()
        if step is not None:  # the operands are on the stack
            known = bounds[-operands:]
            del bounds[-operands:]
            bounds.append(_checked(expression, node, step, known))
            program.append(step)
            continue
        leaf = _leaf(expression, node)
        if leaf is not None:
            kind, value = leaf
            if kind == "x":
                bounds.append(Bound(None, 1.0))
                coordinates = max(coordinates, value + 1)
            else:
                bounds.append(Bound(float(value), abs(float(value))))
            program.append(leaf if exact or kind == "x" else (kind, float(value)))
            continue
        branch = _branch(expression, node)
        if branch is None:
            _refuse(expression, node)
        step, children = branch
        pending.append((node, step, len(children)))
        pending.extend((child, None, 0) for child in reversed(children))
    return tuple(program), coordinates


def execute(
    program: Program,
    coordinate: Callable[[int], Any],
    apply: Callable[[str, Any, list[Any]], Any] = apply_operation,
) -> Any:
    """Execute a program.

    `coordinate(index)` is the value of a coordinate; `apply(operation, argument, operands)` applies
    an operation.
    """
    stack: list[Any] = []
    for operation, argument in program:
        if operation == "number":
            stack.append(argument)
        elif operation == "x":
            stack.append(coordinate(argument))
        else:
            count = 2 if operation in COMPUTE else 1
            operands = stack[-count:]
            del stack[-count:]
            stack.append(apply(operation, argument, operands))
    return stack.pop()


def run(program: Program, x: jax.Array) -> jax.Array:
    """Value of a parsed polynomial at the points x[..., n] -> y[...], in the dtype of x."""
    value = execute(program, lambda index: x[..., index])
    return jnp.broadcast_to(jnp.asarray(value, x.dtype), x.shape[:-1])


def expand(expression: str) -> dict[int, Fraction] | None:
    """Coefficients of a polynomial that are not 0, exact, by sets of coordinates.

    A set is the number whose bit i is 1 for i in it. None if there are too many products to form.
    """

    def apply(operation: str, argument: Any, operands: list[Any]) -> dict[int, Fraction]:
        first, *others = map(_terms, operands)
        if operation in ("keep", "negate"):
            return {mask: apply_operation(operation, None, [c]) for mask, c in first.items()}
        if operation == "**":
            result = {0: Fraction(1)}
            for _ in range(argument):
                result = _product(result, first)
            return result
        (second,) = others
        if operation == "/":
            return {mask: value / second[0] for mask, value in first.items()}
        if operation == "*":
            return _product(first, second)
        total = Counter(first)
        for mask, value in second.items():
            total[mask] = COMPUTE[operation](total[mask], value)
        return _nonzero(total)

    program, _ = parse(expression, exact=True)
    try:
        return _nonzero(_terms(execute(program, lambda index: {1 << index: Fraction(1)}, apply)))
    except _TooManyProductsError:
        return None


class _TooManyProductsError(Exception):
    """Two polynomials have more than MOST_PRODUCTS pairs of monomials."""


def _terms(value: Fraction | dict[int, Fraction]) -> dict[int, Fraction]:
    return value if isinstance(value, dict) else {0: value}


def _nonzero(terms: Mapping[int, Fraction]) -> dict[int, Fraction]:
    return {mask: value for mask, value in terms.items() if value}


def _product(first: dict[int, Fraction], second: dict[int, Fraction]) -> dict[int, Fraction]:
    if len(first) * len(second) > MOST_PRODUCTS:
        raise _TooManyProductsError
    total: Counter[int] = Counter()
    for mask, value in first.items():
        for other_mask, other in second.items():
            total[mask ^ other_mask] += value * other  # x_i^2 = 1
    return _nonzero(total)


def polynomial(
    expression: str | None = None, n: int | None = None
) -> tuple[int, Callable[[jax.Array], jax.Array], dict[str, Any]]:
    """Polynomial given as text over x0, x1, ...; n defaults to the largest index plus one.

    Allowed: decimal numbers, x<i> (0-indexed), + - *, division by a number, ** with an integer
    power 0 to 64, parentheses, and comments from # to the end of a line. Products are formed as
    written: x0**2 is 1 because x0 is -1 or +1.

    Raises:
        Refusal: an invalid expression; the message names the part.
    """
    program, needed = parse(expression)
    if n is None and needed == 0:
        raise checks.invalid("n", n, "a whole number from 1 (the expression has no coordinate)")
    size = needed if n is None else checks.integer(1, checks.LARGEST_N).check("n", n)
    if needed > size:
        _refuse_index(program, expression, size)

    def target(x: jax.Array) -> jax.Array:
        return run(program, x)

    return size, target, {"expression": one_line(expression), "n": size}


def _refuse_index(program: Program, expression: str, n: int) -> NoReturn:
    """Raise the error for a coordinate that is not below n."""
    beyond = max(argument for operation, argument in program if operation == "x")
    allowed = f"x0 to x{n - 1} with n = {n} (in {_shortened(one_line(expression))!r})"
    raise checks.invalid("expression", f"x{beyond}", allowed)
