"""The int8 arithmetic of ``torch.ao`` dynamic quantization: the Linear that uses a weight's integers.

It is ``torch.ao``'s own where this build of torch has it, and otherwise its definition in plain operations.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from stages.common.errors import ModelError
from stages.compression.int8_weights import DerivedInt8, Int8

try:
    from torch.ao.nn.quantized.dynamic import Linear as _Linear
except ImportError:  # torch announces that its quantization will move elsewhere
    _Linear = None


class PortableLinear(nn.Module):  # type: ignore[misc]
    """What a dynamic quantized Linear computes, in torch's plain operations: the definition, on any machine.

    With low = min(x, 0) and high = max(x, 0) over all rows of a call, and n = 127 (255 where the range
    is not reduced):

        scale = (high - low) / n;  zero = round(-low / scale);  q = round(x * (1 / scale) + zero)
        y = sum of (q - zero) * integers * (scale * scale_w) + bias

    with exact sums and one rounding to float32. It matches ``torch.ao`` on the engines x86, fbgemm
    and onednn (onednn: where the processor has 8-bit dot products), and on qnnpack with n = 255.

    Args:
        form: The integers and their scale.
        bias: float32 of shape [out].
        reduce_range: Use 7 of the 8 bits of activations.
    """

    def __init__(self, form: Int8 | DerivedInt8, bias: Tensor | None, reduce_range: bool) -> None:
        super().__init__()
        self.integers, self.scale, self.bias = form.values, form.scale, bias
        self.out_features, self.in_features = form.values.shape
        self._steps = 127 if reduce_range else 255

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., in] to [..., out]."""
        low, high = x.min().clamp(max=0).double(), x.max().clamp(min=0).double()
        scale = (high - low) / self._steps
        zero = torch.round(-low / scale) if scale > 0 else torch.zeros(())
        scale = scale.clamp(min=_LEAST_SCALE).float() if scale.float() > 0 else torch.tensor(0.1)
        # Fused as the engines do it: the product and the sum are exact in float64, and rounded once. Of a range
        # symmetric about 0 the largest input would come to 256, and saturates.
        steps = torch.round((x.double() * (1 / scale).double() + zero).float()).clamp(0, 255).double() - zero
        sums = steps @ self.integers.T.double()
        shift = self.bias.double() if self.bias is not None else 0.0
        return (sums * (scale * self.scale.flatten()).double() + shift).float()


def is_dynamic(module: Any) -> bool:
    """Whether a module is a dynamically quantized Linear."""
    return isinstance(module, PortableLinear) or (_Linear is not None and isinstance(module, _Linear))


_LEAST_SCALE = 6.1e-5
"""Scales of activations below this are raised to it, by the engines' rule."""
_told: set[str] = set()


def int8_linear(form: Int8 | DerivedInt8, bias: Tensor | None, engine: str, reduce_range: bool) -> Any:
    """A ``torch.ao`` dynamic quantized Linear of given integers, or its definition where torch has no such engine.

    It takes its activation range over all rows of a call.

    Args:
        form: The integers.
        bias: float32 of shape [out].
        engine: What the weights are packed for.
        reduce_range: Use 7 of the 8 bits of activations, as ``quantize_dynamic`` has it: on CPUs that add
            pairs of 8-bit products in 16 bits, all 8 can overflow.
    """
    if _Linear is None or engine not in torch.backends.quantized.supported_engines:
        if engine not in _told:
            _told.add(engine)
            missing = "torch.ao" if _Linear is None else f"quantization engine {engine!r}"
            print(f"{missing} is not in this build of torch; int8 layers compute in plain operations, slower, what "
                  f"torch.ao's engine {engine!r} computes", file=sys.stderr)
        return PortableLinear(form, bias, reduce_range and engine != "qnnpack")
    with quantized_engine(engine), _quiet():
        linear = _Linear(1, 1)  # its constructor packs a weight of its own; keep that one small
        linear.out_features, linear.in_features = form.values.shape
        if form.scale.dim() > 0:
            scale = form.scale.flatten().double()
            zero = torch.zeros(len(scale), dtype=torch.int64)
            weight = torch._make_per_channel_quantized_tensor(form.values, scale, zero, 0)
        else:
            weight = torch._make_per_tensor_quantized_tensor(form.values, float(form.scale), 0)
        linear.set_weight_bias(weight, bias)
    if not reduce_range:
        linear.version = 3  # before version 4, these modules knew no reduced range
    return linear


@contextmanager
def quantized_engine(name: str) -> Iterator[None]:
    """Make ``name`` torch's quantization engine for a while.

    Raises:
        ModelError: This build of torch has no such engine.
    """
    backend = torch.backends.quantized
    if name not in backend.supported_engines:
        offered = ", ".join(sorted(set(backend.supported_engines) - {"none"}))
        raise ModelError(f"quantization engine {name!r} is not in this build of torch",
                         fix=f"compress with one of {offered}")
    previous = backend.engine
    backend.engine = name
    try:
        yield
    finally:
        backend.engine = previous


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from announcing that quantized tensors will move to torchao: the version is pinned."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*quantized tensor creation functions", category=UserWarning)
        yield
