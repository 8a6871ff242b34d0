"""Each matrix replaced by the nearest one of low rank, its singular value decomposition cut off (Eckart & Young 1936).

Stored as two thin matrices wherever these are smaller than the one they stand for. The model computes with their
product, a matrix of the old size, so that it is smaller on disk and no faster.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.common.errors import MethodError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``low_rank``."""

    method: Literal["low_rank"]
    share: float = Field(gt=0, lt=1)
    """What is kept of every matrix in the scope."""
    of: Literal["parameters", "rank"] = "parameters"
    """The share of what: of its parameters, the largest rank r whose factors, of r (rows + columns) parameters, hold
    no more than that; or of its full rank, min(rows, columns), rounded, halves to even."""
    scope: Literal["layers", "linear", "all", "attention"] = "layers"
    """Matrices of the transformer's layers, every linear map, or the embeddings too; or those that make queries, keys
    and values, and the pooler's."""


def rank_of(rows: int, columns: int, config: Config, name: str) -> int:
    """The rank that a matrix keeps.

    Args:
        rows: Its outputs.
        columns: Its inputs.
        config: How much to keep.
        name: Of the weight, for the error message.

    Raises:
        MethodError: That is rank 0, or the full one; but of two rows or columns one is kept.
    """
    full = min(rows, columns)
    if config.of == "rank":
        rank = round(config.share * full)
    else:
        rank = max(1 if full == 2 else 0, math.floor(config.share * rows * columns / (rows + columns)))
    if not 0 < rank < full:
        raise MethodError(f"a share of {config.share} of its {config.of} is rank {rank} of {full}", where=name,
                          fix="choose a share that leaves some of the rank and removes some")
    return rank


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Cut off every matrix in the scope.

    Raises:
        MethodError: The model has none, one holds NaN or infinity, or see ``rank_of``.
    """
    import torch

    from stages.compression.factors import Factors

    for matrix in subject.matrices(config.scope):
        weight = subject.values(matrix.name)
        if not torch.isfinite(weight).all():
            raise MethodError("holds NaN or infinity, so that it has no singular values", where=matrix.name)
        rank = rank_of(weight.shape[0], weight.shape[1], config, matrix.name)
        factors = Factors.of(weight, rank)
        if factors.left.numel() + factors.right.numel() < weight.numel():
            subject.store(matrix.name, factors)
        else:
            subject.assign(matrix.name, factors.weight())
