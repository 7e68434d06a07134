"""Numbers as text in tables and sentences."""

import math
import re

import numpy as np

from pvr_jax.results import statistics

MISSING = "–"
LARGE = 1e5  # from here on numbers have an exponent, unless their decimals are asked for
_NEGATIVE_ZERO = re.compile(r"-(0\.?0*)$")


def number(value: float, digits: int = 4) -> str:
    """Return `value` with `digits` significant digits; a dash for NaN."""
    if not math.isfinite(value):
        return MISSING
    text = f"{value:#.{digits}g}".rstrip(".")
    return text.replace("-0.000", "0.000") if value == 0 else text


def interval(
    value: float, low: float, high: float, digits: int = 4, decimals: int | None = None
) -> str:
    """Return `value [low, high]`, or `value [–]` where there is no interval; a dash for NaN.

    All three have the decimals that give `value` that many digits, or those asked for.
    """
    if not math.isfinite(value):
        return MISSING
    is_large = decimals is None and abs(value) >= LARGE
    if decimals is None:
        decimals = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
    texts = [
        number(part, digits)
        if is_large or decimals > 6
        else _NEGATIVE_ZERO.sub(r"\1", f"{part:.{max(decimals, 0)}f}")
        for part in (value, low, high)
    ]
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{texts[0]} [{MISSING}]"
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def exact_value(value: float) -> str:
    """Return an exact value as it is, 0.46875 or 113; a dash for NaN."""
    return f"{value:.6g}" if math.isfinite(value) else MISSING


def share(value: float, sign: str = "") -> str:
    """Return a share with two digits as a percentage: 0.31 %, 14 %, 120 %; `sign` "+" shows it."""
    if not math.isfinite(value):
        return MISSING
    percent = 100 * value
    digits = 1 - math.floor(math.log10(abs(percent))) if percent else 0
    return f"{round(percent, digits):{sign}.{max(digits, 0)}f} %"


def p_value(value: float) -> str:
    """Return a p-value with two significant digits; a dash for NaN."""
    return number(value, 2) if value >= 0.0001 or math.isnan(value) else f"{value:.0e}"


def seeds(values: np.ndarray, geometric: bool = False) -> str:
    """Return what stands beside the mean of `values` [R] where a mean alone would mislead.

    The values of fewer than five seeds, or sizes and means of two groups of seeds; else nothing.
    The groups of a `geometric` mean are those of the logarithms.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if 2 <= len(values) < statistics.FEW_SEEDS:
        return f" ({', '.join(map(_short, values))})"
    groups = statistics.groups_of_seeds(np.log(values) if geometric else values)
    if groups is None:
        return ""
    means = [math.exp(side.mean()) if geometric else side.mean() for side in groups]
    parts = [f"{len(side)} at {_short(center)}" for side, center in zip(groups, means, strict=True)]
    return f" ({' and '.join(parts)})"


def _short(value: float) -> str:
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else number(value, 3)
