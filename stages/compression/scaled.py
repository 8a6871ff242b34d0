"""The form of a weight that was rounded after each of its columns was scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from stages.compression.forms import SCALE_BITS, Reader
from stages.compression.rounding import Integers


@dataclass(frozen=True)
class ScaledIntegers:
    """Packed integers on a grid, and what each column of their values is divided by."""

    KIND: ClassVar[str] = "scaled_integers"
    integers: Integers
    columns: Tensor
    """float32 of shape [in], above zero."""

    @property
    def parts(self) -> dict[str, Tensor]:
        """Those of the integers, and the columns' scales."""
        return {**self.integers.parts, ".columns": self.columns}

    @property
    def facts(self) -> dict[str, Any]:
        """Those of the integers."""
        return self.integers.facts

    @property
    def logical_bits(self) -> int:
        """Integers, their scales and zero points, and a scale a column."""
        return int(self.integers.logical_bits + SCALE_BITS * self.columns.numel())

    def weight(self) -> Tensor:
        """The values on the grid, each divided by its column's scale."""
        columns = self.columns[:, None] if self.integers.transposed else self.columns
        return self.integers.weight().div_(columns)

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> ScaledIntegers:
        """See ``Form``."""
        integers = Integers.read(facts, name, shape, reader)
        return cls(integers, reader.take(f"{name}.columns", torch.float32, (integers.shape[1],)))
