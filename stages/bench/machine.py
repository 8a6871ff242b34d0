"""What the machine is, since times mean nothing without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

_CPU = Path("/proc/cpuinfo")
_INSTRUCTIONS = {
    "avx2": ("avx2",), "avx512": ("avx512f",), "vnni": ("avx512_vnni", "avx_vnni"), "bf16": ("avx512_bf16",),
    "amx": ("amx_int8", "amx_tile"),
}  # fmt: skip
"""Instructions that decide how fast matrix products are, by the names Linux has for them."""


def describe_machine() -> dict[str, Any]:
    """The machine and what computes on it.

    Returns:
        ``cpu`` (its model), ``architecture``, ``cores`` (those this process may use), ``threads`` of torch,
        ``torch`` and ``python`` (versions), ``kernels`` (the instructions torch's own were built for),
        and ``instructions`` the processor has of those that matter to matrix products; null where the
        system does not list them.
    """
    facts = _cpu_facts()
    flags = facts.get("flags", "").split()
    found = [name for name, names in _INSTRUCTIONS.items() if set(names) & set(flags)]
    return {
        "cpu": facts.get("model name") or platform.processor() or "unknown",
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "instructions": found if flags else None,
    }


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor."""
    if not _CPU.is_file():
        return {}
    first = _CPU.read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
