"""Many URLs → pictures: hosts are asked side by side, each by one thread at a time.

Whatever is behind a URL costs that URL, never the batch. Memory holds as many pictures as there are
threads, and `WINDOW` URLs.
"""

import math
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from queue import Empty, SimpleQueue

from wrinkle.curation.addresses import parse
from wrinkle.curation.fetch import Fetcher
from wrinkle.curation.records import Fetched, FetchError
from wrinkle.curation.turns import Turns

WINDOW = 1000
"""URLs read ahead at most, so that other hosts are asked while one may not be."""


def fetch_all(fetcher: Fetcher, urls: Iterable[str]) -> Iterator[Fetched]:
    """One record for each URL, in the order in which they end.

    URLs are not compared with one another: leave one of those that `normalise` alike. Closing the
    iterator, or an exception where it is read, begins nothing new; nobody waits for what is under
    way.
    """
    waiting = _Waiting(urls, fetcher.turns)
    threads, now = fetcher.limits.threads, fetcher.turns.now
    todo: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
    done: SimpleQueue[tuple[str, Fetched]] = SimpleQueue()
    for _ in range(threads):
        # Daemons, unlike a pool's threads: a program that is stopped must not wait for a server.
        threading.Thread(target=_work, args=(fetcher, todo, done), daemon=True).start()
    busy = 0
    try:
        while True:
            while busy < threads and (job := waiting.pop(now())):
                todo.put(job)
                busy += 1
            wait = max(0.0, waiting.due() - now())
            if not busy and wait == math.inf:
                return
            if not busy:
                fetcher.turns.sleep(wait)
                continue
            try:
                idle = busy < threads and wait < math.inf
                host, fetched = done.get(timeout=wait if idle else None)
            except Empty:
                continue
            busy -= 1
            waiting.release(host)
            yield fetched
    finally:
        for _ in range(threads):
            todo.put(None)


def _work(
    fetcher: Fetcher,
    todo: "SimpleQueue[tuple[str, str] | None]",
    done: "SimpleQueue[tuple[str, Fetched]]",
) -> None:
    while job := todo.get():
        host, url = job
        done.put((host, fetcher.fetch(url)))


class _Waiting:
    """URLs by host, and the hosts nobody is asking by when they may be asked."""

    def __init__(self, urls: Iterable[str], turns: Turns) -> None:
        self._urls, self._turns = iter(urls), turns
        self._by_host: defaultdict[str, deque[str]] = defaultdict(deque)
        self._line: list[tuple[float, str]] = []
        self._count = 0

    def due(self) -> float:
        """When the next host may be asked; infinity where none waits."""
        return self._line[0][0] if self._line else math.inf

    def pop(self, now: float) -> tuple[str, str] | None:
        """A host that may be asked now and a URL of its own; nobody else gets it till `release`."""
        while self.due() > now and self._count < WINDOW:
            url = next(self._urls, None)
            if url is None:
                break
            host = _host(url)
            if host not in self._by_host:
                heappush(self._line, (self._turns.due(host), host))
            self._by_host[host].append(url)
            self._count += 1
        if self.due() > now:
            return None
        _, host = heappop(self._line)
        self._count -= 1
        return host, self._by_host[host].popleft()

    def release(self, host: str) -> None:
        if self._by_host[host]:
            heappush(self._line, (self._turns.due(host), host))
        else:
            del self._by_host[host]


def _host(url: str) -> str:
    try:
        return parse(url).hostname
    except FetchError:  # it will be said when its turn comes
        return ""
