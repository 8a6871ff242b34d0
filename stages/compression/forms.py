"""The forms in which a weight is stored: what goes into the file, and the float32 values that come back.

A form is a frozen dataclass. ``parts`` are the tensors it puts into the file, named by a suffix to
the weight's own name; ``facts`` is what ``method.json`` says about it; ``weight`` gives its float32
values, and ``read`` is the inverse of ``parts`` and ``facts``. A weight without a form is plain float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from stages.common.errors import ModelError
from stages.compression.packing import pack_bits, unpack_bits

SCALE_BITS = 32


class Reader:
    """The tensors of a weights file, taken out one by one, so that what nobody took can be named.

    Args:
        tensors: Content of the file; emptied by reading.
        where: The file, for error messages.
    """

    def __init__(self, tensors: dict[str, Tensor], where: Path) -> None:
        self.tensors, self.where = tensors, where
        self.weights: dict[str, Tensor] = {}
        """float32 weights that were read already."""

    def take(self, name: str, dtype: torch.dtype, shape: tuple[int, ...] | None = None) -> Tensor:
        """Take out a tensor.

        Raises:
            ModelError: It is not there, or of another type or shape.
        """
        if name not in self.tensors:
            raise ModelError(f"lacks the tensor {name}", where=self.where, fix="compress the model again")
        tensor = self.tensors.pop(name)
        if tensor.dtype != dtype or (shape is not None and tuple(tensor.shape) != shape):
            found, wanted = f"{tensor.dtype} {list(tensor.shape)}", f"{dtype} {list(shape) if shape else ''}".strip()
            raise ModelError(f"tensor {name} is {found}, not {wanted}", where=self.where,
                             fix="compress the model again")
        return tensor


class Form(Protocol):
    """One way to store a weight."""

    KIND: ClassVar[str]

    @property
    def parts(self) -> dict[str, Tensor]:
        """The tensors to store, by suffix; the empty suffix is the weight's own name."""

    @property
    def facts(self) -> dict[str, Any]:
        """What ``method.json`` holds of it beside its kind."""

    @property
    def logical_bits(self) -> int:
        """Bits at the width the form names, scales and zero points included."""

    def weight(self) -> Tensor:
        """The float32 values, in the shape of the parameter."""

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> Form:
        """Put together the form of the weight ``name``."""


@dataclass(frozen=True)
class Cast:
    """Values in half precision, computed with in float32."""

    KIND: ClassVar[str] = "cast"
    values: Tensor
    """float16 or bfloat16."""

    @property
    def parts(self) -> dict[str, Tensor]:
        """The values themselves."""
        return {"": self.values}

    @property
    def facts(self) -> dict[str, Any]:
        """The type."""
        return {"dtype": str(self.values.dtype).removeprefix("torch.")}

    @property
    def logical_bits(self) -> int:
        """16 a value."""
        return int(16 * self.values.numel())

    def weight(self) -> Tensor:
        """The values as float32."""
        return self.values.float()

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> Cast:
        """See ``Form``."""
        return cls(reader.take(name, getattr(torch, facts["dtype"]), shape))


@dataclass(frozen=True)
class Sparse:
    """The non-zero values, and one bit a position that says where they are."""

    KIND: ClassVar[str] = "sparse"
    values: Tensor
    """float32 of shape [non-zeros], in row-major order."""
    bitmap: Tensor
    """uint8 of shape [ceil(elements / 8)], lowest bit first."""
    shape: tuple[int, ...]

    @classmethod
    def of(cls, weight: Tensor) -> Sparse:
        """The sparse form of a float32 tensor; a negative zero counts as a value, so nothing is lost."""
        flat = weight.contiguous().flatten()
        present = flat.view(torch.int32) != 0
        return cls(flat[present], pack_bits(present, 1), tuple(weight.shape))

    @property
    def parts(self) -> dict[str, Tensor]:
        """Values and bitmap."""
        return {".values": self.values, ".bitmap": self.bitmap}

    @property
    def facts(self) -> dict[str, Any]:
        """Nothing: the shape is the parameter's."""
        return {}

    @property
    def logical_bits(self) -> int:
        """32 a value and one a position."""
        return int(32 * self.values.numel() + torch.Size(self.shape).numel())

    def weight(self) -> Tensor:
        """The values in their places among zeros."""
        flat = torch.zeros(torch.Size(self.shape).numel())
        flat[unpack_bits(self.bitmap, 1, flat.numel()).bool()] = self.values
        return flat.view(self.shape)

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> Sparse:
        """See ``Form``."""
        elements = torch.Size(shape).numel()
        bitmap = reader.take(f"{name}.bitmap", torch.uint8, (-(-elements // 8),))
        present = int(unpack_bits(bitmap, 1, elements).sum())
        return cls(reader.take(f"{name}.values", torch.float32, (present,)), bitmap, shape)
