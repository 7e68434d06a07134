"""Operations are told apart by what they do, and nested events counted once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from benchmarks import where_time_goes


class Event(NamedTuple):
    start: float
    duration: float
    stats: dict

    @classmethod
    def of(cls, start, end, operation=None):
        stats = {} if operation is None else {"hlo_op": operation}
        return (start, end - start, cls(start, end - start, stats))


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
    second = 1e9
    events = [
        Event.of(0, 10 * second, "while.1"),
        Event.of(1 * second, 4 * second, "dot.1"),
        Event.of(2 * second, 3 * second),  # no operation of the program: part of the product
        Event.of(5 * second, 6 * second, "dot.1"),
        Event.of(11 * second, 12 * second, "copy"),
    ]
    found = where_time_goes.own_seconds(events[::-1])
    assert found == {"while.1": 6.0, "dot.1": 4.0, "copy": 1.0}
