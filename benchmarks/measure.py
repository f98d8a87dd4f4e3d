"""Timing and peak memory, for several benchmarks."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def in_turn(
    tasks: Sequence[Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Median seconds of each task over rounds in which all take turns, after a warm-up round.

    Args:
        clock: `time.process_time` for CPU seconds, on a machine that does other work too.
    """
    times: list[list[float]] = [[] for _ in tasks]
    for number in range(rounds + 1):
        for task, own in zip(tasks, times, strict=True):
            began = clock()
            task()
            if number:
                own.append(clock() - began)
    return [statistics.median(own) for own in times]


def peak_memory() -> float:
    """Peak memory of this process in MiB.

    Not from getrusage, whose value starts at the parent process's size.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
