"""Texts that a method is calibrated on, and the walk through a model's layers on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stages.common.errors import MethodError
from stages.common.records import read_table
from stages.compression import Context
from stages.compression.drawing import generator
from stages.compression.subject import Matrix, Subject

_LINES_AT_ONCE = 256
_SEQUENCES_AT_ONCE = 8


@dataclass(frozen=True)
class LayerVisit:
    """One transformer layer, with the calibration texts at its door."""

    matrices: list[Matrix]
    """The layer's weight matrices."""
    run: Callable[[], object]
    """Sends all texts through the layer, so that hooks on its modules see them."""


def calibration_ids(subject: Subject, context: Context, sequences: int, length: int) -> Tensor:
    """Token sequences of equal length from the training split of the suite's corpus.

    Lines are taken in random order (seeded), joined and cut; each sequence gets the special tokens
    that the tokenizer puts around a text.

    Args:
        subject: The model, for its tokenizer.
        context: Names the corpus and the seed.
        sequences: How many.
        length: Tokens in each, special ones included.

    Returns:
        int64 of shape [sequences, length].

    Raises:
        MethodError: No corpus is given, it is too short, or the sequences are longer than the model reads.
        DataError: The corpus cannot be read.
    """
    if context.corpus is None:
        raise MethodError("needs texts to calibrate on", fix="give --corpus FILE.parquet (columns split and text)")
    encoder, tokenizer = subject.loaded.encoder, subject.loaded.tokenizer
    around = tokenizer("")["input_ids"]
    inner = length - len(around)
    if length > encoder.context or inner < 1:
        raise MethodError(f"sequences of {length} tokens do not fit the model",
                          fix=f"it reads {len(around) + 1} to {encoder.context} tokens")
    table = read_table(context.corpus, ["split", "text"])
    lines = [line for line in table.loc[table["split"] == "train", "text"] if line.strip()]
    order = torch.randperm(len(lines), generator=generator(context.seed, "calibration")).tolist()
    tokens: list[int] = []
    for start in range(0, len(lines), _LINES_AT_ONCE):
        chosen = [lines[index] for index in order[start : start + _LINES_AT_ONCE]]
        for ids in tokenizer(chosen, add_special_tokens=False)["input_ids"]:
            tokens.extend(ids)
        if len(tokens) >= sequences * inner:
            break
    if len(tokens) < sequences * inner:
        raise MethodError(f"gives {len(tokens) // inner} sequences of {length} tokens, {sequences} are asked for",
                          where=context.corpus, fix="ask for fewer or shorter calibration sequences")
    # A tokenizer puts its special tokens before and after; where it has but one, that stands before.
    before, after = around[: -(-len(around) // 2)], around[-(-len(around) // 2):]
    return torch.tensor([
        before + tokens[start : start + inner] + after for start in range(0, sequences * inner, inner)
    ])


def walk_layers(subject: Subject, ids: Tensor) -> Iterator[LayerVisit]:
    """Visit a model's layers from the input up, each with the inputs it gets from the layers below.

    What the visitor changes in a layer is in force before the next one is visited, so that each
    layer is calibrated on what the compressed layers below make of the texts.

    Args:
        subject: The model.
        ids: int64 of shape [sequences, length].
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
