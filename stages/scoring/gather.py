"""Running a model's vocabulary head at some positions only, in the model's own forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from stages.compression.int8 import is_dynamic
from stages.scoring.attention import Unsupported


@contextmanager
def gathered(model: Any, tokens: torch.Tensor) -> Iterator[None]:
    """Let the vocabulary matrix see some tokens of the batch only, so that "logits" are [1, tokens, vocabulary].

    What a model does to its logits afterwards (a cap, a scale, a bias) is done to these. An int8
    matrix is given two rows more at the end, those that hold the batch's smallest and largest
    number, so that it sees the same range of activations.

    Args:
        model: A transformers model with a language-model head.
        tokens: Places in the batch laid end to end, int64 of shape [tokens].

    Raises:
        Unsupported: The model has no such matrix, or does not call it on hidden states.
    """
    matrix = model.get_output_embeddings()
    if not isinstance(matrix, torch.nn.Module):
        raise Unsupported("no vocabulary matrix")
    calls = []

    def select(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        if not arguments or arguments[0].dim() != _BATCH_TOKENS_WIDTH:
            raise Unsupported("a vocabulary matrix that is not given hidden states")
        calls.append(module)
        states = arguments[0].flatten(0, 1)
        rows = tokens
        if is_dynamic(module):
            width = states.shape[1]
            extremes = [int(states.argmin()) // width, int(states.argmax()) // width]
            rows = torch.cat([tokens, torch.tensor(extremes)])
        return (states[rows][None], *arguments[1:])

    handle = matrix.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
    if len(calls) != 1:
        raise Unsupported("a vocabulary matrix that is not called once")


_BATCH_TOKENS_WIDTH = 3
