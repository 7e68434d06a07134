"""The one kind of ValueError that is about what a user gave."""


class Refusal(ValueError):
    """A bad value, in one line: "<name>: given <value>; allowed <what>".

    Any other ValueError is a fault of this package or of a library below it, and is never shown as
    if it were about what a user gave.
    """
