"""Polynomials as text: the right values, and nothing but arithmetic ever read."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvr_jax import tasks
from pvr_jax.tasks import polynomial

EVERY = np.array(list(itertools.product([-1, 1], repeat=4)), np.float64)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (
            "x0*x1 - 1.25*x1*x2 + 3*(x0 + x2)**2 - 1",
            lambda x0, x1, x2, x3: x0 * x1 - 1.25 * x1 * x2 + 3 * (x0 + x2) ** 2 - 1,
        ),
        ("-x0**2", lambda x0, x1, x2, x3: -(x0**2)),
        ("(-x0)**3 / (2*4)", lambda x0, x1, x2, x3: -x0 / 8),
        ("+x3 - -x2", lambda x0, x1, x2, x3: x3 + x2),
        ("x0**0 + (x1 + x2)**1", lambda x0, x1, x2, x3: 1 + x1 + x2),
        ("1e-1 * x1\n  + .5*x2 # tail", lambda x0, x1, x2, x3: 0.1 * x1 + 0.5 * x2),
        ("3 - 5/2", lambda x0, x1, x2, x3: 0.5 + 0 * x0),
        ("x0 - x1 - x2 / 2 / 2", lambda x0, x1, x2, x3: x0 - x1 - x2 / 4),
    ],
)
def test_values(expression, expected):
    with jax.enable_x64(True):
        y = tasks.make("polynomial", expression=expression, n=4).target(EVERY)
        np.testing.assert_allclose(y, expected(*EVERY.T), rtol=1e-15, atol=1e-15)


@st.composite
def expressions(draw, depth=4):
    """A random expression and its value on EVERY, built side by side."""
    kind = draw(st.sampled_from(["x", "number", "+", "-", "*", "/", "**", "negate"]))
    if depth == 0 or kind == "x":
        index = draw(st.integers(0, 3))
        return f"x{index}", EVERY[:, index]
    if kind == "number":
        value = draw(st.integers(0, 999)) / draw(st.sampled_from([1, 8, 10]))
        return repr(value), np.full(len(EVERY), value)
    text, value = draw(expressions(depth=depth - 1))
    if kind == "negate":
        return f"-({text})", -value
    if kind == "**":
        power = draw(st.integers(0, 3))
        return f"({text})**{power}", value**power
    if kind == "/":
        divisor = draw(st.integers(1, 9))
        return f"({text})/{divisor}", value / divisor
    other_text, other = draw(expressions(depth=depth - 1))
    if kind == "*":
        return f"({text})*({other_text})", value * other
    if kind == "+":
        return f"{text} + {other_text}", value + other
    return f"({text}) - ({other_text})", value - other


@settings(max_examples=150, deadline=None)
@given(expressions())
def test_random_polynomials_equal_numpy(case):
    text, expected = case
    program, _ = polynomial.parse(text)
    # The stack machine needs only indexing and arithmetic: numpy here, JAX in the tests above.
    stack = []
    for operation, argument in program:
        if operation == "x":
            stack.append(EVERY[:, argument])
        elif operation == "number":
            stack.append(argument)
        else:
            operands = [stack.pop() for _ in range(2 if operation in "+-*/" else 1)][::-1]
            stack.append(polynomial.apply_operation(operation, argument, operands))
    scale = max(1.0, np.max(np.abs(expected)))
    np.testing.assert_allclose(stack.pop() / scale, expected / scale, rtol=1e-12, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(expressions())
def test_random_polynomials_as_tasks(case):
    text, expected = case
    with jax.enable_x64(True):
        y = tasks.make("polynomial", expression=text, n=4).target(EVERY)
        scale = max(1.0, np.max(np.abs(expected)))
        np.testing.assert_allclose(y / scale, expected / scale, rtol=1e-12, atol=1e-12)


def test_n_defaults_to_the_largest_index_plus_one():
    task = tasks.make("polynomial", expression="x1*x6")
    assert task.n == 7
    assert task.params == {"expression": "x1*x6", "n": 7}


def test_a_long_sum_needs_no_deep_recursion():
    text = " + ".join(f"{i}*x{i % 5}" for i in range(900))
    program, n = polynomial.parse(text)
    assert n == 5
    expected = np.bincount(np.arange(900) % 5, weights=np.arange(900))
    with jax.disable_jit():
        y = polynomial.run(program, np.ones(5, np.float32))
    assert y == expected.sum()


def test_a_comment_ends_with_its_line():
    text = "x0*x1  # the first term\n  + 5*x2 # and x3\n"
    task = tasks.make("polynomial", expression=text)
    np.testing.assert_array_equal(
        task.target(EVERY[:, :3]), EVERY[:, 0] * EVERY[:, 1] + 5 * EVERY[:, 2]
    )
    # What reports show is what was computed.
    assert task.params == {"expression": "x0*x1 + 5*x2", "n": 3}


def refusal(expression, **params):
    with pytest.raises(ValueError) as raised:
        tasks.make("polynomial", expression=expression, **params)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("x0 + sin(x1)", "sin(x1)"),
        ("__import__('os').system('true')", "__import__('os').system('true')"),
        ("x0.real + 1", "x0.real"),
        ("x0 * y", "y"),
        ("x0 + x01", "x01"),
        ("x0 + x99999", "x99999"),
        ("x0 + X1", "X1"),
        ("x0 < x1", "x0 < x1"),
        ("x0 and x1", "x0 and x1"),
        ("x0 if x1 else x2", "x0 if x1 else x2"),
        ("x0 * True", "True"),
        ("x0 + 2j", "2j"),
        ("x0 * 'a'", "'a'"),
        ("[x0 for x0 in (1,)]", "[x0 for x0 in (1,)]"),
        ("(lambda: x0)()", "(lambda: x0)()"),
        ("(x0 := 1)", "x0 := 1"),
        ("x0[0]", "x0[0]"),
        ("x0, x1", "x0, x1"),
        ("f'{x0}'", "f'{x0}'"),
        ("x0 // 2", "x0 // 2"),
        ("x0 % 2", "x0 % 2"),
        ("x0 @ x1", "x0 @ x1"),
        ("~x0", "~x0"),
        ("x0 + x1**x2", "x1**x2"),
        ("x0 + x1**65", "x1**65"),
        ("x0**-1", "x0**-1"),
        ("x0**0.5", "x0**0.5"),
        ("x0**10**10", "x0**10**10"),
        ("x0**True", "x0**True"),
        ("0x1 + x2", "0x1"),
        ("x2 + 0X1F", "0X1F"),
        ("0b1*x0", "0b1"),
        ("0o1*x0", "0o1"),
        ("x0 + 1_0", "1_0"),
        ("x0 - 1_0.5", "1_0.5"),
        ("x0 + 1j", "1j"),
        ("x0**0x2", "x0**0x2"),
        ("x0 + 1e-400", "1e-400"),
        ("2**9999999999", "2**9999999999"),
        ("x0 + 1/x1", "1/x1"),
        ("x0/0 + x1", "x0/0"),
        ("x0/(1 - 1)", "x0/(1 - 1)"),
        ("x0/1e-40", "x0/1e-40"),
        ("x0*1e39", "1e39"),
        ("x0*1e999", "1e999"),
        ("x0 + 1" + "0" * 400, "1" + "0" * 70),
        ("1e30*x0*1e30", "1e30*x0*1e30"),
        ("((2**64)**64)**64", "(2**64)**64"),
        ("((x0 + x1)**64)**64", "((x0 + x1)**64)**64"),
        ("x0 +", "x0 +"),
        ("x0 x1", "x0 x1"),
        ("1if x0 else 2", "1if x0 else 2"),
        ("2(x0)", "2(x0)"),
        ("(" * 500 + "x0" + ")" * 500, "(" * 70),
        ("import os", "import os"),
        ("", ""),
        ("x0\0", "x0\0"),
    ],
)
def test_anything_else_is_refused_and_named(expression, part):
    message = refusal(expression)
    assert message.startswith(f"expression: given {part!r}"[:70])
    assert "; allowed " in message


def test_deep_nesting_ends_in_an_error_or_a_value():
    """The reader of Python gives up at some depth of its own: never with another error."""
    for text in ("-" * 3000 + "x0", "(" * 90 + "x0" + ")" * 90, "x0" + "**2" * 2000):
        try:
            tasks.make("polynomial", expression=text)
        except ValueError as error:
            assert str(error).startswith("expression: given ")


def test_messages_say_what_is_allowed():
    assert refusal("x0 + sin(x1)") == (
        "expression: given 'sin(x1)'; allowed numbers, coordinates x0, x1, ..., + - *, "
        "division by a number, ** with a whole power 0 to 64, and parentheses (in 'x0 + sin(x1)')"
    )
    assert refusal("x0 + x11", n=11) == (
        "expression: given 'x11'; allowed x0 to x10 with n = 11 (in 'x0 + x11')"
    )
    assert refusal("3") == (
        "n: given None; allowed a whole number from 1 (the expression has no coordinate)"
    )
    assert refusal(None) == "expression: given None; allowed text such as 'x0*x1 - 1.25*x1*x2'"
    assert refusal(3).startswith("expression: given 3; allowed text")
    assert refusal("x0", n=1.0) == "n: given 1.0; allowed 1 to 4096"
