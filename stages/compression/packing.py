"""Integers of 1 to 16 bits, packed without gaps.

A code of b bits is cut into planes of 8, 4, 2 and 1 bits (5 is 4 + 1, lowest bits first). In a plane
of w bits, byte i of m holds the codes i, i + m, i + 2m, ... from its lowest bits up, so that packing
and unpacking work on contiguous runs.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Pack unsigned integers.

    Args:
        codes: Integers in [0, 2**bits), of any shape; read in row-major order.
        bits: Width of a code, 1 to 16.

    Returns:
        uint8 of shape [bytes]: ``packed_size(codes, bits)``.
    """
    flat = codes.flatten()
    planes, shift = [], 0
    for width in _widths(bits):
        plane = (flat >> shift if shift else flat).to(torch.uint8)
        planes.append(_pack_plane(plane & (2**width - 1), width))
        shift += width
    return torch.cat(planes)


def unpack_bits(packed: Tensor, bits: int, count: int) -> Tensor:
    """The ``count`` codes that ``pack_bits`` packed, of shape [count]: uint8, or int32 above 8 bits."""
    codes = torch.zeros(count, dtype=torch.uint8 if bits <= 8 else torch.int32)
    start = shift = 0
    for width in _widths(bits):
        size = _plane_size(count, width)
        plane = _unpack_plane(packed[start : start + size], width)[:count]
        codes |= plane.to(codes.dtype) << shift
        start, shift = start + size, shift + width
    return codes


def packed_size(count: int, bits: int) -> int:
    """Bytes that ``count`` codes take."""
    return sum(_plane_size(count, width) for width in _widths(bits))


def _widths(bits: int) -> list[int]:
    widths = []
    for width in (8, 8, 4, 2, 1):
        if bits >= width:
            widths.append(width)
            bits -= width
    return widths


def _plane_size(count: int, width: int) -> int:
    return -(-count * width // 8)


def _pack_plane(plane: Tensor, width: int) -> Tensor:
    per_byte, size = 8 // width, _plane_size(plane.numel(), width)
    padded = torch.zeros(per_byte * size, dtype=torch.uint8)
    padded[: plane.numel()] = plane
    packed = padded[:size].clone()
    for position in range(1, per_byte):
        packed |= padded[position * size : (position + 1) * size] << (position * width)
    return packed


def _unpack_plane(packed: Tensor, width: int) -> Tensor:
    mask = 2**width - 1
    return torch.cat([(packed >> (position * width)) & mask for position in range(8 // width)])
