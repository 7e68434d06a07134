"""Format numbers for tables and sentences."""

import math
import re

import numpy as np

from pvr_jax.results import statistics

MISSING = "–"
LARGE = 1e5  # larger numbers have an exponent, unless `decimals` is given
_NEGATIVE_ZERO = re.compile(r"-(0\.?0*)$")


def number(value: float, digits: int = 4) -> str:
    """Format `value` with `digits` significant digits; NaN is a dash."""
    if not math.isfinite(value):
        return MISSING
    text = f"{value:#.{digits}g}".rstrip(".")
    return text.replace("-0.000", "0.000") if value == 0 else text


def interval(
    value: float, low: float, high: float, digits: int = 4, decimals: int | None = None
) -> str:
    """Format `value [low, high]`, or `value [–]` without an interval; NaN is a dash.

    All three have as many decimals as give `value` its `digits`, or `decimals`.
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
    """Format an exact value in full, 0.46875 or 113; NaN is a dash."""
    return f"{value:.6g}" if math.isfinite(value) else MISSING


def share(value: float, sign: str = "") -> str:
    """Format a share as a percentage with two digits: 0.31 %, 14 %, 120 %."""
    if not math.isfinite(value):
        return MISSING
    percent = 100 * value
    digits = 1 - math.floor(math.log10(abs(percent))) if percent else 0
    return f"{round(percent, digits):{sign}.{max(digits, 0)}f} %"


def p_value(value: float) -> str:
    """Format a p-value with two significant digits; NaN is a dash."""
    return number(value, 2) if value >= 0.0001 or math.isnan(value) else f"{value:.0e}"


def seeds(values: np.ndarray, geometric: bool = False) -> str:
    """Format what a mean of `values` [R] hides.

    The values of fewer than five seeds, or the sizes and means of two groups of seeds; else "".
    With a `geometric` mean, groups are those of the logarithms.
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
