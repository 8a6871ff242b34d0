"""Where a model is run, and in which precision."""

from __future__ import annotations

from typing import Literal

import torch

from stages.common.errors import ModelError

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["float32", "bfloat16"]


def place_of(device: Device, quantized: bool) -> str:
    """``cpu`` or ``cuda``; on the latter TensorFloat-32 is switched off.

    Args:
        device: What was asked for.
        quantized: The model has int8 layers.

    Raises:
        ModelError: There is no such device, here or at all, or int8 layers do not run on it.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ModelError(f"unknown device {device!r}", fix="use auto, cpu or cuda")
    if device == "cuda" and quantized:
        raise ModelError("int8 layers of torch.ao run on the CPU only", fix="use --device cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device here", fix="use device cpu or auto")
    if device == "cpu" or quantized or not torch.cuda.is_available():
        return "cpu"
    # TensorFloat-32 keeps 10 bits of a product's factors, too few for scores to be comparable.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return "cuda"


def kind_of(dtype: Dtype, quantized: bool) -> torch.dtype:
    """The type to compute in.

    Args:
        dtype: What was asked for.
        quantized: The model has int8 layers.

    Raises:
        ModelError: There is no such type, or int8 layers do not take it.
    """
    if dtype not in ("float32", "bfloat16"):
        raise ModelError(f"unknown dtype {dtype!r}", fix="use float32 or bfloat16")
    if dtype == "bfloat16" and quantized:
        raise ModelError("int8 layers compute with float32 activations", fix="use --dtype float32")
    return torch.float32 if dtype == "float32" else torch.bfloat16
