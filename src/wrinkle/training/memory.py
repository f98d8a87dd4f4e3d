"""Keeping freed memory at hand, for training on CPUs."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Have glibc's malloc keep large blocks for the next step instead of giving them back.

    A training step frees and asks again for the same hundreds of megabytes; by default each block
    comes fresh from the kernel, page by page. Does nothing where the C library is not glibc.
    Measured on 1 core, batch 32 at 112 pixels, CPU seconds a step: EfficientNet-Lite0 0.77 → 0.71
    and 0.87 → 0.75, ResNet-18 1.42 → 1.28 and no gain (two runs each); memory +5 %.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
