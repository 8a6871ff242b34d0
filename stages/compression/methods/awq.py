"""Weights rounded after the columns with large inputs were scaled up, so that these lose least.

AWQ (Lin et al. 2023, arXiv 2306.00978), layer by layer on the inputs that the rounded layers below give. Scale of
column j: (mean |x_j| over the calibration tokens)^alpha, all divided by the geometric mean of the largest and the
smallest; the weights are multiplied by it, rounded to nearest, and divided by it again. Alpha is chosen for each
matrix from an even grid over [0, 1), by the output's squared error on the calibration texts; 0 is rounding to nearest.
The scales are kept beside the integers, where the paper folds them into the layer before; its search for a range to
clip weights to is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.compression import Context
from stages.compression.settings import CalibratedGridConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.scaled import ScaledIntegers
    from stages.compression.subject import Subject

VERSION = 1
_SMALLEST = 1e-4
"""Least scale before they are evened out, for inputs that are never active."""


class Config(CalibratedGridConfig):
    """Settings of ``awq``."""

    method: Literal["awq"]
    alphas: int = Field(default=20, ge=1)
    """How many exponents are tried: 0, 1 / alphas, 2 / alphas, ... below 1."""


def column_scales(means: Tensor, alpha: float) -> Tensor:
    """What to multiply the columns of a weight by before rounding.

    Args:
        means: Mean absolute value of each input, float32 of shape [in].
        alpha: How much the inputs count, from 0.

    Returns:
        float32 of shape [in]; all 1 where alpha is 0.
    """
    scales = means.pow(alpha).clamp_(min=_SMALLEST)
    return scales / (scales.max() * scales.min()).sqrt()


def round_scaled(weight: Tensor, scales: Tensor, config: Config, name: str, transposed: bool) -> ScaledIntegers:
    """The nearest integers of a weight whose columns are scaled.

    Args:
        weight: float32 of shape [out, in].
        scales: See ``column_scales``.
        config: Bits and what shares a scale.
        name: Of the weight, for the error message.
        transposed: Whether the parameter is kept as [in, out].

    Raises:
        MethodError: The group size does not divide a row, or the weight holds NaN or infinity.
    """
    from stages.compression.rounding import Grid, Integers, blocks_of
    from stages.compression.scaled import ScaledIntegers

    blocks = blocks_of(weight * scales, config.granularity, config.group_size, name)
    grid = Grid.of(blocks, config.bits, config.symmetric)
    shape = (weight.shape[0], weight.shape[1])
    return ScaledIntegers(Integers.of(grid.integers(blocks), grid, shape, transposed, name), scales)


def best_scaled(weight: Tensor, hessian: Tensor, means: Tensor, config: Config, name: str,
                transposed: bool) -> ScaledIntegers:
    """The rounding whose output error is smallest; of equal ones, that of the smallest alpha.

    Args:
        weight: float32 of shape [out, in].
        hessian: Sum of x x^T over the calibration tokens, of shape [in, in].
        means: Mean absolute value of each input, float32 of shape [in].
        config: Bits, what shares a scale, and how many exponents are tried.
        name: Of the weight, for the error message.
        transposed: Whether the parameter is kept as [in, out].

    Raises:
        MethodError: The group size does not divide a row, or the weight holds NaN or infinity.
    """
    from stages.compression.second_order import row_errors

    def error(form: ScaledIntegers) -> float:
        values = form.weight()
        return float(row_errors((values.T if transposed else values) - weight, hessian).sum())

    tried = (round_scaled(weight, column_scales(means, step / config.alphas), config, name, transposed)
             for step in range(config.alphas))
    return min(tried, key=error)


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Round the matrices of the transformer's layers.

    Raises:
        MethodError: See ``round_scaled``, ``stages.compression.calibration`` and ``stages.compression.layerwise``.
    """
    import torch

    from stages.compression.calibration import calibration_inputs
    from stages.compression.layerwise import input_sums, walk_layers

    def statistics(inputs: Tensor) -> Tensor:
        return torch.cat([inputs.T @ inputs, inputs.abs().sum(dim=0, keepdim=True)])

    ids = calibration_inputs(subject, context, config.sequences, config.length, config.mask_probability)
    for visit in walk_layers(subject, ids):
        sums = input_sums(visit, statistics)
        for matrix in visit.matrices:
            hessian, means = sums[matrix.name][:-1], sums[matrix.name][-1] / ids.numel()
            form = best_scaled(matrix.get(), hessian, means, config, matrix.name, matrix.transposed)
            subject.store(matrix.name, form)
