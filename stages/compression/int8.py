"""The int8 arithmetic of ``torch.ao`` dynamic quantization: a weight's integers, and the module that uses them."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stages.common.errors import ModelError
from stages.compression.forms import SCALE_BITS, Reader

try:
    from torch.ao.nn.quantized.dynamic import Linear as _Linear
except ImportError:  # torch announces that its quantization will move elsewhere
    _Linear = None


def quantize_weight(weight: Tensor, per_channel: bool = False) -> tuple[Tensor, Tensor]:
    """Integers and scale that ``quantize_dynamic`` gives a weight: symmetric, by MinMax.

    Args:
        weight: float32 of shape [out, in].
        per_channel: One scale an output (``per_channel_dynamic_qconfig``), not one for all.

    Returns:
        int8 of shape [out, in], and float32 scales: a scalar, or of shape [out, 1]. The weight
        is about integers x scale.
    """
    from torch.ao.quantization.qconfig import default_dynamic_qconfig, per_channel_dynamic_qconfig

    observer = (per_channel_dynamic_qconfig if per_channel else default_dynamic_qconfig).weight()
    observer(weight)
    scale = observer.calculate_qparams()[0].to(torch.float32)
    with _quiet():
        if per_channel:
            zero = torch.zeros(len(scale), dtype=torch.int64)
            integers = torch.quantize_per_channel(weight, scale.double(), zero, 0, torch.qint8).int_repr()
            return integers, scale[:, None]
        return torch.quantize_per_tensor(weight, float(scale), 0, torch.qint8).int_repr(), scale.reshape(())


@dataclass(frozen=True)
class Int8:
    """Integers with one scale, or one an output."""

    KIND: ClassVar[str] = "int8"
    values: Tensor
    """int8 of the weight's shape."""
    scale: Tensor
    """float32: a scalar, or of shape [out, 1]."""

    @property
    def parts(self) -> dict[str, Tensor]:
        """Integers and scale."""
        return {"": self.values, ".scale": self.scale}

    @property
    def facts(self) -> dict[str, Any]:
        """What shares a scale; the zero point of a symmetric weight is 0."""
        return {"per_channel": self.scale.dim() > 0}

    @property
    def logical_bits(self) -> int:
        """8 an integer, and the scales."""
        return int(8 * self.values.numel() + SCALE_BITS * self.scale.numel())

    def weight(self) -> Tensor:
        """Integers x scale."""
        return self.values * self.scale

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> Int8:
        """See ``Form``."""
        scale_shape = (shape[0], 1) if facts["per_channel"] else ()
        return cls(reader.take(name, torch.int8, shape), reader.take(f"{name}.scale", torch.float32, scale_shape))


@dataclass(frozen=True)
class DerivedInt8:
    """Integers that are computed again at load from another weight of the same model.

    A head tied to the embeddings becomes an int8 copy of them, while the embeddings stay
    float32: storing it would store the same numbers twice.
    """

    KIND: ClassVar[str] = "int8_derived"
    source: str
    """Name of the other weight."""
    values: Tensor
    scale: Tensor

    @property
    def parts(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    @property
    def facts(self) -> dict[str, Any]:
        """Where the integers come from, what shares a scale, and the integers' SHA-256 to check them by."""
        return {"source": self.source, "per_channel": self.scale.dim() > 0, "sha256": _digest(self.values)}

    @property
    def logical_bits(self) -> int:
        """None of its own."""
        return 0

    def weight(self) -> Tensor:
        """Integers x scale."""
        return self.values * self.scale

    @classmethod
    def read(cls, facts: dict[str, Any], name: str, shape: tuple[int, ...], reader: Reader) -> DerivedInt8:
        """See ``Form``.

        Raises:
            ModelError: The source is not in the file, or this machine rounds it to other integers.
        """
        source = reader.weights.get(facts["source"])
        if source is None or tuple(source.shape) != shape:
            raise ModelError(f"{name} is derived from {facts['source']}, which is not there",
                             where=reader.where, fix="compress the model again")
        values, scale = quantize_weight(source, facts["per_channel"])
        if _digest(values) != facts["sha256"]:
            raise ModelError(f"the integers of {name} come out otherwise than when they were written",
                             where=reader.where, fix="compress the model again on this machine")
        return cls(facts["source"], values, scale)


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
        # Fused as the engines do it: the product and the sum are exact in float64, and rounded once.
        steps = torch.round((x.double() * (1 / scale).double() + zero).float()).double() - zero
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
            print(f"quantization engine {engine!r} is not in this build of torch; computing what it computes "
                  "in plain operations, slower", file=sys.stderr)
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


def _digest(values: Tensor) -> str:
    return hashlib.sha256(values.numpy().data).hexdigest()
