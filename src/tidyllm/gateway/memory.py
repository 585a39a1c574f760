"""Memory that the C library keeps after load, given back to the system. It knows bytes, not requests.

glibc keeps freed memory for the next time: after a few bodies of 8 to 18 MB a worker held 110 MiB instead of 75.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["Memory"]

_GROWTH = 1.05
"""More than the least that it ever had by this factor: less is not worth the fraction of a millisecond."""
_SELDOM = 8
"""Of so many looks one tries, where the last try did not help: the process may have grown for good."""


class Memory:
    """`tend()` once a second: while the process has more than it began with, what is free goes back to the system.

    To make one sets two things in the whole process. Blocks of a megabyte or more come from the system and go back at
    once; by itself glibc learns from the first ones to keep such blocks. And all threads share one heap: only of the
    first one can the end be given back, and the interpreter lets one thread at a time allocate anyhow.

    Where there is no glibc, or no `/proc`, it does nothing.
    """

    def __init__(self) -> None:
        self._trim = _prepared()
        self._least = self.resident()
        self._skip = 0

    def resident(self) -> int:
        """Bytes of memory that the process has now; 0 where that cannot be told."""
        try:
            return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    def tend(self) -> None:
        """Look, and give back what is free if there is more than there was."""
        if self._trim is None:
            return
        if self._skip:
            self._skip -= 1
            return
        now = self.resident()
        self._least = min(self._least, now)
        if now > self._least * _GROWTH:
            self._trim(0)
            self._skip = 0 if self.resident() < now * 0.99 else _SELDOM - 1


_STATM = Path("/proc/self/statm")


_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""Names of `mallopt` in glibc's malloc.h."""


def _prepared() -> Callable[[int], int] | None:
    """glibc's `malloc_trim`."""
    try:
        library = ctypes.CDLL(None)
        trim, option = library.malloc_trim, library.mallopt
    except (OSError, TypeError, AttributeError):
        return None
    option(_M_MMAP_THRESHOLD, 1024 * 1024)
    option(_M_ARENA_MAX, 1)
    trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    return trim
