"""Weights held in half precision and computed with in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stages.common.errors import MethodError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``cast``."""

    method: Literal["cast"]
    dtype: Literal["float16", "bfloat16"] = "float16"


def cast(values: Tensor, dtype: str, name: str) -> Tensor:
    """Values in half precision.

    Raises:
        MethodError: One is larger than float16 holds.
    """
    import torch

    half = values.to(getattr(torch, dtype))
    if not torch.isfinite(half).all():
        raise MethodError(f"a weight of {float(values.abs().max()):.4g} is beyond {dtype}", where=name,
                          fix="use dtype: bfloat16")
    return half


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Cast every parameter: embeddings, norms and biases too.

    Raises:
        MethodError: A weight is larger than float16 holds.
    """
    from stages.compression.forms import Cast

    for name, parameter in subject.model.named_parameters():
        subject.store(name, Cast(cast(parameter.detach(), config.dtype, name)))
