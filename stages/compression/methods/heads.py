"""Whole attention heads cut off: their output no longer enters the layer (Michel et al. 2019, arXiv 1905.10650)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.common.errors import MethodError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``heads``."""

    method: Literal["heads"]
    count: int | None = Field(default=None, ge=1)
    """Heads to cut off: in each layer, or in the whole model."""
    granularity: Literal["layer", "global"] = "layer"
    """With ``count``: the same number in every layer, or the lowest of the model, every layer keeping its best one."""
    share: float | None = Field(default=None, gt=0, lt=1)
    """Share of the whole model's heads to cut off (rounded, halves to even): the lowest of the model, every layer
    keeping its best one."""
    by: Literal["importance", "random"] = "importance"
    """The derivative of the loss by a gate on the head, on calibration texts; or by lot."""
    seed: int = Field(default=0, ge=0)
    """Of the lot and of the masked positions, beside the suite's own seed."""
    sequences: int = Field(default=64, ge=1)
    """Calibration texts."""
    length: int = Field(default=128, ge=2)
    """Tokens in each."""

    @model_validator(mode="after")
    def _one_number(self) -> Config:
        if (self.count is None) == (self.share is None):
            raise ValueError("give exactly one of 'count' and 'share'")
        if self.share is not None and self.granularity != "layer":
            raise ValueError("granularity belongs to count; a share is of the whole model's heads")
        return self


def chosen(scores: Tensor, config: Config) -> Tensor:
    """Mark the heads that a config cuts off, given their scores; see ``cut``.

    Raises:
        MethodError: See ``cut``; or the share is less than one head, or more than leaves every layer one.
    """
    if config.share is not None:
        heads, count = scores.numel(), round(config.share * scores.numel())
        if not 0 < count <= heads - len(scores):
            raise MethodError(f"share {config.share} cuts {count} of {heads} heads", where=config.method,
                              fix=f"choose one that cuts 1 to {heads - len(scores)}: every layer keeps one")
        return cut(scores, count, "global")
    assert config.count is not None
    return cut(scores, config.count, config.granularity)


def cut(scores: Tensor, count: int, granularity: str) -> Tensor:
    """Mark the heads to cut off.

    Args:
        scores: What each head is worth, float32 of shape [layers, heads].
        count: Heads a layer, or heads of the model.
        granularity: ``layer`` or ``global``.

    Returns:
        bool of shape [layers, heads].

    Raises:
        MethodError: A layer would have no head left.
    """
    import torch

    from stages.compression.pruning import lowest, lowest_in_rows

    layers, heads = scores.shape
    most = heads - 1 if granularity == "layer" else layers * (heads - 1)
    if count > most:
        raise MethodError(f"cutting {count} of {heads} heads in {layers} layers leaves a layer without any",
                          fix=f"with granularity {granularity}, count is at most {most}")
    if granularity == "layer":
        return lowest_in_rows(scores, count)
    spared = scores.scatter(1, scores.argmax(dim=1, keepdim=True), torch.inf)
    return lowest(spared, count)


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Set the columns of the attention's output projection that belong to the chosen heads to zero.

    Raises:
        MethodError: A layer would have no head left, or see ``stages.compression.attention``.
    """
    import torch

    from stages.compression.attention import head_importance, output_matrices
    from stages.compression.calibration import calibration_ids
    from stages.compression.drawing import generator

    matrices = output_matrices(subject)
    heads = subject.model.config.num_attention_heads
    seed = context.seed + config.seed
    chosen(torch.zeros(len(matrices), heads), config)  # refuse before any work is done
    if config.by == "random":
        scores = torch.rand(len(matrices), heads, generator=generator(seed, "heads"))
    else:
        ids = calibration_ids(subject, context, config.sequences, config.length)
        scores = head_importance(subject, ids, seed)
    for matrix, gone in zip(matrices, chosen(scores, config), strict=True):
        weight = matrix.get()
        matrix.assign(weight.masked_fill(gone.repeat_interleave(weight.shape[1] // heads), 0.0))
