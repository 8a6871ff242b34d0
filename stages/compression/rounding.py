"""Rounding to an even grid of few bits: the integers, their scales, and the form that stores them.

Symmetric, b bits: scale = max |w| / (2**(b-1) - 1), integer = round(w / scale).
Asymmetric: over the range from min(w, 0) to max(w, 0), scale = (max - min) / (2**b - 1),
zero = round(-min / scale), integer = round(w / scale) + zero, held to 0 .. 2**b - 1.
Zero stays exactly zero in both. A block of zeros alone has scale 1. Halves round to even.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from stages.common.errors import MethodError
from stages.compression.forms import SCALE_BITS, Reader
from stages.compression.packing import pack_bits, packed_size, unpack_bits

Granularity = Literal["tensor", "channel", "group"]


@dataclass(frozen=True)
class Grid:
    """Scales and zero points of the blocks of a weight that share one."""

    bits: int
    scale: Tensor
    """float32 of shape [blocks, 1]."""
    zero: Tensor | None
    """float32 integers of shape [blocks, 1]; ``None`` where the grid is symmetric."""

    @classmethod
    def of(cls, blocks: Tensor, bits: int, symmetric: bool) -> Grid:
        """The grid that spans each row of ``blocks``, float32 of shape [blocks, size]."""
        if symmetric:
            span = blocks.abs().amax(dim=1, keepdim=True)
            return cls(bits, _positive(span / (2 ** (bits - 1) - 1)), None)
        low = blocks.amin(dim=1, keepdim=True).clamp(max=0)
        high = blocks.amax(dim=1, keepdim=True).clamp(min=0)
        scale = _positive((high - low) / (2**bits - 1))
        return cls(bits, scale, torch.round(-low / scale))

    @property
    def offset(self) -> int:
        """The largest integer of a symmetric grid, which moves its integers up to start at 0."""
        return 2 ** (self.bits - 1) - 1 if self.zero is None else 0

    @property
    def dtype(self) -> torch.dtype:
        """The type that holds the integers, moved up to start at 0."""
        return torch.uint8 if self.bits <= 8 else torch.int32

    def integers(self, blocks: Tensor) -> Tensor:
        """The nearest integers of values: float32 of shape [blocks, size]."""
        codes = (blocks / self.scale).round_()
        if self.zero is None:
            return codes.clamp_(-self.offset, self.offset)
        return codes.add_(self.zero).clamp_(0, 2**self.bits - 1)

    def values(self, integers: Tensor) -> Tensor:
        """The values that integers stand for, float32 of shape [blocks, size]."""
        return integers * self.scale if self.zero is None else (integers - self.zero).mul_(self.scale)


def blocks_of(weight: Tensor, granularity: Granularity, group_size: int | None, name: str) -> Tensor:
    """A weight as rows that share a scale: a view of shape [blocks, size].

    Args:
        weight: float32 of shape [out, in].
        granularity: One scale a tensor, a row (output channel), or a group within a row.
        group_size: Inputs in a group.
        name: Of the weight, for the error message.

    Raises:
        MethodError: The group size does not divide a row.
    """
    if granularity == "tensor":
        return weight.reshape(1, -1)
    if granularity == "channel":
        return weight
    assert group_size is not None
    if weight.shape[1] % group_size:
        raise MethodError(f"groups of {group_size} do not divide its rows of {weight.shape[1]}", where=name,
                          fix="choose a group_size that divides every row, or granularity: channel")
    return weight.reshape(-1, group_size)


@dataclass(frozen=True)
class Integers:
    """A weight on a grid, its integers packed to as many bits as they have."""

    KIND: ClassVar[str] = "integers"
    codes: Tensor
    """uint8 (int32 above 8 bits) of shape [blocks, size]: the integers, moved up to start at 0."""
    grid: Grid
    shape: tuple[int, int]
    """Shape of the matrix, [out, in]."""
    transposed: bool
    """The parameter is kept as [in, out]."""

    @classmethod
    def of(
        cls, integers: Tensor, grid: Grid, shape: tuple[int, int], transposed: bool, name: str = "weight"
    ) -> Integers:
        """The form of float32 integers of shape [blocks, size] on a grid; it takes them over.

        Raises:
            MethodError: The weight ``name`` that they were made of holds NaN or infinity, or spans more than float32.
        """
        # A NaN would be cast to an integer like any other. The scales tell of infinities, the integers of NaN.
        if not torch.isfinite(grid.scale).all() or integers.amax().isnan():
            raise MethodError("holds NaN, infinity, or values too far apart to round", where=name)
        return cls(integers.add_(grid.offset).to(grid.dtype), grid, shape, transposed)

    @property
    def parts(self) -> dict[str, Tensor]:
        """Packed integers, scales, and packed zero points."""
        parts = {".packed": pack_bits(self.codes, self.grid.bits), ".scale": self.grid.scale.flatten()}
        if self.grid.zero is not None:
            parts[".zero"] = pack_bits(self.grid.zero.to(self.grid.dtype), self.grid.bits)
        return parts

    @property
    def facts(self) -> dict[str, Any]:
        """Bits, block size, and what the shape alone does not tell."""
        return {
            "bits": self.grid.bits, "block": self.codes.shape[1], "symmetric": self.grid.zero is None,
            "transposed": self.transposed,
        }

    @property
    def logical_bits(self) -> int:
        """Integers, scales and zero points."""
        zero_bits = 0 if self.grid.zero is None else self.grid.bits
        return int(self.grid.bits * self.codes.numel() + self.codes.shape[0] * (SCALE_BITS + zero_bits))

    def weight(self) -> Tensor:
        """The values on the grid."""
        values = self.grid.values(self.codes.float().sub_(self.grid.offset)).view(self.shape)
        return values.T.contiguous() if self.transposed else values

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> Integers:
        """See ``Form``."""
        bits, block, count = int(facts["bits"]), int(facts["block"]), torch.Size(shape).numel()
        blocks = count // block
        packed = reader.take(f"{name}.packed", torch.uint8, (packed_size(count, bits),))
        codes = unpack_bits(packed, bits, count).view(blocks, block)
        scale = reader.take(f"{name}.scale", torch.float32, (blocks,)).view(blocks, 1)
        zero = None
        if not facts["symmetric"]:
            zeros = reader.take(f"{name}.zero", torch.uint8, (packed_size(blocks, bits),))
            zero = unpack_bits(zeros, bits, blocks).float().view(blocks, 1)
        out, into = (shape[1], shape[0]) if facts["transposed"] else (shape[0], shape[1])
        return cls(codes, Grid(bits, scale, zero), (out, into), bool(facts["transposed"]))


def _positive(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, torch.ones_like(scale), scale)  # NaN stays NaN
