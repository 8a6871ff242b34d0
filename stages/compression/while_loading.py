"""``int8_dynamic`` applied while a checkpoint is read, so that its float32 weights are never held whole."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from stages.common.params import Family
from stages.compression.int8 import int8_linear
from stages.compression.int8_weights import Int8, quantize_weight
from stages.models.load import LoadedModel, load_model
from stages.models.memory import give_back


def open_int8(location: str | Path, family: Family, revision: str | None = None, engine: str = "x86") -> LoadedModel:
    """Open a model folder or hub id with every ``nn.Linear`` quantized as ``int8_dynamic`` does it.

    The scores are those of the artefact that ``int8_dynamic`` makes of it. One matrix after the
    other is read from its file, quantized, and forgotten, in whatever files and precision they lie.

    Args:
        location: Model folder or hub id, in safetensors.
        family: What the model is scored as.
        revision: Hub revision, where ``location`` is a hub id.
        engine: Quantization engine the integers are packed for.

    Raises:
        ModelError: See ``load_model``.
    """
    loaded = load_model(location, family, revision=revision, as_stored=True)
    model = loaded.model
    for name in [name for name, module in model.named_modules() if type(module) is nn.Linear]:
        linear = model.get_submodule(name)
        values, scale = quantize_weight(linear.weight.detach().float())
        bias = None if linear.bias is None else linear.bias.detach().float()
        model.set_submodule(name, int8_linear(Int8(values, scale), bias, engine, reduce_range=True))
        give_back(linear.weight)
    model.float()
    return loaded
