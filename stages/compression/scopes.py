"""Which of a model's modules a scope means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from torch import nn
from transformers.pytorch_utils import Conv1D

from stages.common.errors import MethodError

Scope = Literal["layers", "linear", "all", "attention"]
"""Which weights a method touches: the matrices of the transformer's layers; every linear map, the
heads included (a tied one becomes a copy of its own); the embeddings too; or what attention compares and
passes on, queries, keys and values, with a pooler where the model has one (not the output projection).
Norms only where a method asks for them, biases never."""

# The linear map that takes a layer's heads, side by side, as its inputs.
HEADS_OUTPUT = {
    "bert": "attention.output.dense",
    "roberta": "attention.output.dense",
    "distilbert": "attention.out_lin",
    "gpt2": "attn.c_proj",
    "gpt_neox": "attention.dense",
}
# The linear maps that make queries, keys and values: three, or one that gives all.
_QUERY_KEY_VALUE = {
    "bert": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "roberta": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "distilbert": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "modernbert": ("attn.Wqkv",),
    "gpt2": ("attn.c_attn",),
    "gpt_neo": ("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"),
    "gpt_neox": ("attention.query_key_value",),
}
_POOLER = "pooler.dense"


def layers_of(model: Any, architecture: str, where: Path) -> tuple[str, nn.ModuleList]:
    """Name and list of a transformer's layers.

    Args:
        model: The transformers module.
        architecture: Its ``model_type``.
        where: Its folder, for the error message.

    Raises:
        MethodError: The architecture keeps them in no one list.
    """
    lists = [(name, module) for name, module in model.named_modules()
             if isinstance(module, nn.ModuleList) and len(module) == model.config.num_hidden_layers]
    if not lists:
        raise MethodError(f"architecture {architecture!r} keeps its layers in no one list",
                          where=where, fix="choose scope: linear or all, where the method has one")
    return lists[0]


def linear_maps(model: Any, architecture: str, scope: Scope, where: Path) -> Iterator[tuple[str, Any]]:
    """Names and modules of a scope's linear maps, with the embeddings in scope ``all``, in the model's order.

    Args:
        model: The transformers module.
        architecture: Its ``model_type``.
        scope: Which.
        where: Its folder, for error messages.

    Raises:
        MethodError: The architecture's layers, or its queries, keys and values, are not known.
    """
    kinds: tuple[type, ...] = (nn.Linear, Conv1D)
    if scope == "all":
        kinds += (nn.Embedding,)
    prefix = f"{layers_of(model, architecture, where)[0]}." if scope == "layers" else ""
    ends = _attention(architecture, where) if scope == "attention" else ("",)
    for name, module in model.named_modules():
        if type(module) in kinds and name.startswith(prefix) and f".{name}".endswith(ends):
            yield name, module


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm with a weight of its own, as LayerNorm and RMSNorm are."""
    return type(module).__name__.endswith("Norm") and getattr(module, "weight", None) is not None


def _attention(architecture: str, where: Path) -> tuple[str, ...]:
    if architecture not in _QUERY_KEY_VALUE:
        raise MethodError(f"the queries, keys and values of architecture {architecture!r} are not known", where=where,
                          fix=f"known are {', '.join(sorted(_QUERY_KEY_VALUE))}")
    return tuple(f".{name}" for name in (*_QUERY_KEY_VALUE[architecture], _POOLER))
