"""Attention heads cut off until a model has lost as much as it may (Michel et al. 2019, arXiv 1905.10650, section 4).

A tenth of the model's heads go at a time, importance taken anew each time, until the next tenth would raise the
loss too far; from there one at a time, until the next one would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.common.errors import MethodError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``heads_until``."""

    method: Literal["heads_until"]
    loss_ratio: float = Field(gt=1, allow_inf_nan=False)
    """Largest language-model loss on the calibration texts, as a multiple of the uncut model's."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the model's heads to cut off at a time (rounded, at least one), before they go one by one."""
    by: Literal["importance", "random"] = "importance"
    """The derivative of the loss by a gate on the head, on the same texts; or by lot, drawn once."""
    seed: int = Field(default=0, ge=0)
    """Of the lot and of the masked positions, beside the suite's own seed."""
    sequences: int = Field(default=64, ge=1)
    """Calibration texts."""
    length: int = Field(default=128, ge=2)
    """Tokens in each."""


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Set the columns of the attention's output projection that belong to the heads found to zero.

    Every layer keeps one head. ``method.json`` names the heads as [layer, head], and the loss ratio reached.

    Raises:
        MethodError: Not one head can go, or see ``stages.compression.attention`` and
            ``stages.compression.calibration``.
    """
    import torch

    from stages.compression.attention import head_importance, language_loss, output_matrices
    from stages.compression.calibration import calibration_ids
    from stages.compression.drawing import generator

    matrices, seed = output_matrices(subject), context.seed + config.seed
    ids = calibration_ids(subject, context, config.sequences, config.length)
    whole, weights = language_loss(subject, ids, seed), [matrix.get().clone() for matrix in matrices]
    heads = subject.model.config.num_attention_heads
    lot = torch.rand(len(matrices), heads, generator=generator(seed, "heads"))

    def cut(gone: Tensor) -> None:
        for matrix, weight, row in zip(matrices, weights, gone, strict=True):
            matrix.assign(weight.masked_fill(row.repeat_interleave(weight.shape[1] // heads), 0.0))

    gone, reached = torch.zeros(len(matrices), heads, dtype=torch.bool), 1.0
    at_once = max(1, round(config.share * gone.numel()))
    scores = lot if config.by == "random" else head_importance(subject, ids, seed)
    while (more := _next(scores, gone, at_once)) is not None:
        cut(more)
        ratio = language_loss(subject, ids, seed) / whole
        if ratio <= config.loss_ratio:
            gone, reached = more, ratio
            scores = lot if config.by == "random" else head_importance(subject, ids, seed)
        elif at_once > 1:
            at_once = 1
        else:
            break
    if not gone.any():
        raise MethodError(f"without the least of its heads the loss is {ratio:.4f} times what it was",
                          where=subject.folder, fix=f"loss_ratio: {ratio:.4f} or more")
    cut(gone)
    subject.resolved = {"heads": gone.nonzero().tolist(), "reached_loss_ratio": round(reached, 6)}


def _next(scores: Tensor, gone: Tensor, count: int) -> Tensor | None:
    """Mark the heads that are gone after the next ``count`` lowest, or as many as can go; None if none can."""
    import torch

    left = scores.masked_fill(gone, -torch.inf)
    spared = scores.masked_fill(gone, torch.inf).scatter(1, left.argmax(dim=1, keepdim=True), torch.inf)
    count = min(count, int(spared.isfinite().sum()))
    if not count:
        return None
    more = gone.flatten().clone()
    more[spared.flatten().argsort(stable=True)[:count]] = True
    return more.view_as(gone)
