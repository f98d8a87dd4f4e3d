"""Pictures in groups: some are read while others are computed, in order and in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from wrinkle.cores import usable_cores
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.decode import count_pixels, decode
from wrinkle.faces.detectors.threads import Threads
from wrinkle.faces.pictures import Picture, in_memory
from wrinkle.serving.prediction import Prediction
from wrinkle.serving.process import ForkGate

MEMORY_PIXELS = 48_000_000
"""Largest number of pixels of the photographs that are computed at a time, about 150 MB, and of
those that are read ahead. A single photograph may exceed it."""

Group = list[Prediction]
Groups = Iterator[tuple[Group, int, bool]]
Busy = tuple[Future[None], Group, int]
"""A group that is computed, and the number of its pixels."""
_GATE = ForkGate()


def in_groups(source: Iterator[Picture], batch: int, cores: int) -> Groups:
    """Read pictures in threads, up to `batch` of them ahead.

    Args:
        source: the pictures.
        batch: pictures in a group.
        cores: groups that are computed at a time. If there are several, a group has up to 8
            pictures, and the last ones are equal in size.

    Yields:
        A group, the number of its pixels, and whether it is the last.
    """
    size, share = batch, MEMORY_PIXELS
    if cores > 1:
        size, share = min(batch // (2 * cores), 8), MEMORY_PIXELS // (2 * cores)
    waiting: deque[tuple[Future[Prediction], int]] = deque()
    process = os.getpid()
    pool = ThreadPoolExecutor(min(4, usable_cores()))
    # Ctrl-C interrupts the main thread only, so files are opened and closed in another one.
    measure = ThreadPoolExecutor(1)
    group: Group = []
    pixels = ahead = 0
    try:
        while True:
            _check_process(process)
            while len(waiting) < batch and ahead < MEMORY_PIXELS:
                following = list(islice(source, 1))
                if not following:
                    size = min(size, -(-(len(group) + len(waiting)) // cores))
                    break
                content = in_memory(following[0])
                count = measure.submit(_GATE.run, count_pixels, content).result()
                waiting.append((pool.submit(_GATE.run, _read, following[0], content), count))
                ahead += count
            if waiting:
                future, count = waiting.popleft()
                group.append(future.result())
                pixels, ahead = pixels + count, ahead - count
            if group and (not waiting or len(group) >= size or pixels >= share):
                yield group, pixels, not waiting
                group, pixels = [], 0
            elif not waiting:
                return
    finally:
        # When the caller stops early, pictures that were read ahead are not waited for.
        if os.getpid() == process:
            for each in (pool, measure):
                each.shutdown(cancel_futures=True)


def in_order(
    source: Iterator[Picture],
    batch: int,
    compute: Callable[[Group], None],
    threads: Threads,
    cores: int,
) -> Iterator[Prediction]:
    """Compute pictures, several groups at a time if there are several cores for it.

    Args:
        source: the pictures.
        batch: as for `in_groups`.
        compute: completes a group. With `cores` > 1 it is called in `threads`, but for the only
            group of a short source, which gets all cores.
        threads: threads with a core each.
        cores: how many of them to use.
    """
    process = os.getpid()
    if batch < 2 * cores:
        cores = 1
    busy: deque[Busy] = deque()
    try:
        for group, pixels, last in in_groups(source, batch, cores):
            if cores == 1 or (last and not busy):
                compute(group)
                yield from _emptied(group)
                continue
            while len(busy) > cores or (busy and pixels + sum(b[2] for b in busy) > MEMORY_PIXELS):
                yield from _finished(busy, process)
            busy.append((threads.submit(_GATE.run, compute, group), group, pixels))
            del group
        while busy:
            yield from _finished(busy, process)
    finally:
        for future, *_ in busy:
            future.cancel()


def _finished(busy: deque[Busy], process: int) -> Iterator[Prediction]:
    _check_process(process)
    future, group, _ = busy.popleft()
    future.result()
    yield from _emptied(group)


def _emptied(group: Group) -> Iterator[Prediction]:
    yield from group
    group.clear()


def _check_process(process: int) -> None:
    if os.getpid() != process:
        raise WrinkleError(
            "a stream cannot go on in a process forked meanwhile: call stream there again"
        )


def _read(source: Picture, content: Picture) -> Prediction:
    try:
        return Prediction(source, [], image=decode(content))
    except ImageError as error:
        return Prediction(source, [], error=str(error))
