"""Handling of Ctrl-C and SIGTERM, so that a run stops between steps."""

import signal
from types import FrameType


class Stopped(KeyboardInterrupt):
    """Training was stopped on request and its state written; the message tells how to resume.

    Args:
        signal: the number of the signal that asked for it.
    """

    def __init__(self, message: str, signal: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal = signal


class StopRequest:
    """Context manager that turns Ctrl-C and SIGTERM into the flag `requested`.

    `signal` is the number of the first signal.

    A second signal raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self.signal: int = signal.SIGINT

    def __enter__(self) -> "StopRequest":
        signals = (signal.SIGINT, signal.SIGTERM)
        self._previous = {number: signal.signal(number, self._request) for number in signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested, self.signal = True, number

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal was received."""
        if self.requested:
            raise KeyboardInterrupt
