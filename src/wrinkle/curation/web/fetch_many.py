"""Many URLs → pictures: hosts are asked in parallel, each by one thread at a time.

A bad URL costs itself, never the others. Memory holds as many pictures as there are threads, and
`WINDOW` URLs.
"""

import math
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from queue import Empty, SimpleQueue

from wrinkle.curation.web.addresses import parse
from wrinkle.curation.web.fetch_result import FetchError, FetchResult
from wrinkle.curation.web.fetcher import Fetcher
from wrinkle.curation.web.rate_limit import RateLimit

WINDOW = 1000
"""URLs read ahead at most, so that other hosts are asked while one has to wait."""


def fetch_many(fetcher: Fetcher, urls: Iterable[str]) -> Iterator[FetchResult]:
    """One result for each URL, in the order in which they end.

    URLs are not compared with one another: give only one of those with the same `normalise`d form.
    Closing the iterator, or an exception in its consumer, starts no further request and does not
    wait for those in progress.
    """
    waiting = _Waiting(urls, fetcher.rate_limit)
    threads, now = fetcher.limits.threads, fetcher.rate_limit.now
    todo: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
    done: SimpleQueue[tuple[str, FetchResult]] = SimpleQueue()
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
                fetcher.rate_limit.sleep(wait)
                continue
            try:
                idle = busy < threads and wait < math.inf
                host, result = done.get(timeout=wait if idle else None)
            except Empty:
                continue
            busy -= 1
            waiting.release(host)
            yield result
    finally:
        for _ in range(threads):
            todo.put(None)


def _work(
    fetcher: Fetcher,
    todo: "SimpleQueue[tuple[str, str] | None]",
    done: "SimpleQueue[tuple[str, FetchResult]]",
) -> None:
    while job := todo.get():
        host, url = job
        done.put((host, fetcher.fetch(url)))


class _Waiting:
    """URLs by host, and a queue of the idle hosts by the time at which they may be asked."""

    def __init__(self, urls: Iterable[str], rate_limit: RateLimit) -> None:
        self._urls, self._rate_limit = iter(urls), rate_limit
        self._by_host: defaultdict[str, deque[str]] = defaultdict(deque)
        self._idle_hosts: list[tuple[float, str]] = []  # a heap
        self._count = 0

    def due(self) -> float:
        """When the next host may be asked; infinity if there is none."""
        return self._idle_hosts[0][0] if self._idle_hosts else math.inf

    def pop(self, now: float) -> tuple[str, str] | None:
        """A host that may be asked now and one of its URLs; the host is busy until `release`."""
        while self.due() > now and self._count < WINDOW:
            url = next(self._urls, None)
            if url is None:
                break
            host = _host(url)
            if host not in self._by_host:
                self._push(host)
            self._by_host[host].append(url)
            self._count += 1
        if self.due() > now:
            return None
        _, host = heappop(self._idle_hosts)
        self._count -= 1
        return host, self._by_host[host].popleft()

    def release(self, host: str) -> None:
        if self._by_host[host]:
            self._push(host)
        else:
            del self._by_host[host]

    def _push(self, host: str) -> None:
        heappush(self._idle_hosts, (self._rate_limit.due(host), host))


def _host(url: str) -> str:
    try:
        return parse(url).hostname
    except FetchError:  # fetching it will report this
        return ""
