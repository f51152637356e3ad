"""Freed memory stays with the process, up to a bound: the next step or image takes the pages that the last one left.

The C library takes large arrays from the system each time, and gives the freed end of its heap back. Each page then
costs a fault at its first write, and a training step at 800 pixels wrote 20,000 of them anew, a twelfth of its time.
"""

import ctypes
import functools
import os

#: Bytes of freed memory that a process keeps, at most.
KEPT = 1 << 30

#: Names and numbers of glibc's ``mallopt``, and what they are set to: no array is mapped by itself.
_SETTINGS = {"MMAP_MAX": (-4, 0), "TRIM_THRESHOLD": (-1, KEPT)}


@functools.cache
def keep() -> bool:
    """Let glibc take every array from its heap, and keep what is freed there.

    Returns:
        bool: Whether it does: not with another C library, nor where the environment has chosen by itself
        (``MALLOC_MMAP_MAX_``, ``MALLOC_MMAP_THRESHOLD_``, ``MALLOC_TRIM_THRESHOLD_``, ``GLIBC_TUNABLES``).
    """
    chosen = {"GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", *(f"MALLOC_{name}_" for name in _SETTINGS)}
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    return mallopt is not None and not chosen & {*os.environ} and all(mallopt(*one) for one in _SETTINGS.values())
