"""Operations are told apart by what they do, and nested events counted once."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import where_time_goes


def kinds(function, *shapes):
    """Return the kinds of the operations of a compiled function that its user wrote."""
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    text = jax.jit(function).lower(*arguments).compile().as_text()
    return {operation.kind for operation in where_time_goes.operations(text).values()}


@pytest.mark.parametrize(
    ("function", "shapes", "kind"),
    [
        (lambda x, y: x @ y, ((64, 64), (64, 64)), "products"),
        (lambda x: x.sum(0), ((64, 64),), "sums"),
        (lambda x: jnp.concatenate([x.T, x]), ((64, 64),), "moves"),
        (lambda x: jnp.exp(x) + 1, ((64, 64),), "elementwise"),
        (lambda x: jax.lax.fori_loop(0, x.shape[0], lambda _, y: y * y, x), ((64,),), "control"),
    ],
)
def test_the_kind_of_an_operation_is_what_it_does(function, shapes, kind):
    assert kind in kinds(function, *shapes)
    others = set(where_time_goes.KINDS) - {kind, "moves", "elementwise"}
    assert not kinds(function, *shapes) & others


def test_an_event_does_not_own_what_it_spends_in_others():
    second = 10**9
    events = [
        (0, 10 * second, "while.1"),
        (1 * second, 3 * second, "dot.1"),
        (2 * second, 1 * second, None),  # no operation of the program: part of the product
        (5 * second, 1 * second, "dot.1"),
        (11 * second, 1 * second, "copy"),
    ]
    found = where_time_goes.own_seconds(events[::-1])
    assert found == {"while.1": 6.0, "dot.1": 4.0, "copy": 1.0}
