"""Running a model's last layer for the tokens that are read only."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from stages.scoring.attention import Captured, Unsupported, current


def last_layer(model: Any) -> nn.Module | None:
    """The last of a model's stacked layers, if they stand in one list."""
    depth = getattr(model.config, "num_hidden_layers", None)
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == depth]
    return stacks[0][-1] if len(stacks) == 1 else None


class Narrowing:
    """Lets the last layer of a model give its output for some tokens only.

    Keys and values are needed of all tokens, the rest of the layer (output projection,
    feed-forward, norms) of those that are read. The layer is run on all tokens as far as
    its attention, left there, and run again on the tokens to read with that attention's
    output in place; what follows in the model then sees only these. It needs to know
    nothing of the layer but that it calls attention once.

    Args:
        layer: Its ``forward`` is replaced on this instance.
    """

    def __init__(self, layer: nn.Module) -> None:
        self._forward = layer.forward
        self.rows: torch.Tensor | None = None
        """Tokens to give the output of, int64 of shape [rows]; None for all."""
        layer.forward = self._narrowed

    def _narrowed(self, *arguments: Any, **options: Any) -> Any:
        if self.rows is None:
            return self._forward(*arguments, **options)
        now = current()
        now.rows = self.rows
        try:
            self._forward(*arguments, **options)
        except Captured:
            now.rows = None
            try:
                return self._forward(*self._select(arguments), **self._select(options))
            finally:
                now.captured = None
        raise Unsupported("the last layer does not use the attention it was given")

    def _select(self, value: Any) -> Any:
        """Take the rows of every tensor that holds one entry a token."""
        if isinstance(value, torch.Tensor):
            one_a_token = value.dim() >= 2 and value.shape[:2] == (1, current().pack.size)
            return value[:, self.rows] if one_a_token else value
        if isinstance(value, (tuple, list)):
            return type(value)(self._select(inner) for inner in value)
        if isinstance(value, dict):
            return {key: self._select(inner) for key, inner in value.items()}
        return value
