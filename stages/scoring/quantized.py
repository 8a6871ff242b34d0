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
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.nn.functional import linear

from stages.scoring.attention import current
from stages.scoring.head import BLOCK, ROWS, combine, partial_sums
from stages.scoring.linear import seconds
from stages.scoring.packing import Pack
from stages.scoring.plan import Values

_STEPS = 127
_TINY = 6.1e-5
"""Scales below this are raised to it, by the engines' rule."""


def is_quantized(model: Any) -> bool:
    """Whether a model has dynamically quantized layers."""
    return any(isinstance(module, DynamicLinear) for module in model.modules())


class SequenceLinear(nn.Module):  # type: ignore[misc]
    """A dynamically quantized Linear over the current pack, with one activation range a sequence."""

    def __init__(self, layer: DynamicLinear) -> None:
        super().__init__()
        weight = layer.weight()
        self._scale = weight.q_scale()
        self._product = IntegerProduct(weight.int_repr())
        self._bias = layer.bias().detach() if layer.bias() is not None else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply [1, tokens, in] to [1, tokens, out]."""
        now = current()
        if now.integers is None or now.integers[0] is not x:  # query, key and value read the same
            scales, zeros = token_ranges(now.pack, x[0])
            now.integers = (x, scales, to_integers(x[0], scales, zeros))
        _, scales, integers = now.integers
        return dequantize(self._product(integers), scales * self._scale, self._bias)[None]


class QuantizedHead:
    """An int8 vocabulary head, run for the rows that are read and block by block, with their sequences' ranges."""

    def __init__(self, layer: DynamicLinear) -> None:
        weight = layer.weight()
        bias = layer.bias()
        self._scale = weight.q_scale()
        self._blocks = [IntegerProduct(part) for part in weight.int_repr().split(BLOCK)]
        self._biases = bias.detach().split(BLOCK) if bias is not None else [None] * len(self._blocks)

    def read(self, values: Values, pack: Pack, features: torch.Tensor) -> None:
        """Answer the rows of all sequences of a pack.

        Args:
            values: Where to store the answers.
            pack: The sequences.
            features: What the head takes, float32 of shape [tokens, hidden].
        """
        plan = values.plan
        scales, zeros = token_ranges(pack, features)
        tokens = np.concatenate([pack.paths[k][plan.positions[s]] for k, s in enumerate(pack.members)])
        rows = plan.rows_of(pack.members)
        for start in range(0, len(rows), ROWS):
            read = torch.from_numpy(tokens[start : start + ROWS])
            integers = to_integers(features[read], scales[read], zeros[read])
            self._read(values, rows[start : start + ROWS], integers, scales[read])

    def _read(self, values: Values, rows: np.ndarray, integers: torch.Tensor, scales: torch.Tensor) -> None:
        reads, local = values.plan.reads_of(rows)
        targets = values.plan.read_target[reads]
        sums = []
        for number, (product, bias) in enumerate(zip(self._blocks, self._biases, strict=True)):
            logits = dequantize(product(integers), scales * self._scale, bias)
            inside = (targets >= number * BLOCK) & (targets < (number + 1) * BLOCK)
            found = logits[local[inside], targets[inside] - number * BLOCK]
            values.logits[reads[inside]] = found.double().numpy()
            sums.append(partial_sums(logits))
        values.normalizers[rows], values.entropies[rows] = combine(torch.stack(sums))


def replace_quantized(model: Any) -> None:
    """Put a ``SequenceLinear`` in the place of every dynamically quantized layer of a model."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, DynamicLinear):
                setattr(parent, name, SequenceLinear(child))


def token_ranges(pack: Pack, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
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


def to_integers(x: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor) -> torch.Tensor:
    """Quantized activations without their zero point, plus 128, as uint8 of the shape of ``x``.

    A stretch of rows at a time goes through all steps, so that it stays in the processor's cache.
    """
    integers = torch.empty(x.shape, dtype=torch.int8)
    zeros, factors = zeros[:, None], (1.0 / scales)[:, None]
    rows = max(1, _CACHED // x.shape[1])
    buffer = torch.empty(rows, x.shape[1])
    for start in range(0, len(x), rows):
        part = slice(start, min(start + rows, len(x)))
        quantized = buffer[: part.stop - start]
        quantized[:] = zeros[part]  # beforehand: with two operands to spread out, addcmul would be slow
        integers[part] = quantized.addcmul_(x[part], factors[part]).round_().sub_(zeros[part])
    return integers.view(torch.uint8).bitwise_xor_(_OFFSET)  # adds 128 in place, modulo 256


_CACHED = 1 << 17
"""Numbers worked on at a time: 512 kB of float32."""
_OFFSET = 128


class IntegerProduct:
    """Exact sums of integer products, as float32, by oneDNN.

    Args:
        weight: int8 of shape [out, in].
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)
        self._scale = torch.ones(1)
        self._zero = torch.zeros(1, dtype=torch.int32)

    def __call__(self, integers: torch.Tensor) -> torch.Tensor:
        """[rows, in] -> [rows, out]."""
        sums: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
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


def dequantize(sums: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Sums times the product of both scales, plus bias; overwrites the sums.

    Args:
        sums: float32 of shape [rows, out].
        scales: float32 of shape [rows].
        bias: float32 of shape [out], or None.
    """
    if bias is None:
        return sums.mul_(scales[:, None])
    return torch.addcmul(bias[None], sums, scales[:, None], out=sums)
