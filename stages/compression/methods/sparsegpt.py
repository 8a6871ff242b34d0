"""Weights set to zero where the output can best do without them, the others made to make up for it.

SparseGPT (Frantar & Alistarh 2023, arXiv 2301.00774), layer by layer on the inputs that the pruned layers
below give. Score of a weight: w^2 / d^2, with d its entry on the diagonal of the Cholesky factor of the inverse
Hessian; the lowest of each run of columns go, all rows together, or the lowest two of every four in a row. A matrix
whose error on the calibration inputs would be larger than with its smallest weights cut off has these cut off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.compression import Context
from stages.compression.settings import CalibrationConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.second_order import Ahead
    from stages.compression.subject import Subject

VERSION = 1


class Config(CalibrationConfig):
    """Settings of ``sparsegpt``."""

    method: Literal["sparsegpt"]
    sparsity: float | None = Field(default=None, gt=0, lt=1)
    """Share of the weights of every matrix that become zero; 2:4 needs none."""
    pattern: Literal["unstructured", "2:4"] = "unstructured"
    """Anywhere in the matrix, or two of every four consecutive inputs."""
    columns: int = Field(default=128, ge=1)
    """Columns whose weights are compared with each other; not looked at for 2:4."""
    damping: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """Added to the diagonal of the Hessian, as a share of its mean."""

    @model_validator(mode="after")
    def _share(self) -> Config:
        if (self.sparsity is None) == (self.pattern == "unstructured"):
            raise ValueError("sparsity belongs to pattern 'unstructured', and is needed there")
        return self


def prune_with_feedback(weight: Tensor, hessian: Tensor, config: Config, name: str) -> Tensor:
    """A weight pruned by SparseGPT.

    Args:
        weight: float32 of shape [out, in].
        hessian: Sum of x x^T over the calibration tokens, of shape [in, in].
        config: Sparsity, pattern, damping.
        name: Of the weight, for error messages.

    Returns:
        float32 of shape [out, in], with exactly the zeros asked for if no weight left happens to be zero.

    Raises:
        MethodError: See ``stages.compression.second_order``.
    """
    import torch

    from stages.compression.pruning import lowest, lowest_in_rows
    from stages.compression.second_order import inverse_factor, settle_columns

    factor = inverse_factor(hessian, config.damping, name)
    # Nothing depends on an input that was never active, so that its weights go first.
    cost = factor.diagonal().square().reciprocal().masked_fill(hessian.diagonal() == 0, 0.0)
    pruned = torch.zeros_like(weight, dtype=torch.bool)
    rows, columns = weight.shape
    width = 4 if config.sparsity is None else config.columns

    def choose(scores: Tensor, end: int) -> Tensor:
        if config.sparsity is None:
            return lowest_in_rows(scores, 2)
        # What rounding took too little or too much of in earlier runs is made up for in this one.
        count = round(config.sparsity * (rows * end)) - int(pruned.sum())
        return lowest(scores, count) if count else torch.zeros_like(scores, dtype=torch.bool)

    def settle(column: int, ahead: Ahead) -> Tensor:
        if column % width == 0:
            end = min(column + width, columns)
            pruned[:, column:end] = choose(ahead(width).square() * cost[column:end], end)
        return ahead(1).masked_fill(pruned[:, column : column + 1], 0.0)

    return settle_columns(weight, factor, settle)


def best_of_both(weight: Tensor, hessian: Tensor, config: Config, name: str) -> Tensor:
    """SparseGPT's weight, or the one without its smallest weights where that has the smaller error.

    Raises:
        MethodError: The sparsity removes nothing or all, fours do not divide a row, or see ``prune_with_feedback``.
    """
    from stages.compression.methods import semi_structured
    from stages.compression.pruning import lowest, prune_count
    from stages.compression.second_order import row_errors

    if config.sparsity is None:
        smallest = semi_structured.mask(weight.abs(), 2, 4, name)
    else:
        smallest = lowest(weight.abs(), prune_count(weight.numel(), config.sparsity, name))
    cut = weight.masked_fill(smallest, 0.0)
    made_up = prune_with_feedback(weight, hessian, config, name)
    errors = [row_errors(pruned - weight, hessian).sum() for pruned in (made_up, cut)]
    return made_up if errors[0] <= errors[1] else cut


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Prune the matrices of the transformer's layers.

    Raises:
        MethodError: See ``best_of_both``, ``stages.compression.calibration`` and ``stages.compression.layerwise``.
    """
    from stages.compression.calibration import calibration_inputs
    from stages.compression.layerwise import input_sums, walk_layers

    ids = calibration_inputs(subject, context, config.sequences, config.length, config.mask_probability)
    for visit in walk_layers(subject, ids):
        hessians = input_sums(visit, lambda inputs: inputs.T @ inputs)
        for matrix in visit.matrices:
            matrix.assign(best_of_both(matrix.get(), hessians[matrix.name], config, matrix.name))
