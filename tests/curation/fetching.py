"""A fetcher for the local web of tests, and a clock without waiting."""

import threading
from typing import Any

from benchmarks.local_web import CONTACT, LOOPBACK

from wrinkle.curation.web.fetcher import Fetcher, Limits


class Clock:
    """A clock that advances by `sleep` only."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.time += seconds
            self.slept.append(seconds)


def make_fetcher(clock: Clock | None = None, **options: Any) -> Fetcher:
    """A fetcher that may ask 127.0.0.1 and does not really wait."""
    clock = clock or Clock()
    limits = Limits(**{"seconds": 1.5, **options.pop("limits", {})})
    options = {"allow": LOOPBACK, "now": clock.now, "sleep": clock.sleep, **options}
    return Fetcher(CONTACT, limits, **options)
