"""Requests to one host start at least so many seconds apart, whichever thread makes them."""

import threading
from collections.abc import Callable

MAX_HOSTS = 10_000
"""Hosts whose next request time is remembered."""


class RateLimit:
    """The time of the next allowed request of each host. Safe to use from several threads.

    Args:
        now: the time in seconds.
        sleep: waits for so many seconds of the same clock.
    """

    def __init__(self, now: Callable[[], float], sleep: Callable[[float], object]) -> None:
        self.now, self.sleep = now, sleep
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()

    def due(self, host: str) -> float:
        """When the host may be asked again; in the past if it may be asked now."""
        return self._due.get(host, float("-inf"))

    def wait(self, host: str, interval: float) -> None:
        """Sleep until the host may be asked; the next request starts `interval` seconds later."""
        with self._lock:
            now = self.now()
            if len(self._due) > MAX_HOSTS:
                self._due = {name: due for name, due in self._due.items() if due > now}
            start = max(now, self.due(host))
            self._due[host] = start + interval
        if start > now:
            self.sleep(start - now)

    def pause(self, host: str, seconds: float) -> None:
        """Allow no request to the host for so many seconds."""
        with self._lock:
            self._due[host] = max(self.due(host), self.now() + seconds)
