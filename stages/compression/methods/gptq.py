"""Weights rounded column by column, each rounding error made up for by the columns that follow.

GPTQ (Frantar et al. 2022, arXiv 2210.17323), layer by layer on the inputs that the rounded layers below
give. A row whose error on the calibration inputs would be larger than with rounding to nearest keeps
the nearest integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.compression import Context
from stages.compression.settings import CalibratedGridConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.rounding import Grid, Integers
    from stages.compression.second_order import Ahead
    from stages.compression.subject import Subject

VERSION = 2


class Config(CalibratedGridConfig):
    """Settings of ``gptq``."""

    method: Literal["gptq"]
    damping: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """Added to the diagonal of the Hessian, as a share of its mean."""


def round_with_feedback(weight: Tensor, hessian: Tensor, config: Config, name: str) -> tuple[Tensor, Grid]:
    """Integers and grid of a weight under GPTQ.

    Args:
        weight: float32 of shape [out, in].
        hessian: Sum of x x^T over the calibration tokens, of shape [in, in].
        config: Bits, granularity, damping.
        name: Of the weight, for error messages.

    Returns:
        float32 integers of shape [out, in], and the grid with one block a row or group.

    Raises:
        MethodError: The group size does not divide a row, or see ``stages.compression.second_order``.
    """
    import torch

    from stages.compression.rounding import Grid, blocks_of
    from stages.compression.second_order import inverse_factor, settle_columns

    blocks_of(weight, config.granularity, config.group_size, name)  # refuses a group that does not fit
    size = config.group_size or weight.shape[1]
    integers = torch.empty_like(weight)
    grids: list[Grid] = []

    def settle(column: int, ahead: Ahead) -> Tensor:
        if column % size == 0:
            grids.append(Grid.of(ahead(size), config.bits, config.symmetric))
        integers[:, column : column + 1] = codes = grids[-1].integers(ahead(1))
        return grids[-1].values(codes)

    settle_columns(weight, inverse_factor(hessian, config.damping, name), settle)
    return integers, _joined(grids)


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Round the matrices of the transformer's layers.

    Raises:
        MethodError: See ``round_with_feedback``, ``stages.compression.calibration`` and
            ``stages.compression.layerwise``.
    """
    from stages.compression.calibration import calibration_inputs
    from stages.compression.layerwise import input_sums, walk_layers

    ids = calibration_inputs(subject, context, config.sequences, config.length, config.mask_probability)
    for visit in walk_layers(subject, ids):
        hessians = input_sums(visit, lambda inputs: inputs.T @ inputs)
        for matrix in visit.matrices:
            form = best_of_both(matrix.get(), hessians[matrix.name], config, matrix.name, matrix.transposed)
            subject.store(matrix.name, form)


def best_of_both(weight: Tensor, hessian: Tensor, config: Config, name: str, transposed: bool) -> Integers:
    """GPTQ's integers, but the nearest ones in rows where these have the smaller error on the calibration inputs."""
    import torch

    from stages.compression.rounding import Grid, Integers, blocks_of
    from stages.compression.second_order import row_errors

    shape = (weight.shape[0], weight.shape[1])
    blocks = blocks_of(weight, config.granularity, config.group_size, name)
    near_grid = Grid.of(blocks, config.bits, config.symmetric)
    near = near_grid.integers(blocks)
    integers, grid = round_with_feedback(weight, hessian, config, name)
    fed_back = integers.reshape(blocks.shape)

    def error(codes: Tensor, of: Grid) -> Tensor:
        return row_errors(of.values(codes).view(shape) - weight, hessian)

    worse = error(fed_back, grid) > error(near, near_grid)
    pick = worse.repeat_interleave(blocks.shape[0] // shape[0])[:, None]
    zero = None
    if grid.zero is not None and near_grid.zero is not None:
        zero = torch.where(pick, near_grid.zero, grid.zero)
    chosen = Grid(config.bits, torch.where(pick, near_grid.scale, grid.scale), zero)
    return Integers.of(torch.where(pick, near, fed_back), chosen, shape, transposed, name)


def _joined(grids: list[Grid]) -> Grid:
    """The grids of a row's groups, each [out, 1], as one with a block a group, in row-major order."""
    import torch

    from stages.compression.rounding import Grid

    scale = torch.cat([grid.scale for grid in grids], dim=1).view(-1, 1)
    zeros = [grid.zero for grid in grids if grid.zero is not None]
    return Grid(grids[0].bits, scale, torch.cat(zeros, dim=1).view(-1, 1) if zeros else None)
