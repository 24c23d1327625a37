"""Freed memory is kept for the next step: to be given new pages costs more than to fill them."""

import ctypes
import functools
import os
import sys

# glibc's own numbers for its settings, see mallopt(3).
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 256 << 20  # bytes of freed memory that stay with the main thread; any other keeps some 64 MB
LARGEST_KEPT = 32 << 20  # bytes of an array that may come from them; glibc takes no more


@functools.cache
def keep_freed() -> bool:
    """Let glibc reuse the memory of freed arrays, once for the process; return whether it does.

    By default it returns most of it at once, and a training step spends a fifth of its time on page faults.
    A user's own settings, ``MALLOC_...`` or ``GLIBC_TUNABLES`` in the environment, stay as they are.
    """
    own = [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]
    if own or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return bool(mallopt and mallopt(TRIM_THRESHOLD, KEPT) and mallopt(MMAP_THRESHOLD, LARGEST_KEPT))
