"""Plain sentences that say what the numbers show, agreement and disagreement alike."""

NOTABLE_LEAK = 0.05
SIMULTANEOUS = "95 % for all cells at once"
NOTABLE_SHRINKING = 0.05  # 1 − c below this is not called shrinking


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
