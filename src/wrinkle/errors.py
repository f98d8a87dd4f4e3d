"""The one kind of error a user sees: a line that says what is wrong and what to do."""


class WrinkleError(Exception):
    """Bad input. `str(error)` is one line for people; the command line prints just that."""


class ImageError(WrinkleError):
    """A picture that cannot be used. It costs itself, never the batch it came in."""
