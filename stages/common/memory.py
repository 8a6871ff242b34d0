"""Peak memory of this process, from a point in time on where the platform can tell."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def reset_peak_memory() -> None:
    """Let the peak start again from what is resident now.

    Only Linux can; elsewhere, and where a container forbids it, the peak stays that of the whole process.
    """
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory() -> int:
    """Bytes resident at this process's peak, since the last reset where that is possible."""
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
