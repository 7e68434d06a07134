"""What is said of noise sensitivity and the samples that tasks need."""

import math

from pvr_jax.reporting.accuracy.thresholds import LEVEL, Correlation


def noise_sentence(c: Correlation) -> str:
    """Return what the rank correlation with noise sensitivity is, and what it supports."""
    if not math.isfinite(c.value):
        return (
            f"Of {c.tasks} tasks {c.reached} reach {LEVEL}: too few, or all alike, for a rank "
            "correlation of noise sensitivity with the samples they need."
        )
    text = (
        f"The rank correlation of noise sensitivity with the samples to {LEVEL} is "
        f"{_correlation(c.value, c.low, c.high)} over {c.tasks} tasks"
    )
    censored = c.tasks - c.reached
    if censored:
        text += f", of which {censored} do not reach it and are tied at the top"
    text += ". "
    if censored and math.isfinite(c.reached_value):
        text += (
            f"Over the {c.reached} that reach it alone it is "
            f"{_correlation(c.reached_value, c.reached_low, c.reached_high)}. "
        )
    elif censored:
        text += f"The {c.reached} that reach it are too few for one of their own. "
    if not math.isfinite(c.low):
        return f"{text}So few tasks give no interval."
    if c.low > 0:
        return f"{text}Tasks that are more sensitive to noise need more samples, as expected."
    if c.high < 0:
        return f"{text}The expectation fails: tasks more sensitive to noise need fewer samples."
    return f"{text}The interval holds zero: the expectation of a positive one is not confirmed."


def _correlation(value: float, low: float, high: float) -> str:
    text = f"{value:.2f} [{low:.2f}, {high:.2f}]" if math.isfinite(low) else f"{value:.2f} [–]"
    return text.replace("-", "−")
