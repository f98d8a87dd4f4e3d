"""A setting of the memory allocator for training on CPUs."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Make glibc's malloc reuse freed blocks instead of returning them to the kernel.

    A training step frees and allocates the same hundreds of megabytes each time. By default the
    kernel maps each large block anew, page by page. Does nothing where the C library is not glibc.

    Measured at batch 64 with 1 thread: EfficientNet-Lite0 takes 17–36 % less CPU time a step and
    8–19 % more memory; ResNet-18 of width 16 takes 4–7 % less and the same memory.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
