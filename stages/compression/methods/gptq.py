"""Weights rounded column by column, each rounding error made up for by the columns that follow.

GPTQ (Frantar et al. 2022, arXiv 2210.17323), layer by layer on the inputs that the rounded layers below
give. A row whose error on the calibration inputs would be larger than with rounding to nearest keeps
the nearest integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.common.errors import MethodError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.rounding import Grid, Integers
    from stages.compression.subject import Subject

VERSION = 2
_COLUMNS_AT_ONCE = 128


class Config(MethodConfig):
    """Settings of ``gptq``."""

    method: Literal["gptq"]
    bits: int = Field(ge=2, le=8)
    granularity: Literal["channel", "group"] = "channel"
    """What shares a scale: an output channel, or ``group_size`` inputs of one."""
    group_size: int | None = Field(default=None, ge=2)
    symmetric: bool = True
    """Around zero, or from the smallest to the largest weight with a zero point."""
    damping: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """Added to the diagonal of the Hessian, as a share of its mean."""
    sequences: int = Field(default=128, ge=1)
    """Calibration texts."""
    length: int = Field(default=128, ge=2)
    """Tokens in each."""
    mask_probability: float = Field(default=0.15, ge=0, lt=1)
    """Share of the words that a masked model finds masked, as in training; others read plain text."""

    @model_validator(mode="after")
    def _group(self) -> Config:
        if (self.group_size is None) == (self.granularity == "group"):
            raise ValueError("group_size belongs to granularity 'group', and is needed there")
        return self


def inverse_factor(hessian: Tensor, damping: float, name: str) -> Tensor:
    """Upper Cholesky factor of the inverse of a damped Hessian, float32 of shape [in, in].

    Args:
        hessian: Sum of x x^T over the calibration tokens, of shape [in, in].
        damping: Share of the mean diagonal to add to it.
        name: Of the weight, for the error message.

    Raises:
        MethodError: The damped Hessian has no inverse in float64.
    """
    import torch

    damped = hessian.double()
    diagonal = damped.diagonal()
    # An input that was never active: any positive number, it stands alone.
    diagonal[diagonal == 0] = 1.0
    diagonal += damping * diagonal.mean()
    try:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
        return torch.linalg.cholesky(inverse, upper=True).float()
    except torch.linalg.LinAlgError:
        raise MethodError(f"its inputs on the calibration texts are too alike for a damping of {damping}", where=name,
                          fix="raise damping, or calibrate on more tokens") from None


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
        MethodError: The group size does not divide a row, or see ``inverse_factor``.
    """
    import torch

    from stages.compression.rounding import Grid, blocks_of

    rows, columns = weight.shape
    blocks_of(weight, config.granularity, config.group_size, name)  # refuses a group that does not fit
    size = config.group_size or columns
    factor = inverse_factor(hessian, config.damping, name)
    rest, integers = weight.clone(), torch.empty_like(weight)
    grids: list[Grid] = []
    for start in range(0, columns, _COLUMNS_AT_ONCE):
        end = min(start + _COLUMNS_AT_ONCE, columns)
        errors = torch.zeros(rows, end - start)
        for column in range(start, end):
            if column % size == 0:
                # The group's later columns may lie beyond this run of columns; bring them up to date.
                ahead = rest[:, column : column + size].clone()
                beyond = column + size - end
                if beyond > 0:
                    ahead[:, -beyond:] -= errors @ factor[start:end, end : end + beyond]
                grids.append(Grid.of(ahead, config.bits, config.symmetric))
            value = rest[:, column : column + 1]
            integers[:, column : column + 1] = code = grids[-1].integers(value)
            error = (value - grids[-1].values(code)) / factor[column, column]
            rest[:, column:end] -= error * factor[column, column:end]
            errors[:, column - start : column - start + 1] = error
        rest[:, end:] -= errors @ factor[start:end, end:]
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

    shape = (weight.shape[0], weight.shape[1])
    blocks = blocks_of(weight, config.granularity, config.group_size, name)
    near_grid = Grid.of(blocks, config.bits, config.symmetric)
    near = near_grid.integers(blocks)
    integers, grid = round_with_feedback(weight, hessian, config, name)
    fed_back = integers.reshape(blocks.shape)

    def error(codes: Tensor, of: Grid) -> Tensor:
        change = (of.values(codes).view(shape) - weight).double()
        return ((change @ hessian.double()) * change).sum(dim=1)

    worse = error(fed_back, grid) > error(near, near_grid)
    pick = worse.repeat_interleave(blocks.shape[0] // shape[0])[:, None]
    zero = None
    if grid.zero is not None and near_grid.zero is not None:
        zero = torch.where(pick, near_grid.zero, grid.zero)
    chosen = Grid(config.bits, torch.where(pick, near_grid.scale, grid.scale), zero)
    return Integers.of(torch.where(pick, near, fed_back), chosen, shape, transposed)


def _joined(grids: list[Grid]) -> Grid:
    """The grids of a row's groups, each [out, 1], as one with a block a group, in row-major order."""
    import torch

    from stages.compression.rounding import Grid

    scale = torch.cat([grid.scale for grid in grids], dim=1).view(-1, 1)
    zeros = [grid.zero for grid in grids if grid.zero is not None]
    return Grid(grids[0].bits, scale, torch.cat(zeros, dim=1).view(-1, 1) if zeros else None)
