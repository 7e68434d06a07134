"""Numbers as text in names and labels: different numbers, different texts."""


def exact(value: float) -> str:
    """Format a number with six digits (0.001, 5e-05) if that is exact, else in full."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
