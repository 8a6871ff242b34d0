"""Weights set to zero where weight times input is small (Sun et al. 2023, arXiv 2306.11695).

Score of a weight: |w_ij| x the norm of input j over the calibration tokens; the lowest scores of each
output (row) are pruned, layer by layer, on the inputs that the pruned layers below give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.compression import Context
from stages.compression.settings import CalibrationConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.subject import Subject

VERSION = 2
_ROUNDING = 1e-9
"""By how much the product of a share and a block may miss its whole number: 0.07 * 100 is 7.000000000000001."""


class Config(CalibrationConfig):
    """Settings of ``wanda``."""

    method: Literal["wanda"]
    sparsity: float = Field(gt=0, lt=1)
    """Share of every row that becomes zero."""
    block: int | None = Field(default=None, ge=2)
    """Prune that share of every ``block`` consecutive inputs instead: 4 with sparsity 0.5 is 2:4."""

    @model_validator(mode="after")
    def _whole(self) -> Config:
        if self.block is not None:
            share = self.sparsity * self.block
            if abs(share - round(share)) > _ROUNDING or not 0 < round(share) < self.block:
                raise ValueError(f"sparsity {self.sparsity} of blocks of {self.block} is no whole number between 1 and "
                                 f"{self.block - 1}")
        return self


def mask(weight: Tensor, norms: Tensor, config: Config, name: str) -> Tensor:
    """What to prune of a weight.

    Args:
        weight: float32 of shape [out, in].
        norms: Norm of each input over the calibration tokens, of shape [in].
        config: Sparsity and pattern.
        name: Of the weight, for error messages.

    Returns:
        bool of shape [out, in], true where pruned.

    Raises:
        MethodError: The sparsity removes nothing or all of a row, or the block does not divide it.
    """
    from stages.compression.methods import semi_structured
    from stages.compression.pruning import lowest_in_rows, prune_count

    scores = weight.abs() * norms
    if config.block is not None:
        return semi_structured.mask(scores, round(config.sparsity * config.block), config.block, name)
    return lowest_in_rows(scores, prune_count(scores.shape[1], config.sparsity, f"a row of {name}"))


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Prune the matrices of the transformer's layers.

    Raises:
        MethodError: See ``mask``, ``stages.compression.calibration`` and ``stages.compression.layerwise``.
    """
    from stages.compression.calibration import calibration_inputs
    from stages.compression.layerwise import input_sums, walk_layers

    ids = calibration_inputs(subject, context, config.sequences, config.length, config.mask_probability)
    for visit in walk_layers(subject, ids):
        squares = input_sums(visit, lambda inputs: inputs.square().sum(dim=0))
        for matrix in visit.matrices:
            weight = matrix.get()
            matrix.assign(weight.masked_fill(mask(weight, squares[matrix.name].sqrt(), config, matrix.name), 0.0))
