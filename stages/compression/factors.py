"""A matrix stored as the product of two thin ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from stages.compression.forms import Reader


@dataclass(frozen=True)
class Factors:
    """A tall and a wide factor, float32; the weight is their product, rounded once from float64."""

    KIND: ClassVar[str] = "factors"
    left: Tensor
    """float32 of shape [rows, rank]."""
    right: Tensor
    """float32 of shape [rank, columns]."""

    @classmethod
    def of(cls, weight: Tensor, rank: int) -> Factors:
        """The best approximation of a rank in the Frobenius norm: the largest singular values and their vectors.

        Eckart & Young 1936. With the first singular vectors U of the shorter side, it is U U^T W. They are the
        eigenvectors of W W^T, in float64 exact far below what float32 holds, and found in a third of the time that
        a singular value decomposition takes.

        Args:
            weight: Finite float32 of shape [rows, columns].
            rank: 1 to the smaller of the two.
        """
        tall = weight.shape[0] > weight.shape[1]
        wide = (weight.T if tall else weight).double()
        vectors = torch.linalg.eigh(wide @ wide.T).eigenvectors[:, -rank:]  # eigenvalues rise
        left, right = vectors, vectors.T @ wide
        if tall:
            left, right = right.T, left.T
        return cls(left.float().contiguous(), right.float().contiguous())

    @property
    def parts(self) -> dict[str, Tensor]:
        """Both factors."""
        return {".left": self.left, ".right": self.right}

    @property
    def facts(self) -> dict[str, Any]:
        """The rank."""
        return {"rank": self.left.shape[1]}

    @property
    def logical_bits(self) -> int:
        """32 a number of either factor."""
        return int(32 * (self.left.numel() + self.right.numel()))

    def weight(self) -> Tensor:
        """The product."""
        return (self.left.double() @ self.right.double()).float()

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> Factors:
        """See ``Form``."""
        rank = int(facts["rank"])
        return cls(reader.take(f"{name}.left", torch.float32, (shape[0], rank)),
                   reader.take(f"{name}.right", torch.float32, (rank, shape[1])))
