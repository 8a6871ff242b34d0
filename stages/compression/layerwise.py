"""The walk through a model's layers from the input up, on texts, so that each can be compressed on what it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stages.common.errors import MethodError
from stages.compression.subject import Matrix, Subject

_SEQUENCES_AT_ONCE = 8


@dataclass(frozen=True)
class LayerVisit:
    """One transformer layer, with the calibration texts at its door."""

    matrices: list[Matrix]
    """The layer's weight matrices."""
    run: Callable[[], object]
    """Sends all texts through the layer, so that hooks on its modules see them."""


def walk_layers(subject: Subject, ids: Tensor) -> Iterator[LayerVisit]:
    """Visit a model's layers from the input up, each with the inputs it gets from the layers below.

    What the visitor changes in a layer is in force before the next one is visited, so that each
    layer is calibrated on what the compressed layers below make of the texts.

    Args:
        subject: The model.
        ids: int64 of shape [sequences, length].

    Raises:
        MethodError: The architecture keeps its layers in no one list, or they hold no weight matrix.
    """
    prefix, layers = subject.layers()
    matrices = subject.matrices("layers")
    with torch.no_grad():
        calls = [_first_call(subject, layers[0], batch) for batch in ids.split(_SEQUENCES_AT_ONCE)]
    for number, layer in enumerate(layers):
        own = [matrix for matrix in matrices if matrix.module_name.startswith(f"{prefix}.{number}.")]
        yield LayerVisit(own, lambda layer=layer, calls=calls: _send(layer, calls))  # type: ignore[misc]
        calls = [_Call(hidden, call.args, call.kwargs) for hidden, call in zip(_send(layer, calls), calls, strict=True)]


def input_sums(visit: LayerVisit, summarise: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Sum of a statistic over all inputs that each matrix of a layer gets.

    Args:
        visit: The layer.
        summarise: From inputs of shape [tokens, in] to a statistic that adds up over tokens.

    Returns:
        The sums by parameter name.

    Raises:
        MethodError: A sum is NaN or infinite.
    """
    sums: dict[str, Tensor] = {}

    def hook(matrix: Matrix) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def add(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            part = summarise(inputs[0].reshape(-1, inputs[0].shape[-1]))
            sums[matrix.name] = sums[matrix.name] + part if matrix.name in sums else part

        return add

    handles = [matrix.module.register_forward_pre_hook(hook(matrix)) for matrix in visit.matrices]
    try:
        visit.run()
    finally:
        for handle in handles:
            handle.remove()
    for name, total in sums.items():
        if not torch.isfinite(total).all():
            raise MethodError("its inputs on the calibration texts are NaN or infinite", where=name)
    return sums


@dataclass(frozen=True)
class _Call:
    """What a layer is called with."""

    hidden: Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Caught(Exception):
    """Ends a forward pass at the first layer's door."""


def _first_call(subject: Subject, layer: nn.Module, ids: Tensor) -> _Call:
    caught: list[_Call] = []

    def catch(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kwargs = dict(kwargs)
        hidden = args[0] if args else kwargs.pop("hidden_states")
        caught.append(_Call(hidden, args[1:], kwargs))
        raise _Caught

    handle = layer.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        subject.model(ids, **({"use_cache": False} if subject.loaded.family == "causal" else {}))
    except _Caught:
        pass
    finally:
        handle.remove()
    return caught[0]


def _send(layer: nn.Module, calls: list[_Call]) -> list[Tensor]:
    with torch.no_grad():
        outputs = [layer(call.hidden, *call.args, **call.kwargs) for call in calls]
    return [output[0] if isinstance(output, tuple) else output for output in outputs]
