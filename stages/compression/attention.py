"""Attention heads: where they are, and how much the loss depends on each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.common.errors import MethodError
from stages.compression.calibration import hide_words
from stages.compression.drawing import generator
from stages.compression.subject import Matrix, Subject

# The linear map that takes a layer's heads, side by side, as its inputs.
_OUTPUT = {
    "bert": "attention.output.dense",
    "roberta": "attention.output.dense",
    "distilbert": "attention.out_lin",
    "gpt2": "attn.c_proj",
    "gpt_neox": "attention.dense",
}
_SEQUENCES_AT_ONCE = 8
_MASKED = 0.15


def output_matrices(subject: Subject) -> list[Matrix]:
    """The output projection of each layer's attention; head h owns the h-th of equal runs of its inputs.

    Raises:
        MethodError: The architecture is not one whose heads are known.
    """
    suffix = _OUTPUT.get(subject.loaded.architecture)
    if suffix is None:
        raise MethodError(f"the heads of architecture {subject.loaded.architecture!r} are not known",
                          where=subject.folder, fix=f"known are {', '.join(sorted(_OUTPUT))}")
    return [matrix for matrix in subject.matrices("layers") if matrix.module_name.endswith(f".{suffix}")]


def head_importance(subject: Subject, ids: Tensor, seed: int) -> Tensor:
    """How much the language-model loss depends on each head (Michel et al. 2019, arXiv 1905.10650, eq. 2).

    Mean over texts of the absolute derivative of the text's loss by a gate on the head's output, each
    layer scaled to norm 1. Masked models are asked for 15% of the tokens, causal ones for each next token.

    Args:
        subject: A masked or causal model.
        ids: int64 of shape [sequences, length].
        seed: Of the positions that are masked.

    Returns:
        float32 of shape [layers, heads].

    Raises:
        MethodError: The model has no language-model head to take a loss from, or its loss is no number.
    """
    if subject.loaded.family == "sentence":
        raise MethodError("a sentence encoder has no loss to judge its heads by", where=subject.folder,
                          fix="choose heads by: random")
    matrices = output_matrices(subject)
    heads = subject.model.config.num_attention_heads
    total = torch.zeros(len(matrices), heads)
    draw = generator(seed, "masked positions")
    for batch in ids.split(_SEQUENCES_AT_ONCE):
        inputs, targets = _task(subject, batch, draw)
        gates = [torch.ones(len(batch), heads, requires_grad=True) for _ in matrices]
        handles = [matrix.module.register_forward_pre_hook(_through(gate))
                   for matrix, gate in zip(matrices, gates, strict=True)]
        try:
            with torch.enable_grad():
                logits = subject.model(inputs).logits
                loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
                slopes = torch.autograd.grad(loss, gates)
        finally:
            for handle in handles:
                handle.remove()
        total += torch.stack([slope.abs().sum(dim=0) for slope in slopes])
    if not torch.isfinite(total).all():
        raise MethodError("its loss on the calibration texts is NaN or infinite", where=subject.folder)
    return functional.normalize(total, dim=1)


def _through(gate: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    """A hook that multiplies each head's share of a projection's inputs by its gate, of shape [texts, heads]."""

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        texts, tokens, width = inputs[0].shape
        by_head = inputs[0].view(texts, tokens, gate.shape[1], -1) * gate[:, None, :, None]
        return (by_head.view(texts, tokens, width),)

    return hook


def _task(subject: Subject, ids: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs, and targets with -100 where nothing is asked."""
    ignored: Any = torch.full_like(ids, -100)
    if subject.loaded.family == "causal":
        ignored[:, :-1] = ids[:, 1:]
        return ids, ignored
    inputs, hidden = hide_words(subject, ids, _MASKED, draw)
    return inputs, torch.where(hidden, ids, ignored)
