"""Masks of seen sets: bool[2^n] in the order of `cube.points`, n up to 24."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from pvr_jax import checks
from pvr_jax.boolean import cube
from pvr_jax.boolean.cube import coordinate_mask

VALUES = (-1, 1)
LARGEST_MASK_N = 24


def canonical(n: int, bit: int | jax.Array, value: int = 1) -> jax.Array:
    """Mask of the inputs seen under the canonical holdout, those with x_bit = value.

    -> bool[2^n] in the order of `cube.points`, n up to 24. `bit` may be traced, then its range is
    not checked. The authors freeze to +1 only; value = -1 is the mirror image.

    Raises ValueError for a bit that is not in 0..n-1 and for a value that is not -1 or +1.
    Source: Abbe et al. 2022, canonical holdout.

    >>> from pvr_jax.tasks import holdouts
    >>> holdouts.canonical(2, bit=0).tolist()  # x0 = 1
    [False, False, True, True]
    """
    n = checks.integer(1, LARGEST_MASK_N).check("n", n)
    bit = checks.bit_number(bit, n)
    value = checks.one_of(*VALUES).check("value", value)
    is_up = (jnp.arange(2**n, dtype=jnp.int32) & coordinate_mask(bit, n)) != 0
    return is_up if value == 1 else ~is_up


def freeze(x: Any, bit: int | jax.Array, value: int = 1) -> jax.Array:
    """Set one coordinate of every input to `value`.

    x[..., n] -> x[..., n] in its own dtype. `bit` may be traced, then its range is not checked.
    Freeze before labeling, as the authors do: half of the inputs change.

    Raises ValueError for a bit that is not in 0..n-1, for a value that is not -1 or +1, and for x
    of Booleans or unsigned integers.
    Source: Abbe et al. 2022, canonical holdout.
    """
    x = checks.signs(x)
    n = x.shape[-1]
    bit = checks.bit_number(bit, n)
    value = checks.one_of(*VALUES).check("value", value)
    places = jnp.arange(n, dtype=jnp.int32).reshape((1,) * (x.ndim - 1) + (n,))
    return jnp.where(places == bit, jnp.asarray(value, x.dtype), x)


def where(n: int, predicate: Callable[[jax.Array], Any]) -> jax.Array:
    """Mask of the inputs for which a predicate holds: `predicate(x[2^n, n]) -> bool[2^n]`.

    -> bool[2^n]. For example x_0 = 1 or x_1 = 1: `where(n, lambda x: (x[:, 0] == 1) | (x[:, 1] ==
    1))`. The predicate sees all points at once, in 4 n 2^n bytes.

    Raises ValueError if it does not give one boolean per point, or shows nothing.
    Source: Abbe et al. 2023, generalization on the unseen.
    """
    n = checks.integer(1, LARGEST_MASK_N).check("n", n)
    seen = jnp.asarray(predicate(cube.points(n)))
    if seen.shape != (2**n,) or seen.dtype != bool:
        given = f"{seen.dtype}{list(seen.shape)}"
        raise checks.invalid("predicate", given, f"a function whose result is bool[{2**n}]")
    if not seen.any():
        raise checks.invalid("predicate", "one that holds nowhere", "one that holds for some input")
    return seen


def subcube(n: int, values: Mapping[int, int]) -> jax.Array:
    """Mask of the inputs with x_k = v for all pairs k: v of `values`: bool[2^n].

    One pair is the canonical holdout, none the whole cube.
    Raises ValueError for a coordinate not in 0..n-1 or a value that is not -1 or +1.
    """
    n = checks.integer(1, LARGEST_MASK_N).check("n", n)
    seen = jnp.ones(2**n, bool)
    for bit, value in values.items():
        seen &= canonical(n, bit, value)
    return seen


def parity(n: int, coordinates: Iterable[int], value: int = 1) -> jax.Array:
    """Mask of the inputs whose product over `coordinates` is `value`: bool[2^n].

    Raises ValueError for no coordinates, one twice or out of range, or a value that is not -1 or
    +1.
    """
    n = checks.integer(1, LARGEST_MASK_N).check("n", n)
    value = checks.one_of(*VALUES).check("value", value)
    coordinates = tuple(coordinates)
    if not coordinates:
        raise checks.invalid("coordinates", coordinates, f"one or more of 0 to {n - 1}")
    return cube.character(cube.index(coordinates, n), n) == value


def hamming_ball(n: int, radius: int, center: int | None = None) -> jax.Array:
    """Mask of the inputs that differ from a center in at most `radius` coordinates: bool[2^n].

    `center` is the index of a point; None is the point of all +1, so that training sees the inputs
    with at most `radius` entries -1 and not longer ones (length generalization).
    Raises ValueError for a radius not in 0..n or a center not in 0..2^n - 1.
    """
    n = checks.integer(1, LARGEST_MASK_N).check("n", n)
    radius = checks.integer(0, n).check("radius", radius)
    center = 2**n - 1 if center is None else checks.integer(0, 2**n - 1).check("center", center)
    numbers = jnp.arange(2**n, dtype=jnp.int32)
    return jax.lax.population_count(numbers ^ center) <= radius


def random(n: int, fraction: float, key: jax.Array) -> jax.Array:
    """Mask of a random fraction of the inputs, drawn without replacement: bool[2^n].

    It has `fraction` 2^n of them, rounded, and at least one.
    Raises ValueError for a fraction that is not in (0, 1].
    """
    n = checks.integer(1, LARGEST_MASK_N).check("n", n)
    fraction = checks.finite("fraction", fraction)
    if not 0 < fraction <= 1:
        raise checks.invalid("fraction", fraction, "numbers above 0 and up to 1")
    count = max(1, round(fraction * 2**n))
    chosen = jax.random.permutation(key, 2**n)[:count]
    return jnp.zeros(2**n, bool).at[chosen].set(True)
