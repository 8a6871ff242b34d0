"""A smaller student trained on the corpus and on what its teacher says of it (Hinton et al. 2015, arXiv 1503.02531).

The student has its teacher's architecture, tokenizer and vocabulary. With ``soft: 0`` and ``cosine: 0`` the
teacher is never asked: the same student on the same batches, trained alone, which is the control.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from stages.common.errors import MethodError
from stages.compression import Context
from stages.compression.tuning import TrainingConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1
_WIDTHS = ("hidden_size", "intermediate_size", "num_attention_heads")


class Config(TrainingConfig):
    """Settings of ``distill``."""

    method: Literal["distill"]
    soft: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the divergence from the teacher's distribution, times the square of the temperature."""
    hard: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the cross-entropy of the corpus' own words."""
    cosine: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of one minus the cosine of student's and teacher's last hidden states; of equal width only."""
    temperature: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """What the logits of both are divided by for ``soft``."""
    layers: int | None = Field(default=None, ge=1)
    """Layers of the student; the teacher's number where neither this, ``depth`` nor ``taken`` is given."""
    depth: float | None = Field(default=None, gt=0, le=1)
    """Or their number as a share of the teacher's, rounded, at least 1."""
    taken: tuple[int, ...] | None = None
    """Or the teacher's layers that it begins with, by number; otherwise they are evenly spaced, first to last."""
    hidden_size: int | None = Field(default=None, ge=1)
    """Width of the student; the teacher's if left out, as for the next two."""
    intermediate_size: int | None = Field(default=None, ge=1)
    num_attention_heads: int | None = Field(default=None, ge=1)
    initial: Literal["teacher", "random"] = "teacher"
    """Whether the student begins with its teacher's weights or with fresh ones."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Config:
        if self.soft == self.hard == self.cosine == 0:
            raise ValueError("soft, hard and cosine are all 0: nothing is learned")
        if sum(choice is not None for choice in (self.layers, self.depth, self.taken)) > 1:
            raise ValueError("give at most one of 'layers', 'depth' and 'taken'")
        if self.taken is not None:
            if self.initial == "random":
                raise ValueError("taken belongs to initial: teacher")
            if list(self.taken) != sorted(set(self.taken)) or not self.taken or self.taken[0] < 0:
                raise ValueError("taken must rise, from 0")
        return self


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Put a trained student in its teacher's place.

    Raises:
        MethodError: A student wider or deeper than the teacher it begins with, one of other width with
            ``cosine``, a sentence encoder; or see ``stages.compression.tuning``.
    """
    from stages.compression.tuning import refuse_sentence_encoder, train_subject
    from stages.training.distillation import Weights, distillation_loss

    refuse_sentence_encoder(subject)
    teacher = copy.deepcopy(subject.model).eval()
    _make_student(subject, config, context)
    if config.cosine > 0 and subject.model.config.hidden_size != teacher.config.hidden_size:
        raise MethodError(f"cosine compares hidden states of one width; the student's is "
                          f"{subject.model.config.hidden_size}, the teacher's {teacher.config.hidden_size}",
                          where=subject.folder, fix="cosine: 0")
    weights = Weights(config.soft, config.hard, config.cosine, config.temperature)
    train_subject(subject, config, context, ("teacher", teacher), distillation_loss(subject.model, teacher, weights))


def _make_student(subject: Subject, config: Config, context: Context) -> None:
    from stages.compression.student import keep_layers, renew, spaced_layers

    teacher: Any = subject.model.config
    depth = teacher.num_hidden_layers
    layers = config.layers or depth
    if config.depth is not None:
        layers = max(1, round(config.depth * depth))
    widths = {key: value for key in _WIDTHS if (value := getattr(config, key)) is not None}
    if config.initial == "teacher":
        if layers > depth:
            raise MethodError(f"a student of {layers} layers cannot begin with the {depth} of its teacher",
                              where=subject.folder, fix="initial: random")
        for key, value in widths.items():
            own = getattr(teacher, key, None)
            if value != own:
                raise MethodError(f"a student with {key} {value} cannot begin with its teacher's weights, which "
                                  f"have {own}", where=subject.folder, fix="initial: random")
        kept = config.taken or spaced_layers(depth, layers)
        keep_layers(subject, kept, context)
        subject.resolved = {"taken": list(kept)}
        return
    if layers < depth:
        keep_layers(subject, range(layers), context)
    renew(subject, widths | ({"num_hidden_layers": layers} if layers > depth else {}), context.seed + config.seed)
    subject.resolved = {"layers": layers}
