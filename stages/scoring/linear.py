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

from stages.models.memory import give_back

_ROWS, _WIDTH, _REPEATS = 256, 768, 5
_MARGIN = 1.25


class PackedLinear(nn.Module):  # type: ignore[misc]
    """``x @ weight.T + bias`` with the weight stored in oneDNN's own layout, once ``pack`` is called.

    Until then it computes with the weight it was given, and takes no memory. It offers no
    ``weight`` to the architecture before or after, so that what works before works after.

    Args:
        weight: float32 of shape [out, in].
        bias: float32 of shape [out], or None.
        rows: About how many rows a call has.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, rows: int = _ROWS) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self._plain: torch.Tensor | None = weight.detach()
        self._bias = bias.detach() if bias is not None else None
        self._rows = rows

    def pack(self, dtype: torch.dtype = torch.float32, *, release: bool = False) -> PackedLinear:
        """Copy the weight into oneDNN's layout.

        Args:
            dtype: What to compute in: float32 or bfloat16.
            release: Nobody else needs the weight, so let go of its memory too.
        """
        assert self._plain is not None
        weight, self._plain = self._plain, None
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), self._rows)
        self._bias = self._bias.to(dtype) if self._bias is not None else None
        if release:
            give_back(weight)
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply rows [..., in] to [..., out]."""
        if self._plain is not None:
            return linear(x, self._plain, self._bias)
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return product


def replace_linears(model: nn.Module, rows: int) -> None:
    """Put a ``PackedLinear``, not yet packed, in the place of every linear layer, if packing is faster here."""
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
    results differ in their last bits from run to run. A product that is not the default's up to
    float noise is not chosen, however fast.
    """
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_ROWS, _WIDTH, generator=generator)
    weight = torch.randn(4 * _WIDTH, _WIDTH, generator=generator)
    bias = torch.zeros(4 * _WIDTH)
    packed = PackedLinear(weight, bias).pack()
    if not torch.allclose(packed(x), linear(x, weight, bias), rtol=0, atol=_NOISE):
        return False
    return seconds(lambda: packed(x)) < _MARGIN * seconds(lambda: linear(x, weight, bias))


_NOISE = 1e-3
"""Of sums of 768 products of standard normal numbers, whose standard deviation is 28."""


def seconds(work: Callable[[], Any]) -> float:
    """Least CPU time of a few runs of some work, after one to warm up."""
    work()
    taken = []
    for _ in range(_REPEATS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)
