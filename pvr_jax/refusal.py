"""The one kind of ValueError that is about what a user gave."""

from typing import Any

LONGEST_SHOWN = 200


class Refusal(ValueError):
    """A bad value, in one line: "<name>: given <value>; allowed <what>".

    Any other ValueError is a fault of this package or of a library below it, and is never shown as
    if it were about what a user gave.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def shown(given: Any) -> str:
    """Return a value as a message shows it: in one line, and cut where it is long."""
    try:
        text = " ".join(repr(given).split())
    except ValueError:  # Python shows no whole number of more than 4,300 digits
        return f"a value of type {type(given).__name__}"
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
