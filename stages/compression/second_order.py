"""Weights settled column by column, each one's error made up for by the columns that follow.

The optimal brain surgeon's update (Hassibi & Stork 1992) for a linear map whose squared output error is wanted
small: the Hessian is the same for every row, so that one Cholesky factor of its inverse holds all that the
columns need in turn (Frantar et al. 2022, arXiv 2210.17323). What a column is settled on is the caller's:
the nearest point of a grid in ``gptq``, itself or zero in ``sparsegpt``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stages.common.errors import MethodError

_COLUMNS_AT_ONCE = 128

Ahead = Callable[[int], Tensor]
"""Gives that many columns from the present one on, of shape [out, columns], all earlier errors made up for."""


def inverse_factor(hessian: Tensor, damping: float, name: str) -> Tensor:
    """Upper Cholesky factor of the inverse of a damped Hessian, float32 of shape [in, in].

    Args:
        hessian: Sum of x x^T over the calibration tokens, of shape [in, in].
        damping: Share of the mean diagonal to add to it.
        name: Of the weight, for the error message.

    Raises:
        MethodError: The damped Hessian has no inverse in float64.
    """
    damped = hessian.to(torch.float64, copy=True)
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


def settle_columns(weight: Tensor, factor: Tensor, settle: Callable[[int, Ahead], Tensor]) -> Tensor:
    """Settle a weight's columns from the first to the last.

    Args:
        weight: float32 of shape [out, in].
        factor: See ``inverse_factor``.
        settle: From a column's number, and a look at it and those that follow, to its final values of shape [out, 1].

    Returns:
        The settled weight, float32 of shape [out, in].
    """
    rows, columns = weight.shape
    rest, settled = weight.clone(), torch.empty_like(weight)
    for start in range(0, columns, _COLUMNS_AT_ONCE):
        end = min(start + _COLUMNS_AT_ONCE, columns)
        errors = torch.zeros(rows, end - start)
        for column in range(start, end):

            def ahead(count: int, start: int = start, end: int = end, column: int = column,
                      errors: Tensor = errors) -> Tensor:
                found = rest[:, column : column + count].clone()
                beyond = min(column + count, columns) - end
                if beyond > 0:
                    # Columns beyond this run have not yet been brought up to date.
                    found[:, -beyond:] -= errors @ factor[start:end, end : end + beyond]
                return found

            settled[:, column : column + 1] = final = settle(column, ahead)
            error = (rest[:, column : column + 1] - final) / factor[column, column]
            rest[:, column:end] -= error * factor[column, column:end]
            errors[:, column - start : column - start + 1] = error
        rest[:, end:] -= errors @ factor[start:end, end:]
    return settled


def row_errors(change: Tensor, hessian: Tensor) -> Tensor:
    """Squared error that a change of the weights makes in each output, summed over the calibration tokens.

    Args:
        change: float32 of shape [out, in].
        hessian: Sum of x x^T over the calibration tokens, of shape [in, in].

    Returns:
        float64 of shape [out].
    """
    change = change.double()
    return ((change @ hessian.double()) * change).sum(dim=1)
