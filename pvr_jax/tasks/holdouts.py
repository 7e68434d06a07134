"""Which inputs training may see, and how an input is brought there."""

from typing import Any

import jax
import jax.numpy as jnp

from pvr_jax.boolean.cube import coordinate_mask
from pvr_jax.tasks import checks

VALUES = (-1, 1)
LARGEST_MASK_N = 24


def canonical(n: int, bit: int | jax.Array, value: int = 1) -> jax.Array:
    """Mask of the inputs seen under the canonical holdout, those with x_bit = value.

    -> bool[2^n] in the order of `cube.points`, n up to 24. `bit` may be traced, then its range
    is not checked. The authors freeze to +1 alone; value = -1 is the mirror image.

    Raises ValueError for a bit that is not in 0..n-1 and for a value that is not -1 or +1.
    Source: Abbe et al. 2022, canonical holdout.
    """
    n = checks.whole_number("n", n, 1, LARGEST_MASK_N)
    bit = checks.bit_number(bit, n)
    value = checks.one_of("value", value, VALUES)
    is_up = (jnp.arange(2**n, dtype=jnp.int32) & coordinate_mask(bit, n)) != 0
    return is_up if value == 1 else ~is_up


def freeze(x: Any, bit: int | jax.Array, value: int = 1) -> jax.Array:
    """Set one coordinate of every input to `value`, whatever it was.

    x[..., n] -> x[..., n] in its own type. `bit` may be traced, then its range is not checked.
    Half of the inputs move: a label computed before no longer belongs to them. The authors freeze
    first and label then.

    Raises ValueError for a bit that is not in 0..n-1 and for a value that is not -1 or +1.
    Source: Abbe et al. 2022, canonical holdout.
    """
    x = jnp.asarray(x)
    n = x.shape[-1]
    bit = checks.bit_number(bit, n)
    value = checks.one_of("value", value, VALUES)
    places = jnp.arange(n, dtype=jnp.int32).reshape((1,) * (x.ndim - 1) + (n,))
    return jnp.where(places == bit, jnp.asarray(value, x.dtype), x)
