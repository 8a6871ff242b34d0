"""The same architecture with fresh random weights: what the measures say of a model that knows nothing (a control)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``random_init``."""

    method: Literal["random_init"]
    seed: int = Field(default=0, ge=0)
    """Of the weights, beside the suite's own seed."""


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Give every parameter the value that the architecture's own initialization draws."""
    from stages.compression.student import fresh_model

    fresh = fresh_model(type(subject.model), copy.deepcopy(subject.model.config), context.seed + config.seed)
    values = dict(fresh.named_parameters(remove_duplicate=False))
    for name, _ in subject.model.named_parameters():
        subject.assign(name, values[name].detach())
