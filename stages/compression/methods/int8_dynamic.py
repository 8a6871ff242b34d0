"""Dynamic post-training int8 quantization as arXiv 2312.05662 did it.

``torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)``: every
``nn.Linear``, the language-model head, its transform and a pooler included; weights per tensor,
symmetric, by MinMax; activations per call, of 7 bits (``reduce_range``). Embeddings, norms and the
attention products stay float32. A head tied to the embeddings becomes an int8 copy of its own.
GPT-2's ``Conv1D`` is no ``nn.Linear``, so of GPT-2 only the head is quantized, there as here.

Results depend on the engine that computes with the integers, so it is part of the recipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from stages.common.errors import MethodError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``int8_dynamic``."""

    method: Literal["int8_dynamic"]
    engine: Literal["x86", "fbgemm", "onednn", "qnnpack"] = "x86"
    """Quantization engine of torch; ``x86`` is its default."""

    @property
    def last(self) -> bool:
        """It computes in integers, so no later step can work on float32 weights."""
        return True


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Quantize every ``nn.Linear`` of a subject.

    Raises:
        MethodError: The model has none.
        ModelError: This build of torch has no such engine.
    """
    quantize_linears(subject, find_linears(subject), config.engine)


def find_linears(subject: Subject) -> dict[str, Any]:
    """Every ``nn.Linear`` of a model by name.

    Raises:
        MethodError: There is none.
    """
    from torch import nn

    linears = {name: module for name, module in subject.model.named_modules() if type(module) is nn.Linear}
    if not linears:
        raise MethodError("the model has no nn.Linear, so nothing would be quantized", where=subject.folder)
    return linears


def quantize_linears(
    subject: Subject, linears: dict[str, Any], engine: str, *, per_channel: bool = False, reduce_range: bool = True,
    derive: bool = True,
) -> None:
    """Let some ``nn.Linear`` of a subject compute in int8.

    Args:
        subject: The model.
        linears: The modules by name.
        engine: Quantization engine they compute with.
        per_channel: One scale an output, not one a matrix.
        reduce_range: Activations of 7 bits, not 8.
        derive: Do not store the integers of a tied head, but derive them again from the embeddings.

    Raises:
        ModelError: This build of torch has no such engine.
    """
    from stages.compression.int8 import quantized_engine
    from stages.compression.int8_weights import DerivedInt8, Int8, quantize_weight

    with quantized_engine(engine):
        pass  # refuse a missing engine before any work is done
    for name, linear in linears.items():
        source = subject.untie(linear)
        values, scale = quantize_weight(linear.weight.detach(), per_channel)
        form = DerivedInt8(source, values, scale) if source and derive else Int8(values, scale)
        subject.store(f"{name}.weight", form, forget=True)
        subject.modules[name] = {"kind": "int8_dynamic", "engine": engine, "reduce_range": reduce_range}
