"""Checks of targets and seen sets; each complaint is one line."""

import numpy as np
from jax.typing import ArrayLike

from pvr_jax.boolean import cube
from pvr_jax.refusal import Refusal


def target_and_seen(values: ArrayLike, seen: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return a function float64[2^n], zero where unseen, and its seen set bool[2^n].

    Whatever `values` holds at unseen points, NaN included, is never read.
    Raises ValueError if the shapes are not [2^n] both, `seen` is not boolean or shows nothing, or
    a seen value is not finite.
    """
    seen = seen_set(seen)
    values = np.asarray(values)
    if values.shape != seen.shape:
        raise Refusal(
            f"values: given shape {values.shape}; allowed {seen.shape}, the shape of seen"
        )
    if values.dtype.kind not in "biuf":
        raise Refusal(f"values: given dtype {values.dtype}; allowed real numbers")
    values = np.where(seen, values, 0).astype(np.float64)
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise Refusal(
            f"values: given {values[place]} at the seen point {place}; allowed finite numbers"
        )
    return values, seen


def seen_set(seen: ArrayLike) -> np.ndarray:
    """Return a seen set as bool[2^n].

    Raises ValueError if it is not a boolean array [2^n], or shows nothing.
    """
    seen = np.asarray(seen)
    if seen.dtype != bool:
        raise Refusal(f"seen: given dtype {seen.dtype}; allowed bool, True where training looks")
    if seen.ndim != 1:
        raise Refusal(f"seen: given shape {seen.shape}; allowed one axis of length 2^n")
    cube.dimension(seen, "seen")
    if not seen.any():
        raise Refusal("seen: given no seen point; allowed one or more")
    return seen
