"""What a student learns from a teacher: its distribution over words, its states, and the corpus' own words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from stages.common.errors import MethodError
from stages.training.mixup import Blend, Mixup, blended
from stages.training.objectives import Batch, Reading, read


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts."""

    soft: float
    hard: float
    cosine: float
    temperature: float
    attention: float = 0.0


def distillation_loss(
    student: Any, teacher: Any, weights: Weights, layers: Sequence[int] = (), mixup: Mixup | None = None
) -> Callable[[Batch], Tensor]:
    """The weighted sum of the parts, as a function of a batch; gradients reach the student alone.

    Args:
        student: Language model that learns.
        teacher: Language model with the same vocabulary, in eval mode; never run where only hard targets count.
        weights: Parts with weight 0 are not computed.
        layers: The teacher's layer that each of the student's attends like; needed for ``attention`` alone.
        mixup: How the texts are blended on which the student is to be like the teacher; the corpus' own words are
            always learned from the text as it is.

    Raises:
        MethodError: Of the function: a model gives no attention probabilities.
    """
    taught = weights.soft > 0 or weights.cosine > 0 or weights.attention > 0

    def look(model: Any, batch: Batch, blend: Blend | None) -> tuple[Reading, list[Tensor]]:
        with blended(model, blend):
            if weights.attention == 0:
                return read(model, batch), []
            with _attention_of(model) as found:
                return read(model, batch), found

    def loss(batch: Batch) -> Tensor:
        blend = mixup.draw(batch) if taught and mixup is not None else None
        own, attends = look(student, batch, blend)
        total = own.logits.new_zeros((), dtype=torch.float32)
        if weights.hard > 0:
            plain = own if blend is None else read(student, batch)
            total = total + weights.hard * functional.cross_entropy(plain.logits.float(), batch.targets)
        if taught:
            with torch.no_grad():
                shown, attended = look(teacher, batch, blend)
            if weights.soft > 0:
                total = total + weights.soft * soft_loss(own.logits, shown.logits, weights.temperature)
            if weights.cosine > 0:
                total = total + weights.cosine * cosine_loss(own.hidden, shown.hidden, batch.attention)
            if weights.attention > 0:
                like = [attended[number] for number in layers]
                total = total + weights.attention * attention_loss(attends, like, batch.attention)
        return total

    return loss


def soft_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL divergence (nats) of the student's distribution from the teacher's, both softened, mean over positions.

    Multiplied by the square of the temperature, so that its gradients keep their size as the temperature
    changes (Hinton et al. 2015, arXiv 1503.02531, section 2).

    Args:
        student: Logits of shape [positions, vocabulary].
        teacher: Logits of the same shape.
        temperature: What logits are divided by.
    """
    log_student = functional.log_softmax(student.float() / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher.float() / temperature, dim=-1)
    return functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2


def cosine_loss(student: Tensor, teacher: Tensor, attention: Tensor) -> Tensor:
    """One minus the cosine of the two models' hidden states, mean over tokens (Sanh et al. 2019, arXiv 1910.01108).

    Args:
        student: Last hidden states of shape [sequences, length, width].
        teacher: Those of the teacher, of the same shape.
        attention: int64 of shape [sequences, length], 0 at padding.
    """
    tokens = attention.bool()
    return (1.0 - functional.cosine_similarity(student[tokens].float(), teacher[tokens].float(), dim=-1)).mean()


def attention_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], attention: Tensor) -> Tensor:
    """Mean squared difference of attention probabilities, over layers, heads and pairs of tokens.

    After Jiao et al. 2020 (arXiv 1909.10351, eq. 7), who compare scores before the softmax. While the student
    trains, its probabilities have its dropout in them, where its architecture puts it there.

    Args:
        student: For each of its layers, probabilities of shape [sequences, heads, length, length].
        teacher: The layers to be like, as many and of the same shapes.
        attention: int64 of shape [sequences, length], 0 at padding.
    """
    tokens = attention.bool()
    pairs = tokens[:, :, None] & tokens[:, None, :]
    parts = [(own.float() - shown.float()).square().mean(dim=1)[pairs].mean()
             for own, shown in zip(student, teacher, strict=True)]
    return torch.stack(parts).mean()


@contextmanager
def _attention_of(model: Any) -> Iterator[list[Tensor]]:
    """Within, a model computes attention so that its probabilities can be had; the list gets those of a reading.

    Raises:
        MethodError: It gave none.
    """
    config, found = model.config, list[Tensor]()
    shows, implementation = config.output_attentions, config._attn_implementation
    handle = model.base_model.register_forward_hook(lambda module, args, output: found.extend(output.attentions or ()))
    model.set_attn_implementation("eager")
    config.output_attentions = True
    try:
        yield found
    finally:
        handle.remove()
        config.output_attentions = shows
        model.set_attn_implementation(implementation)
    if len(found) != config.num_hidden_layers:
        raise MethodError(f"architecture {config.model_type!r} gives no attention probabilities of its layers",
                          fix="attention: 0")
