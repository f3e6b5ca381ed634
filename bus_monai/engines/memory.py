"""Memory that training on a CPU frees and needs again at once."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Names of ``mallopt(3)``."""
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Let glibc keep what is freed instead of giving it back to the system.

    Each step of training frees the same hundreds of megabytes and asks for them again; by default the kernel takes
    them back and hands out pages that it must clear first. Keeping them made a training step of RDAU-NET 1.4 times as
    fast on two cores, for 15 % more memory. Does nothing on systems without glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
