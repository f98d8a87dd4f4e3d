"""What an estimator depends on in its process: torch's settings, OpenMP's threads, and forks."""

import ctypes
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch

from wrinkle.cores import WAITING, usable_cores

Result = TypeVar("Result")


@contextmanager
def own_settings(device: torch.device) -> Iterator[None]:
    """Predict independently of `torch.set_default_device` and of an autocast around the call."""
    with ExitStack() as stack:
        if torch.get_default_device() != torch.device("cpu"):
            stack.enter_context(torch.device(device))
        if torch.is_autocast_enabled(device.type):
            stack.enter_context(torch.autocast(device.type, enabled=False))
        yield


@contextmanager
def building() -> Iterator[None]:
    """Build networks in float32 on the CPU, whatever torch's defaults are."""
    with _BUILDING, torch.device("cpu"):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def prepare_process() -> None:
    """Set up OpenMP's threads and memory where an estimator is about to compute on the CPU.

    In a forked child there is one thread: those of the parent do not exist there, and OpenMP would
    wait for them for ever. Elsewhere there are no more threads than cores by the CPU quota, and
    they sleep while they wait.
    """
    global _prepared
    with _PREPARING:
        if _prepared:
            return
        _prepared = True
        _keep_memory()
        if _forked:
            torch.set_num_threads(1)
            return
        if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > usable_cores():
            torch.set_num_threads(usable_cores())
        if torch.get_num_threads() > 1 and not any(name in os.environ for name in WAITING):
            _park_threads()


def _keep_memory() -> None:
    """Let the C library keep up to 64 MB of free memory, unless the user has chosen.

    It would return the memory of a network's activations after every layer and request it again,
    which interrupts all threads of the process. The numbers are glibc's (malloc.h).
    """
    chosen = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in chosen):
        return
    trim_threshold, mmap_threshold = -1, -3
    library = ctypes.CDLL(None)
    library.mallopt(trim_threshold, 64 << 20)
    library.mallopt(mmap_threshold, 32 << 20)


def _park_threads() -> None:
    """Create OpenMP threads that sleep until the process ends.

    libgomp's threads spin for 300,000 rounds before they sleep, but for 1,000 once there are more
    threads than cores (manual of libgomp, GOMP_SPINCOUNT). It reads its environment when it is
    loaded, which may have happened; a second team of threads has the same effect at any time.
    """
    parked = threading.Event()

    def park() -> None:
        numbers = torch.zeros(1 << 17, dtype=torch.float32, device="cpu")
        numbers.add_(1)  # large enough to be shared among threads
        parked.set()
        threading.Event().wait()

    threading.Thread(target=park, name="wrinkle-openmp", daemon=True).start()
    parked.wait()


class ForkGate:
    """Delays a fork until work in other threads is done, so that no lock is copied while held."""

    def __init__(self) -> None:
        self._count, self._closed, self._changed = 0, False, threading.Condition()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._close, after_in_parent=self._open, after_in_child=self._reset
            )

    def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Call `work`; no fork happens meanwhile."""
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._count += 1
        try:
            return work(*arguments)
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def _close(self) -> None:
        self._changed.acquire()
        self._closed = True
        while self._count:
            self._changed.wait()

    def _open(self) -> None:
        self._closed = False
        self._changed.notify_all()
        self._changed.release()

    def _reset(self) -> None:
        self._count, self._closed, self._changed = 0, False, threading.Condition()


def _in_child() -> None:
    global _BUILDING, _PREPARING, _forked
    _BUILDING, _PREPARING, _forked = threading.RLock(), threading.Lock(), True
    if _prepared:
        torch.set_num_threads(1)


_BUILDING = threading.RLock()
_PREPARING = threading.Lock()
_prepared = _forked = False
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
