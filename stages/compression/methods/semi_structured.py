"""N of every M consecutive inputs set to zero, the smallest ones; 2:4 is what sparse tensor cores run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.common.errors import MethodError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``semi_structured``."""

    method: Literal["semi_structured"]
    pruned: int = Field(default=2, ge=1)
    """Weights set to zero in every block."""
    block: int = Field(default=4, ge=2)
    """Consecutive inputs of one output that make a block."""
    scope: Literal["layers", "linear", "all"] = "layers"
    """Matrices of the transformer's layers, every linear map, or the embeddings too."""

    @model_validator(mode="after")
    def _leaves_some(self) -> Config:
        if self.pruned >= self.block:
            raise ValueError("pruned must be smaller than block")
        return self


def mask(scores: Tensor, pruned: int, block: int, name: str) -> Tensor:
    """Mark the lowest ``pruned`` scores of every ``block`` consecutive inputs.

    Args:
        scores: float32 of shape [out, in].
        pruned: How many of a block.
        block: Inputs in a block.
        name: Of the weight, for the error message.

    Raises:
        MethodError: The block does not divide a row.
    """
    from stages.compression.pruning import lowest_in_rows

    if scores.shape[1] % block:
        raise MethodError(f"blocks of {block} do not divide its rows of {scores.shape[1]}", where=name,
                          fix="choose a block that divides every row")
    return lowest_in_rows(scores.reshape(-1, block), pruned).view(scores.shape)


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Prune every matrix in the scope.

    Raises:
        MethodError: The model has none, or the block does not divide a row of one.
    """
    for matrix in subject.matrices(config.scope):
        weight = matrix.get()
        matrix.assign(weight.masked_fill(mask(weight.abs(), config.pruned, config.block, matrix.name), 0.0))
