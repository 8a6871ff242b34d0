"""The heap of a training process: a step's large arrays are had again by the next step, not from the system."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # mallopt's numbers of its settings (malloc.h of glibc)


def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed, for the rest of the process; says whether it could be told.

    By default glibc maps an array above 32 MB (logits of a batch, say) anew each time: the system clears its pages
    one by one as they are touched, which took more than half of the time of a step of a small causal model.
    Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    # The heap grows and is never given back, and nothing is mapped apart from it.
    return bool(mallopt(_TRIM_THRESHOLD, -1)) and bool(mallopt(_MMAP_MAX, 0))
