"""The exact sign of a polynomial on the cube, in 32-bit integers.

Times a common denominator of its numbers, a polynomial is an integer at every point. It is computed
modulo several primes, small enough for 32-bit products, and its sign follows from its mixed-radix
digits. Nothing is rounded, whatever the numbers, on any device and without 64-bit types.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.refusal import Refusal
from pvr_jax.tasks.polynomial import Program, apply_operation, execute

# Bits of intermediate integers: they need 63 primes.
MAX_BITS = 1000
LARGEST_FACTOR = 2**16


class Scaled(NamedTuple):
    """A quantity that is, times `denominator`, an integer of absolute value at most `size`."""

    denominator: int
    size: int


def sign(program: Program) -> Callable[[jax.Array], jax.Array]:
    """Return the sign of a polynomial as a function, x[..., n] in {-1, +1} -> int32[...].

    The program is one of `polynomial.parse` with exact numbers. The function may be traced.

    Raises:
        Refusal: an integer of more than `MAX_BITS` bits, or a divisor that is 0.
    """
    try:
        bound = execute(program, lambda _: Scaled(1, 1), partial(_apply, _bounded, _scaled))
    except ZeroDivisionError:
        raise Refusal("division by 0; allowed division by a number that is not 0") from None
    denominator, size = bound if isinstance(bound, Scaled) else _scaled(bound)
    primes = _primes(denominator, 2 * size)

    def sign_at(x: jax.Array) -> jax.Array:
        x = jnp.asarray(x)
        column = (1,) * (x.ndim - 1) + (len(primes),)
        moduli = jnp.asarray(primes, jnp.uint32).reshape(column)

        def coordinate(index: int) -> jax.Array:
            return jnp.where((x[..., index] > 0)[..., None], jnp.uint32(1), moduli - 1)

        def residues(number: Fraction | int) -> jax.Array:
            above, below = number.numerator, number.denominator
            values = [above * pow(below, -1, prime) % prime for prime in primes]
            return jnp.asarray(values, jnp.uint32).reshape(column)

        value = execute(program, coordinate, partial(_apply, partial(_modular, moduli), residues))
        value = residues(value) if isinstance(value, Fraction) else value
        # From 0 to 2 size, to be compared with size.
        shifted = _sum(moduli, value * residues(denominator) % moduli, residues(size))
        return jnp.broadcast_to(_order(shifted, primes, size), x.shape[:-1])

    return sign_at


def _apply(
    compute: Callable[[str, Any, list[Any]], Any],
    lift: Callable[[Fraction], Any],
    operation: str,
    argument: Any,
    operands: list[Any],
) -> Any:
    """Apply an operation: directly to fractions, else by `compute` after `lift`.

    A division becomes a product.
    """
    if all(isinstance(operand, Fraction) for operand in operands):
        number = apply_operation(operation, argument, operands)
        _check_bits(number.numerator, number.denominator)
        return number
    if operation == "/":
        operation, operands = "*", [operands[0], 1 / operands[1]]
    lifted = [lift(each) if isinstance(each, Fraction) else each for each in operands]
    return compute(operation, argument, lifted)


def _scaled(number: Fraction) -> Scaled:
    return Scaled(number.denominator, abs(number.numerator))


def _bounded(operation: str, argument: Any, operands: list[Scaled]) -> Scaled:
    """Apply an operation to bounds."""
    first, second = operands[0], operands[-1]
    if operation == "*":
        found = Scaled(first.denominator * second.denominator, first.size * second.size)
    elif operation == "**":
        # The power 0 also has the denominator.
        denominator = first.denominator ** max(1, argument)
        found = Scaled(denominator, first.size**argument if argument else denominator)
    elif operation in ("+", "-"):
        denominator = math.lcm(first.denominator, second.denominator)
        found = Scaled(
            denominator, sum(each.size * (denominator // each.denominator) for each in operands)
        )
    else:
        found = first
    _check_bits(*found)
    return found


def _check_bits(*numbers: int) -> None:
    if max(number.bit_length() for number in numbers) > MAX_BITS:
        raise Refusal(
            f"numbers whose common denominator, or size in its units, has more than {MAX_BITS} "
            "bits; allowed fewer digits and smaller powers, as comparisons are exact"
        )


def _modular(moduli: jax.Array, operation: str, argument: Any, operands: list[Any]) -> jax.Array:
    """Apply an operation to residues uint32[..., primes], each below its modulus."""
    if operation == "*":
        return operands[0] * operands[1] % moduli
    if operation == "+":
        return _sum(moduli, *operands)
    if operation == "-":
        return _difference(moduli, *operands)
    if operation == "negate":
        return _difference(moduli, jnp.zeros_like(operands[0]), operands[0])
    if operation == "**":
        result, power = jnp.ones_like(operands[0]), operands[0]
        while argument:
            result = result * power % moduli if argument & 1 else result
            power = power * power % moduli
            argument >>= 1
        return result
    return operands[0]


def _sum(moduli: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    # A negative difference wraps around to a large number: the residue is the smaller one.
    return jnp.minimum(a + b, a + b - moduli)


def _difference(moduli: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.minimum(a - b, a - b + moduli)


def _order(residues: jax.Array, primes: list[int], size: int) -> jax.Array:
    """Compare numbers, given by their residues uint32[..., primes], with `size`: int32[...].

    Digit i of a mixed-radix number counts products of the first i primes. The most significant
    digit that differs decides.
    """
    order = jnp.zeros(residues.shape[:-1], jnp.int32)
    column = (1,) * (residues.ndim - 1) + (-1,)
    for number, prime in enumerate(primes):
        digit, own = residues[..., 0], jnp.uint32(size % prime)
        size //= prime
        order = jnp.where(digit == own, order, jnp.where(digit > own, 1, -1))
        rest = primes[number + 1 :]
        if rest:
            moduli = jnp.asarray(rest, jnp.uint32).reshape(column)
            inverses = jnp.asarray([pow(prime, -1, other) for other in rest], jnp.uint32)
            left = _difference(moduli, residues[..., 1:], digit[..., None] % moduli)
            residues = left * inverses.reshape(column) % moduli
    return order


def _primes(denominator: int, bound: int) -> list[int]:
    """Return primes that do not divide the denominator and whose product is above `bound`."""
    chosen: list[int] = []
    for prime in _primes_downwards():
        if math.prod(chosen) > bound:
            return chosen
        if denominator % prime:
            chosen.append(prime)
    raise AssertionError("there are more primes than MAX_BITS needs")


def _primes_downwards() -> Iterator[int]:
    """Yield the primes below `LARGEST_FACTOR`, the largest first."""
    is_prime = np.ones(LARGEST_FACTOR, bool)
    is_prime[:2] = False
    for number in range(2, math.isqrt(LARGEST_FACTOR) + 1):
        is_prime[number * number :: number] = False
    yield from map(int, np.flatnonzero(is_prime)[::-1])
