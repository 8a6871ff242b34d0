"""Which weights to set to zero, given how much each is worth; plain functions on tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stages.common.errors import MethodError


def prune_count(elements: int, sparsity: float, what: str) -> int:
    """How many of some elements a sparsity removes: rounded, halves to even, as ``torch.nn.utils.prune`` does.

    Raises:
        MethodError: That is none of them, or all.
    """
    count = round(sparsity * elements)
    if not 0 < count < elements:
        raise MethodError(f"sparsity {sparsity} removes {count} of {elements}", where=what,
                          fix="choose a sparsity that removes some and leaves some")
    return count


def lowest(scores: Tensor, count: int) -> Tensor:
    """Mark the ``count`` lowest scores; of equal ones, those that come first.

    Args:
        scores: float32 of any shape.
        count: How many, at least 1.

    Returns:
        bool of the same shape, true where the score is among the lowest.
    """
    flat = scores.flatten()
    # The count-th lowest value splits the rest; ties at it are settled by position.
    threshold = flat.kthvalue(count).values
    mask = flat < threshold
    ties = torch.nonzero(flat == threshold).flatten()
    mask[ties[: count - int(mask.sum())]] = True
    return mask.view(scores.shape)


def lowest_in_rows(scores: Tensor, count: int) -> Tensor:
    """Mark the ``count`` lowest scores of every row of a matrix; of equal ones, those that come first.

    Args:
        scores: float32 of shape [rows, columns].
        count: How many of each row, at least 1.

    Returns:
        bool of the same shape.
    """
    order = torch.argsort(scores, dim=1, stable=True)
    mask = torch.zeros_like(scores, dtype=torch.bool)
    return mask.scatter_(1, order[:, :count], True)


def lowest_overall(scores: Sequence[Tensor], count: int) -> list[Tensor]:
    """Mark the ``count`` lowest scores over several tensors together.

    Args:
        scores: float32 tensors of any shapes.
        count: How many of all of them, at least 1.

    Returns:
        bool tensors of the same shapes.
    """
    mask = lowest(torch.cat([score.flatten() for score in scores]), count)
    parts = mask.split([score.numel() for score in scores])
    return [part.view(score.shape) for part, score in zip(parts, scores, strict=True)]
