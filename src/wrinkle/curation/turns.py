"""Whose turn it is: requests to one host start some seconds apart, whoever makes them."""

import threading
from collections.abc import Callable

REMEMBERED = 10_000
"""Hosts to keep in mind at a time."""


class Turns:
    """Turns by host; `now` and `sleep` are seconds of one clock. Any thread may ask."""

    def __init__(self, now: Callable[[], float], sleep: Callable[[float], object]) -> None:
        self.now, self.sleep = now, sleep
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()

    def due(self, host: str) -> float:
        """When the host may be asked again; in the past where it may be asked now."""
        return self._due.get(host, float("-inf"))

    def take(self, host: str, interval: float) -> None:
        """Wait for a turn; the next one comes `interval` seconds after it."""
        with self._lock:
            now = self.now()
            if len(self._due) > REMEMBERED:
                self._due = {name: due for name, due in self._due.items() if due > now}
            start = max(now, self.due(host))
            self._due[host] = start + interval
        if start > now:
            self.sleep(start - now)

    def hold(self, host: str, seconds: float) -> None:
        """Let nobody ask the host before so many seconds have gone by."""
        with self._lock:
            self._due[host] = max(self.due(host), self.now() + seconds)
