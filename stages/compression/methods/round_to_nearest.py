"""Weights rounded to the nearest point of an even grid of 2 to 16 bits, no data needed.

The weights come back as float32, so that the model computes as before with fewer distinct values;
with ``activation_bits`` the inputs of the same modules are rounded too, each token by its own range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.compression import Context, MethodConfig
from stages.compression.settings import check_group

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.rounding import Integers
    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``round_to_nearest``."""

    method: Literal["round_to_nearest"]
    bits: int = Field(ge=2, le=16)
    granularity: Literal["tensor", "channel", "group"] = "channel"
    """What shares a scale: the whole matrix, an output channel, or ``group_size`` inputs of one."""
    group_size: int | None = Field(default=None, ge=2)
    symmetric: bool = True
    """Around zero, or from the smallest to the largest weight with a zero point."""
    scope: Literal["layers", "linear", "all"] = "layers"
    """Matrices of the transformer's layers, every linear map, or the embeddings too."""
    activation_bits: int | None = Field(default=None, ge=2, le=16)
    """Bits of the inputs of the rounded linear maps; float32 where not given."""

    @model_validator(mode="after")
    def _group(self) -> Config:
        check_group(self.granularity, self.group_size)
        return self

    @property
    def last(self) -> bool:
        """With rounded activations, the model no longer computes what a later step would see."""
        return self.activation_bits is not None

    @property
    def on_grid(self) -> bool:
        """Its weights are."""
        return True


def round_weight(weight: Tensor, config: Config, name: str, transposed: bool) -> Integers:
    """The integers of a weight, float32 of shape [out, in].

    Raises:
        MethodError: ``group_size`` does not divide a row, or the weight holds NaN or infinity.
    """
    from stages.compression.rounding import Grid, Integers, blocks_of

    blocks = blocks_of(weight, config.granularity, config.group_size, name)
    grid = Grid.of(blocks, config.bits, config.symmetric)
    return Integers.of(grid.integers(blocks), grid, (weight.shape[0], weight.shape[1]), transposed, name)


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Round every matrix in the scope.

    Raises:
        MethodError: The model has none, ``group_size`` does not divide a row of one, or one holds NaN or infinity.
    """
    from torch import nn

    for matrix in subject.matrices(config.scope):
        subject.store(matrix.name, round_weight(matrix.get(), config, matrix.name, matrix.transposed))
        if config.activation_bits is not None and not isinstance(matrix.module, nn.Embedding):
            subject.modules[matrix.module_name] = {"kind": "rounded_input", "bits": config.activation_bits}
