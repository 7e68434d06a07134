"""Numbers as text in names and labels, where different numbers need different texts."""


def exact(value: float) -> str:
    """Return a number in up to six digits (0.001, 5e-05) if these are all it has, else in full."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
