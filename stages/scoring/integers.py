"""int8 layers of ``torch.ao`` dynamic quantization, run so that a text's scores do not depend on its neighbours.

``quantize_dynamic`` scales its activations by their range over the whole call. Scored one
sentence at a time, as in arXiv 2312.05662, that is the range over a sentence; over a batch it
would be the range over whatever the batch holds. Here each sequence of a pack has its own
range, and one exact integer product serves them all. The arithmetic is that of the x86 and
fbgemm engines (``reduce_range``: 7 bits an activation), sequence by sequence:

    low, high = min(x, 0), max(x, 0);  scale = (high - low) / 127;  zero = round(-low / scale)
    q = round(x * (1 / scale) + zero)
    y = sum of (q - zero) * q_w * (scale * scale_w) + bias

Both sums of products are fused multiply-adds in float32 and rounding is half to even, so that
it is the engines' result to the last bit; otherwise a layer's last bits would tip the next one's
rounding, and a score would be off by a hundredth here and there.

Whether that is a layer's arithmetic is tried out on the layer itself. One that computes otherwise
(qnnpack, activations of 8 bits, a scale for each output) keeps its own kernel, called once a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from stages.compression.int8 import PortableLinear
from stages.scoring.linear import seconds
from stages.scoring.packing import Pack, packs

_STEPS = 127
_TINY = 6.1e-5
"""Scales below this are raised to it, by the engines' rule."""


@dataclass(frozen=True)
class Integers:
    """What a dynamically quantized layer with one scale computes with."""

    weight: Tensor
    """int8 of shape [out, in]."""
    scale: float
    bias: Tensor | None
    """float32 of shape [out]."""

    @classmethod
    def of(cls, layer: Any) -> Integers | None:
        """The integers of a layer, if it has one scale and computes as this module does, tried out on a few rows."""
        if isinstance(layer, PortableLinear):
            found = cls(layer.integers, float(layer.scale), layer.bias) if layer.scale.dim() == 0 else None
        else:
            weight, bias = layer.weight(), layer.bias()
            one_scale = weight.qscheme() == torch.per_tensor_affine
            found = cls(weight.int_repr(), weight.q_scale(), bias.detach() if bias is not None else None) \
                if one_scale else None
        return found if found is not None and has_fast_integers() and found._agrees_with(layer) else None

    def _agrees_with(self, layer: Any) -> bool:
        x = torch.randn(_TRIED, self.weight.shape[1], generator=torch.Generator().manual_seed(0))
        (pack,) = packs([tuple(range(_TRIED))], _TRIED, share_prefixes=False)
        scales, zeros = token_ranges(pack, x)
        product = IntegerProduct(self.weight[:_TRIED])
        bias = self.bias[:_TRIED] if self.bias is not None else None
        found = dequantize(product(to_integers(x, scales, zeros)), scales * self.scale, bias)
        expected = layer(x)[:, :_TRIED]
        return bool(torch.allclose(found, expected, rtol=_NOISE, atol=_NOISE * float(expected.abs().max())))


_TRIED = 8
_NOISE = 1e-5


def token_ranges(pack: Pack, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and zero point of the activations of each token's sequence, two float32 of shape [tokens].

    Args:
        pack: Sequences laid end to end.
        x: [tokens, width].
    """
    low, high = [], []
    for group in pack.groups:
        count, length = group.tokens.shape
        assert group.start is not None
        values = x[group.start : group.start + count * length].reshape(count, -1)
        low.append(values.amin(dim=1))
        high.append(values.amax(dim=1))
    least = torch.cat(low).clamp(max=0).double()
    scales = (torch.cat(high).clamp(min=0).double() - least) / _STEPS
    zeros = torch.where(scales == 0, 0.0, -least / scales).round()
    scales = torch.where(scales.float() == 0, 0.1, scales.clamp(min=_TINY))
    return scales.float()[pack.member_of_token], zeros.float()[pack.member_of_token]


def to_integers(x: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """Quantized activations without their zero point, plus 128, as uint8 of the shape of ``x``.

    A stretch of rows at a time goes through all steps, so that it stays in the processor's cache.
    """
    integers = torch.empty(x.shape, dtype=torch.int8)
    rows = max(1, _CACHED // x.shape[1])
    buffer = torch.empty(min(rows, len(x)), x.shape[1])
    parts = (part.split(rows) for part in (integers, x, zeros[:, None], (1.0 / scales)[:, None]))
    for found, values, zero, factor in zip(*parts, strict=True):
        quantized = buffer[: len(values)]
        quantized.copy_(zero)  # beforehand: with two operands to spread out, addcmul would be slow
        found.copy_(quantized.addcmul_(values, factor).round_().sub_(zero))
    return integers.view(torch.uint8).bitwise_xor_(_OFFSET)  # adds 128 in place, modulo 256


_CACHED = 1 << 17
"""Numbers worked on at a time: 512 kB of float32."""
_OFFSET = 128


class IntegerProduct:
    """Exact sums of integer products, as float32, by oneDNN.

    Args:
        weight: int8 of shape [out, in].
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)
        self._scale = torch.ones(1)
        self._zero = torch.zeros(1, dtype=torch.int32)

    def __call__(self, integers: Tensor) -> Tensor:
        """[rows, in] -> [rows, out]."""
        sums: Tensor = torch.ops.onednn.qlinear_pointwise(
            integers, 1.0, _OFFSET, self._weight, self._scale, self._zero, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return sums


@cache
def has_fast_integers() -> bool:
    """Whether oneDNN multiplies 8-bit integers here at about the speed of floats or better.

    Where the processor lacks the instructions it falls back to a loop that is slower by orders of
    magnitude, so the bound needs no precision.
    """
    if not hasattr(torch.ops.onednn, "qlinear_pointwise"):
        return False
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-127, 128, (256, 256), generator=generator, dtype=torch.int8)
    integers = torch.randint(0, 256, (64, 256), generator=generator, dtype=torch.uint8)
    product = IntegerProduct(weight)
    return seconds(lambda: product(integers)) < _SLOW * seconds(lambda: linear(integers.float(), weight.float()))


_SLOW = 4.0


def dequantize(sums: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """Sums times the product of both scales, plus bias; overwrites the sums.

    Args:
        sums: float32 of shape [rows, out].
        scales: float32 of shape [rows].
        bias: float32 of shape [out], or None.
    """
    if bias is None:
        return sums.mul_(scales[:, None])
    return torch.addcmul(bias[None], sums, scales[:, None], out=sums)
