"""Giving memory back that weights took: pages of a file on disk, which are read again when they are needed again.

Weights are mapped from their file, so that loading takes no time; but each page looked at counts as the
process's memory from then on. Whoever is done with a weight says so here.
"""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import torch

_MAPS = Path("/proc/self/maps")


def give_back(tensor: torch.Tensor) -> None:
    """Let go of the memory of a tensor that lies in a file and was not written to; its values stay what they are.

    A tensor in memory of its own is left alone, and so is every tensor where the operating system
    does not say which is which (any but Linux).

    Args:
        tensor: A weight as it was loaded, or a stretch of its rows, or its transpose.
    """
    start = tensor.data_ptr()
    end = start + tensor.numel() * tensor.element_size()
    first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
    if first < last and _is_in_a_file(first, last):
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), mmap.MADV_DONTNEED)


def _is_in_a_file(first: int, last: int) -> bool:
    """Whether one mapping of a file holds these addresses."""
    if not _MAPS.exists():
        return False
    with _MAPS.open() as lines:
        for line in lines:
            bounds, _, _, _, inode, *_ = line.split()
            low, high = (int(bound, 16) for bound in bounds.split("-"))
            if low <= first < high:
                return last <= high and inode != "0"
    return False
