"""Attention heads: where they are, and how much the loss depends on each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.common.errors import MethodError
from stages.compression.calibration import hide_words
from stages.compression.drawing import generator
from stages.compression.scopes import HEADS_OUTPUT
from stages.compression.subject import Matrix, Subject

_SEQUENCES_AT_ONCE = 8
_MASKED = 0.15


def output_matrices(subject: Subject) -> list[Matrix]:
    """The output projection of each layer's attention; head h owns the h-th of equal runs of its inputs.

    Raises:
        MethodError: The architecture is not one whose heads are known.
    """
    suffix = HEADS_OUTPUT.get(subject.loaded.architecture)
    if suffix is None:
        raise MethodError(f"the heads of architecture {subject.loaded.architecture!r} are not known",
                          where=subject.folder, fix=f"known are {', '.join(sorted(HEADS_OUTPUT))}")
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
        MethodError: The model has no language-model head to take a loss from, or the loss or its derivatives are
            no numbers; the message names the weight that is none, or else the first such text.
    """
    _refuse_sentence_encoder(subject)
    matrices = output_matrices(subject)
    heads = subject.model.config.num_attention_heads
    total = torch.zeros(len(matrices), heads)
    draw = generator(seed, "masked positions")
    for number, batch in enumerate(ids.split(_SEQUENCES_AT_ONCE)):
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
        _refuse_not_finite(subject, torch.stack(slopes, dim=1), number * _SEQUENCES_AT_ONCE)
        total += torch.stack([slope.abs().sum(dim=0) for slope in slopes])
    return functional.normalize(total, dim=1)


def language_loss(subject: Subject, ids: Tensor, seed: int) -> float:
    """Mean cross-entropy (nats) of the tokens that ``head_importance`` asks for.

    Args:
        subject: A masked or causal model.
        ids: int64 of shape [sequences, length].
        seed: Of the positions that are masked.

    Raises:
        MethodError: The model has no language-model head to take a loss from, or the loss is no number.
    """
    _refuse_sentence_encoder(subject)
    total, asked = 0.0, 0
    draw = generator(seed, "masked positions")
    with torch.no_grad():
        for batch in ids.split(_SEQUENCES_AT_ONCE):
            inputs, targets = _task(subject, batch, draw)
            logits = subject.model(inputs).logits
            total += functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
            asked += int((targets >= 0).sum())
    if not asked or not math.isfinite(total):
        raise MethodError(f"its loss on the calibration texts is {total} over {asked} tokens", where=subject.folder,
                          fix="ask for more or longer calibration sequences, or see that its weights are finite")
    return total / asked


def _refuse_sentence_encoder(subject: Subject) -> None:
    if subject.loaded.family == "sentence":
        raise MethodError("a sentence encoder has no loss to judge its heads by", where=subject.folder,
                          fix="choose heads by: random")


def _refuse_not_finite(subject: Subject, slopes: Tensor, first: int) -> None:
    """Refuse derivatives, of shape [texts, layers, heads], that are no numbers; ``first`` is the first text's number.

    A loss that is no number has no derivatives that are: its texts are found here too.
    """
    bad = torch.nonzero(~torch.isfinite(slopes).flatten(1).all(dim=1)).flatten().tolist()
    if not bad:
        return
    for name, parameter in subject.model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise MethodError(f"weight {name} holds NaN or infinity, so that no loss can judge the heads",
                              where=subject.folder)
    raise MethodError(f"its loss on calibration text {first + bad[0]} (from 0), or the loss' derivative by a head, is "
                      "NaN or infinite", where=subject.folder, fix="choose heads by: random")


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
