"""Handling of Ctrl-C and SIGTERM, so that a run stops between steps."""

import signal
from types import FrameType


class Stopped(KeyboardInterrupt):
    """Training was stopped on request and its state written; the message tells how to resume."""


class StopRequest:
    """Context manager that turns Ctrl-C and SIGTERM into the flag `requested`.

    A second signal raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.requested = False

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
        self.requested = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal was received."""
        if self.requested:
            raise KeyboardInterrupt
