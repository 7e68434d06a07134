"""The error for bad values from users."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

LONGEST_SHOWN = 200


class Refusal(ValueError):
    """A bad value from a user, in one line: "<name>: given <value>; allowed <what>".

    Any other ValueError is a bug in this package or a library, and is shown with its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def did_you_mean(given: Any, allowed: Iterable[str], write: Callable[[str], str] = repr) -> str:
    """Return " (did you mean 'mlp'?)", or "" where nothing in `allowed` is close to `given`."""
    near = difflib.get_close_matches(str(given), allowed, n=1)
    return f" (did you mean {write(near[0])}?)" if near else ""


def format_value(given: Any) -> str:
    """Format a value for a message: one line, truncated if long."""
    try:
        text = " ".join(repr(given).split())
    except ValueError:  # Python prints no integer of more than 4,300 digits
        return f"a value of type {type(given).__name__}"
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
