"""Linear layers with weights packed beforehand for oneDNN, where that beats the default matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

_ROWS, _WIDTH, _REPEATS = 256, 768, 5
_MARGIN = 1.25


class PackedLinear(nn.Module):  # type: ignore[misc]
    """``x @ weight.T + bias`` in float32 with the weight stored in oneDNN's own layout.

    Args:
        weight: float32 of shape [out, in]; copied.
        bias: float32 of shape [out], or None.
        rows: About how many rows a call has.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, rows: int = _ROWS) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), rows)
        self._bias = bias.detach() if bias is not None else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply rows [..., in] to [..., out]."""
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return product


def pack_linears(model: nn.Module, rows: int) -> None:
    """Put a ``PackedLinear`` in the place of every float32 linear layer of a model, if that is faster here."""
    if not onednn_is_faster():
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if is_packable(child):
                weight = child.weight.T if type(child) is Conv1D else child.weight
                setattr(parent, name, PackedLinear(weight, child.bias, rows))


def is_packable(module: Any) -> bool:
    """Whether a module is a plain linear layer in float32 on the CPU (exactly: a subclass may compute otherwise)."""
    if type(module) is not nn.Linear and type(module) is not Conv1D:
        return False
    return bool(module.weight.dtype == torch.float32 and module.weight.device.type == "cpu")


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN beats torch's default float32 product on this machine, by a short measurement.

    The default must be a quarter faster to be chosen: on AMD CPUs oneDNN wins by about 2.4,
    on Intel the two are close, and a decision that a busy moment could tip would make
    results differ in their last bits from run to run.
    """
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_ROWS, _WIDTH, generator=generator)
    weight = torch.randn(4 * _WIDTH, _WIDTH, generator=generator)
    bias = torch.zeros(4 * _WIDTH)
    packed = PackedLinear(weight, bias)
    return seconds(lambda: packed(x)) < _MARGIN * seconds(lambda: linear(x, weight, bias))


def seconds(work: Callable[[], Any]) -> float:
    """Least CPU time of a few runs of some work, after one to warm up."""
    work()
    taken = []
    for _ in range(_REPEATS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)
