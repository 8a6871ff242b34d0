"""What a student learns from a teacher: its distribution over words, its hidden states, and the corpus' own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from stages.training.objectives import Batch, read


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts."""

    soft: float
    hard: float
    cosine: float
    temperature: float


def distillation_loss(student: Any, teacher: Any, weights: Weights) -> Callable[[Batch], Tensor]:
    """The weighted sum of the parts, as a function of a batch; gradients reach the student alone.

    Args:
        student: Language model that learns.
        teacher: Language model with the same vocabulary, in eval mode; never run where only hard targets count.
        weights: Parts with weight 0 are not computed.
    """
    taught = weights.soft > 0 or weights.cosine > 0

    def loss(batch: Batch) -> Tensor:
        own = read(student, batch)
        total = own.logits.new_zeros((), dtype=torch.float32)
        if weights.hard > 0:
            total = total + weights.hard * functional.cross_entropy(own.logits.float(), batch.targets)
        if taught:
            with torch.no_grad():
                shown = read(teacher, batch)
            if weights.soft > 0:
                total = total + weights.soft * soft_loss(own.logits, shown.logits, weights.temperature)
            if weights.cosine > 0:
                total = total + weights.cosine * cosine_loss(own.hidden, shown.hidden, batch.attention)
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
