"""Threads that compute with one core each, for networks too small to be shared by cores."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_changing = threading.Lock()
_users, _usual = 0, 1
"""How many threads are in `_one_core`, and how many cores an operation uses outside it."""


class Threads:
    """As many threads as torch has for one operation; created at first use and after a fork."""

    def __init__(self) -> None:
        self._creating = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._process, self._count = 0, 0

    def map(
        self, function: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]
    ) -> list[Result]:
        """Divide items among the threads.

        Args:
            function: items → a result for each.
            items: its argument.

        Returns:
            A result for each item, in their order.
        """
        with _one_core() as count:
            if count == 1 or len(items) < 2:
                return function(items)
            parts = [items[first::count] for first in range(min(count, len(items)))]
            found = list(self._threads(count).map(partial(_with_one_core, function), parts))
        return [found[n % len(parts)][n // len(parts)] for n in range(len(items))]

    def _threads(self, count: int) -> ThreadPoolExecutor:
        with self._creating:
            if self._pool is None or (self._process, self._count) != (os.getpid(), count):
                self._pool = ThreadPoolExecutor(count, "wrinkle-detector")
                self._process, self._count = os.getpid(), count
            return self._pool


def _with_one_core(
    function: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]
) -> list[Result]:
    torch.set_num_threads(1)  # in this thread, and in those that compute for the first time
    return function(items)


@contextmanager
def _one_core() -> Iterator[int]:
    """Let torch operations use one core; gives how many they use otherwise."""
    global _users, _usual
    with _changing:
        if not _users:
            _usual = torch.get_num_threads()
        _users += 1
        count = _usual
    try:
        if count > 1:
            torch.set_num_threads(1)
        yield count
    finally:
        with _changing:
            _users -= 1
        if count > 1:
            torch.set_num_threads(count)
