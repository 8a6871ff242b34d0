"""A smaller student trained on the corpus and on what its teacher says of it (Hinton et al. 2015, arXiv 1503.02531).

The student has its teacher's architecture, tokenizer and vocabulary. With ``soft``, ``cosine`` and ``attention`` at
0 the teacher is never asked: the same student on the same batches, trained alone, which is the control.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from stages.common.errors import MethodError
from stages.common.params import Frozen
from stages.compression import Context
from stages.compression.tuning import TrainingConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject
    from stages.training.mixup import Mixup

VERSION = 1
_WIDTHS = ("hidden_size", "intermediate_size", "num_attention_heads")


class MixupConfig(Frozen):
    """Texts that are blended before student and teacher read them, for all that the teacher teaches."""

    alpha: float = Field(default=0.4, gt=0, allow_inf_nan=False)
    """Both parameters of the Beta distribution of the shares (``stages.training.mixup``)."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Words to blend with each other, each one token of the vocabulary; if empty, whole sequences of a batch are."""

    @model_validator(mode="after")
    def _one_counterpart(self) -> MixupConfig:
        words = [word for pair in self.pairs for word in pair]
        if len(set(words)) < len(words):
            raise ValueError("a word stands in two pairs, or with itself")
        return self


class Config(TrainingConfig):
    """Settings of ``distill``."""

    method: Literal["distill"]
    soft: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the divergence from the teacher's distribution, times the square of the temperature."""
    hard: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the cross-entropy of the corpus' own words."""
    cosine: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of one minus the cosine of student's and teacher's last hidden states; of equal width only."""
    attention: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the mean squared difference of attention probabilities: each layer's from those of the teacher's layer
    that it began as, or of evenly spaced ones where it began fresh; of as many heads only."""
    temperature: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """What the logits of both are divided by for ``soft``."""
    mixup: MixupConfig | None = None
    """Where given, ``soft``, ``cosine`` and ``attention`` are of blended texts; ``hard`` is of the text as it is."""
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
    """Whether the student begins with its teacher's weights or with fresh ones. A narrower one begins with the first
    hidden units, inner units and attention heads of the layers taken; the heads keep their width."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Config:
        if self.soft == self.hard == 0:
            raise ValueError("soft and hard are both 0: which words to say is not learned")
        if self.mixup is not None and self.soft == self.cosine == self.attention == 0:
            raise ValueError("mixup blends what the teacher is asked; soft, cosine and attention are all 0")
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
        MethodError: A student wider or deeper than the teacher it begins with or whose heads would not keep their
            width, one of other width with ``cosine``, of other heads or deeper with ``attention``, a sentence
            encoder, a word of ``mixup`` that is no token; or see ``stages.compression.tuning``.
    """
    from stages.compression.student import spaced_layers
    from stages.compression.tuning import refuse_sentence_encoder, train_subject
    from stages.training.distillation import Weights, distillation_loss

    refuse_sentence_encoder(subject)
    teacher = copy.deepcopy(subject.model).eval()
    _make_student(subject, config, context)
    _refuse_unlike(subject, teacher, config)
    depth, layers = teacher.config.num_hidden_layers, subject.model.config.num_hidden_layers
    like = subject.resolved.get("taken") or spaced_layers(depth, layers)
    weights = Weights(config.soft, config.hard, config.cosine, config.temperature, config.attention)
    loss = distillation_loss(subject.model, teacher, weights, like, _mixup(subject, config.mixup))
    train_subject(subject, config, context, ("teacher", teacher), loss)


def _refuse_unlike(subject: Subject, teacher: Any, config: Config) -> None:
    """Refuse parts of the loss that compare what student and teacher do not have alike."""
    own, shown = subject.model.config, teacher.config
    for part, key, what in (("cosine", "hidden_size", "hidden states of one width"),
                            ("attention", "num_attention_heads", "one number of attention heads")):
        if getattr(config, part) > 0 and getattr(own, key) != getattr(shown, key):
            raise MethodError(f"{part} compares {what}; the student's is {getattr(own, key)}, "
                              f"the teacher's {getattr(shown, key)}", where=subject.folder, fix=f"{part}: 0")
    if config.attention > 0 and own.num_hidden_layers > shown.num_hidden_layers:
        raise MethodError(f"attention compares layers; the student has {own.num_hidden_layers}, the teacher "
                          f"{shown.num_hidden_layers}", where=subject.folder, fix="attention: 0")


def _mixup(subject: Subject, config: MixupConfig | None) -> Mixup | None:
    """Find the words of the pairs in the vocabulary."""
    import torch

    from stages.training.mixup import Mixup

    if config is None:
        return None
    if not config.pairs:
        return Mixup(config.alpha)
    counterpart = torch.arange(subject.model.get_input_embeddings().weight.shape[0])
    for pair in config.pairs:
        one, other = (_token(subject, word) for word in pair)
        counterpart[one], counterpart[other] = other, one
    return Mixup(config.alpha, counterpart)


def _token(subject: Subject, word: str) -> int:
    # With a blank before it, as within a sentence: byte-pair vocabularies tell the two apart.
    tokens: list[int] = subject.loaded.tokenizer.encode(f" {word}", add_special_tokens=False)
    if len(tokens) != 1 or tokens[0] == subject.loaded.tokenizer.unk_token_id:
        raise MethodError(f"{word!r} is no word of the vocabulary", where="mixup.pairs",
                          fix="give words that are one token each")
    return tokens[0]


def keep_layers(subject: Subject, kept: Sequence[int], context: Context) -> None:
    """Leave a model the layers of these numbers, which rise.

    Raises:
        MethodError: It has no such layer, or its layers are not all alike.
    """
    from stages.compression.methods import drop_layers

    depth = subject.model.config.num_hidden_layers
    if kept[-1] >= depth:
        raise MethodError(f"the teacher has no layer {kept[-1]}", where=subject.folder,
                          fix=f"its layers are 0 to {depth - 1}")
    gone = tuple(number for number in range(depth) if number not in set(kept))
    if gone:
        drop_layers.compress(subject, drop_layers.Config(method="drop_layers", layers=gone), context)


def _make_student(subject: Subject, config: Config, context: Context) -> None:
    from stages.compression.student import narrow, renew, spaced_layers

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
        kept = config.taken or spaced_layers(depth, layers)
        keep_layers(subject, kept, context)
        if any(value != getattr(teacher, key, None) for key, value in widths.items()):
            narrow(subject, widths)
        subject.resolved = {"taken": list(kept)}
        return
    if layers < depth:
        keep_layers(subject, range(layers), context)
    renew(subject, widths | ({"num_hidden_layers": layers} if layers > depth else {}), context.seed + config.seed)
    subject.resolved = {"layers": layers}
