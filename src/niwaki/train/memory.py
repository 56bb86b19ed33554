"""Where a CPU's memory goes between two steps: kept by the process, or given back and asked for again."""

import ctypes
import platform

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_KEPT = 2**31 - 1
_IN_THE_HEAP = 32 * 2**20  # the largest that glibc allows


def keep_freed_memory() -> bool:
    """Let this process keep the memory that a training step frees, because the next step needs the same again.

    glibc gives freed memory back to the system, and every step then pays for thousands of pages that have to be found
    and zeroed anew. This changes the process for good, so it is a program's decision: ``niwaki run`` makes it, `fit`
    does not. No number changes. See ``mallopt(3)``: ``M_TRIM_THRESHOLD``, ``M_MMAP_THRESHOLD``.

    Returns:
        Whether it could be done: only with glibc, on Linux.

    Examples:
        >>> keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
        True
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(which, size) for which, size in ((_TRIM_THRESHOLD, _KEPT), (_MMAP_THRESHOLD, _IN_THE_HEAP)))
