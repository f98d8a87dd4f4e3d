"""Stopping a run in order: Ctrl-C and SIGTERM."""

import signal
from types import FrameType


class Stopped(KeyboardInterrupt):
    """Training stopped on request, its state written. `str(error)` says how to go on."""


class StopRequest:
    """Ctrl-C and SIGTERM as a flag, so that no step is left half done.

    A second signal raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "StopRequest":
        self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """KeyboardInterrupt if a signal has come."""
        if self.requested:
            raise KeyboardInterrupt
