"""Module trees of a model: one more over the same weights, one in another precision, one taken apart."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from stages.compression.int8 import is_dynamic


def twin(model: Any, device: str) -> Any:
    """A copy of a model's module tree that shares its weights and int8 layers, or has copies on another device."""
    if device != "cpu":
        return copy.deepcopy(model).to(device)
    dynamic = [module for module in model.modules() if is_dynamic(module)]
    return copy.deepcopy(model, {id(part): part for part in [*dynamic, *model.parameters(), *model.buffers()]})


def cast(model: Any, dtype: torch.dtype) -> None:
    """Give a model copies of its parameters in another precision; what a constructor computed stays as it is."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(parameter.detach().to(dtype), requires_grad=False)


def take_apart(model: Any) -> None:
    """Empty the modules of a model, so that what else holds a weight is its only holder; int8 layers stay whole."""
    for child in model._modules.values():
        if child is not None and not is_dynamic(child):
            take_apart(child)
    for parts in (model._modules, model._parameters, model._buffers):
        parts.clear()
