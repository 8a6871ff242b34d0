"""The integers of a weight as ``quantize_dynamic`` has them, and the forms that store them.

One scale a matrix, or one an output: max |w| / 127.5, at least float32's epsilon. An integer is
round(w * (1 / scale)), halves to even, held to -128 .. 127. These are the scales of ``torch.ao``'s
MinMax observers and the integers that its engines x86, fbgemm, onednn and qnnpack compute with, to
the last one; nothing of ``torch.ao`` is needed to make them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from stages.common.errors import ModelError
from stages.compression.forms import SCALE_BITS, Reader

_HALF_RANGE = 127.5
_CACHED = 1 << 17
"""Numbers worked on at a time, so that they stay in the processor's cache: 512 kB of float32."""


def quantize_weight(weight: Tensor, per_channel: bool = False) -> tuple[Tensor, Tensor]:
    """Integers and scale that ``quantize_dynamic`` gives a weight: symmetric, by MinMax.

    Args:
        weight: float32 of shape [out, in].
        per_channel: One scale an output (``per_channel_dynamic_qconfig``), not one for all.

    Returns:
        int8 of shape [out, in], and float32 scales: a scalar, or of shape [out, 1]. The weight
        is about integers x scale.
    """
    low, high = torch.aminmax(weight, dim=1, keepdim=True) if per_channel else torch.aminmax(weight)
    scale = (torch.maximum(-low, high).clamp(min=0) / _HALF_RANGE).clamp(min=torch.finfo(torch.float32).eps)
    factors = (1 / scale).expand(len(weight), 1)
    integers = torch.empty(weight.shape, dtype=torch.int8)
    rows = max(1, _CACHED // weight.shape[1])
    for part, factor, into in zip(weight.split(rows), factors.split(rows), integers.split(rows), strict=True):
        into.copy_((part * factor).round_().clamp_(-128, 127))
    return integers, scale


@dataclass(frozen=True)
class Int8:
    """Integers with one scale, or one an output."""

    KIND: ClassVar[str] = "int8"
    values: Tensor
    """int8 of the weight's shape."""
    scale: Tensor
    """float32: a scalar, or of shape [out, 1]."""

    @property
    def parts(self) -> dict[str, Tensor]:
        """Integers and scale."""
        return {"": self.values, ".scale": self.scale}

    @property
    def facts(self) -> dict[str, Any]:
        """What shares a scale; the zero point of a symmetric weight is 0."""
        return {"per_channel": self.scale.dim() > 0}

    @property
    def logical_bits(self) -> int:
        """8 an integer, and the scales."""
        return int(8 * self.values.numel() + SCALE_BITS * self.scale.numel())

    def weight(self) -> Tensor:
        """Integers x scale."""
        return self.values * self.scale

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> Int8:
        """See ``Form``."""
        scale_shape = (shape[0], 1) if facts["per_channel"] else ()
        return cls(reader.take(name, torch.int8, shape), reader.take(f"{name}.scale", torch.float32, scale_shape))


@dataclass(frozen=True)
class DerivedInt8:
    """Integers that are computed again at load from another weight of the same model.

    A head tied to the embeddings becomes an int8 copy of them, while the embeddings stay
    float32: storing it would store the same numbers twice.
    """

    KIND: ClassVar[str] = "int8_derived"
    source: str
    """Name of the other weight."""
    values: Tensor
    scale: Tensor

    @property
    def parts(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    @property
    def facts(self) -> dict[str, Any]:
        """Where the integers come from, what shares a scale, and the integers' SHA-256 to check them by."""
        return {"source": self.source, "per_channel": self.scale.dim() > 0, "sha256": _digest(self.values)}

    @property
    def logical_bits(self) -> int:
        """None of its own."""
        return 0

    def weight(self) -> Tensor:
        """Integers x scale."""
        return self.values * self.scale

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> DerivedInt8:
        """See ``Form``.

        Raises:
            ModelError: The source is not in the file, or this machine rounds it to other integers.
        """
        source = reader.weights.get(facts["source"])
        if source is None or tuple(source.shape) != shape:
            raise ModelError(f"{name} is derived from {facts['source']}, which is not there",
                             where=reader.where, fix="compress the model again")
        values, scale = quantize_weight(source, facts["per_channel"])
        if _digest(values) != facts["sha256"]:
            raise ModelError(f"the integers of {name} come out otherwise than when they were written",
                             where=reader.where, fix="compress the model again on this machine")
        return cls(facts["source"], values, scale)


def _digest(values: Tensor) -> str:
    return hashlib.sha256(values.numpy().data).hexdigest()
