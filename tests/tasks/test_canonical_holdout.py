"""The canonical holdout: which inputs are seen, and how one is frozen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax.boolean.cube import points
from pvr_jax.tasks import holdouts


@pytest.mark.parametrize("value", [-1, 1])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_seen_are_the_points_with_that_value(n, value):
    for bit in range(n):
        seen = holdouts.canonical(n, bit, value)
        assert seen.dtype == bool
        np.testing.assert_array_equal(seen, points(n)[:, bit] == value)


def test_seen_for_a_traced_bit():
    mapped = jax.jit(jax.vmap(lambda bit: holdouts.canonical(4, bit)))(jnp.arange(4))
    expected = np.stack([holdouts.canonical(4, bit) for bit in range(4)])
    np.testing.assert_array_equal(mapped, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("value", [-1, 1])
@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_freeze_sets_one_coordinate(leading, value, dtype):
    x = np.random.default_rng(0).choice([-1, 1], size=(*leading, 4)).astype(dtype)
    for bit in (0, 3, np.int64(2), jnp.int32(1)):
        frozen = holdouts.freeze(x, bit, value)
        expected = x.copy()
        expected[..., int(bit)] = value
        assert frozen.dtype == dtype
        np.testing.assert_array_equal(frozen, expected)


def test_freeze_with_a_traced_bit():
    x = points(3)
    mapped = jax.jit(jax.vmap(holdouts.freeze, in_axes=(None, 0)))(x, jnp.arange(3))
    expected = np.stack([holdouts.freeze(x, bit) for bit in range(3)])
    np.testing.assert_array_equal(mapped, expected)


def test_freezing_twice_is_freezing_once_and_every_point_is_seen():
    frozen = holdouts.freeze(points(5), 2, -1)
    np.testing.assert_array_equal(holdouts.freeze(frozen, 2, -1), frozen)
    distinct = np.unique(np.asarray(frozen), axis=0)
    seen = np.asarray(points(5))[np.asarray(holdouts.canonical(5, 2, -1))]
    np.testing.assert_array_equal(distinct, seen)


@pytest.mark.parametrize(
    ("bit", "given"),
    [
        (11, "11"),
        (-1, "-1"),
        (1.0, "1.0"),
        (True, "True"),
        ("1", "'1'"),
        (None, "None"),
        (np.int32(11), "11"),
        (jnp.int32(11), "11"),
    ],
)
def test_bits_out_of_range(bit, given):
    for call in (
        lambda: holdouts.canonical(11, bit),
        lambda: holdouts.freeze(np.ones((2, 11), np.float32), bit),
    ):
        with pytest.raises(ValueError) as raised:
            call()
        assert str(raised.value) == f"bit: given {given}; allowed 0 to 10"


@pytest.mark.parametrize("bit", [jnp.arange(2), jnp.float32(1), np.array([1])])
def test_bits_of_another_kind(bit):
    with pytest.raises(ValueError, match=r"^bit: given .*; allowed 0 to 10$"):
        holdouts.canonical(11, bit)
    with pytest.raises(ValueError, match=r"^bit: given .*; allowed 0 to 10"):
        jax.jit(lambda bit: holdouts.canonical(11, bit))(bit)


def test_other_parameters():
    with pytest.raises(ValueError, match=r"^value: given 0; allowed -1, 1$"):
        holdouts.canonical(3, 0, 0)
    with pytest.raises(ValueError, match=r"^value: given True; allowed -1, 1$"):
        holdouts.freeze(points(3), 0, True)
    with pytest.raises(ValueError, match=r"^n: given 25; allowed 1 to 24$"):
        holdouts.canonical(25, 0)
    with pytest.raises(ValueError, match=r"^n: given 0; allowed 1 to 24$"):
        holdouts.canonical(0, 0)
