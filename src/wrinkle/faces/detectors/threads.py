"""Threads that compute with one core each, for networks too small to be shared by cores."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_this_thread = threading.local()


def cores() -> int:
    """How many cores a torch operation of this thread uses; 1 in the threads of `Threads`."""
    return 1 if hasattr(_this_thread, "one_core") else torch.get_num_threads()


class Threads:
    """As many threads as torch has for one operation; created at first use and after a fork."""

    def __init__(self) -> None:
        self._creating = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._process, self._count = 0, 0

    def map(
        self, function: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]
    ) -> list[Result]:
        """Divide items among the threads; in one of them, or with one core, no further.

        Args:
            function: items → a result for each.
            items: its argument.

        Returns:
            A result for each item, in their order.
        """
        count = cores()
        if count == 1:
            return function(items)
        parts = [items[first::count] for first in range(max(min(count, len(items)), 1))]
        waiting = [self.submit(function, part) for part in parts]
        found = [each.result() for each in waiting]
        return [found[n % len(parts)][n // len(parts)] for n in range(len(items))]

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Call a function in one of the threads."""
        return self._threads(torch.get_num_threads()).submit(function, *arguments)

    def _threads(self, count: int) -> ThreadPoolExecutor:
        with self._creating:
            if self._pool is None or (self._process, self._count) != (os.getpid(), count):
                self._pool = ThreadPoolExecutor(count, "wrinkle-compute")
                self._process, self._count = os.getpid(), count
                ready = threading.Barrier(count + 1)
                for _ in range(count):
                    self._pool.submit(_use_one_core, ready)
                ready.wait()
                # It was also set for threads that will compute for the first time.
                torch.set_num_threads(count)
            return self._pool


def _use_one_core(ready: threading.Barrier) -> None:
    torch.get_num_threads()  # or torch would set the common number at the first computation
    torch.set_num_threads(1)
    _this_thread.one_core = True
    ready.wait()
