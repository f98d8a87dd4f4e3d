"""How many cores this process may use, and how OpenMP's threads wait for each other.

Nothing here imports torch: OpenMP reads its environment variables when torch is loaded.
"""

import math
import os
from collections.abc import MutableMapping
from pathlib import Path

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables by which a user chooses how OpenMP's threads wait."""


def usable_cores() -> int:
    """Cores that this process may use: those of its affinity, or fewer by its CPU quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cpu_quota()
    return min(cores, max(math.ceil(quota), 1)) if math.isfinite(quota) else cores


def cpu_quota(
    groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> float:
    """Cores that the Linux control groups of this process allow, `math.inf` without a limit.

    Args:
        groups: where the control groups are mounted, of version 1 or 2.
        own: the file that names this process's groups.
    """
    least = math.inf
    for line in _lines(own):
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / "cpu" if controllers else groups
        folder = root / path.lstrip("/")
        for each in (folder, *folder.parents):
            if each.is_relative_to(root):
                least = min(least, _quota(each))
    return least


def _quota(group: Path) -> float:
    numbers = " ".join(_lines(group / "cpu.max")).split()
    if not numbers:  # version 1
        files = (group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
        numbers = [line for file in files for line in _lines(file)]
    try:
        quota, period = map(int, numbers)
    except ValueError:  # "max", or no such file
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []


def configure_openmp(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set OpenMP's environment variables for a program of our own, unless the user has.

    Threads sleep while they wait. By default they spin, which takes the cores from other programs
    and, beside a busy one, waits for threads that do not run: four times the processor time. Under
    a CPU quota there are no more threads than cores.
    """
    if not any(name in environment for name in WAITING):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    if math.isfinite(cpu_quota()):
        environment.setdefault("OMP_NUM_THREADS", str(usable_cores()))
