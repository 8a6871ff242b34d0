"""Attention over packed sequences, as one more implementation in transformers' own registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from stages.scoring.packing import Group, Pack

NAME = "packed_sequences"


class Unsupported(Exception):
    """The architecture asks for attention that packing does not offer."""


class Captured(Exception):
    """Raised out of a layer once its attention over all tokens is known (see ``stages.scoring.narrow``)."""


@dataclass
class _Pass:
    """The forward pass under way."""

    pack: Pack
    context: int
    """Longest sequence the model is ever given, in tokens."""
    rows: torch.Tensor | None = None
    """Tokens whose output the last layer is asked for, while it is being run on all of them."""
    captured: torch.Tensor | None = None
    """Attention output of those tokens, while the layer is being run on them alone."""
    integers: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    """The last input of an int8 layer, its scales, and its integers (see ``stages.scoring.quantized``)."""


_current: ContextVar[_Pass] = ContextVar("packed_pass")


@contextmanager
def packed(pack: Pack, context: int) -> Iterator[_Pass]:
    """Make ``pack`` the one that attention and int8 layers see, in a model that reads ``context`` tokens."""
    token = _current.set(_Pass(pack, context))
    try:
        yield _current.get()
    finally:
        _current.reset(token)


def current() -> _Pass:
    """The forward pass under way."""
    return _current.get()


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    head_mask: torch.Tensor | None = None,
    **ignored: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each sequence of the current pack.

    Args:
        module: The attention module, asked for ``is_causal`` and ``num_key_value_groups``.
        query: [1, heads, tokens, size].
        key: [1, key heads, tokens, size].
        value: [1, key heads, tokens, size].
        attention_mask: Must be None: packs have no padding.
        scaling: Factor of the logits; None for 1 / sqrt(size).
        is_causal: Overrides the module's own.
        sliding_window: Longest distance attended to, in tokens; not supported where it can matter.
        softcap: Not supported, like the following.
        s_aux: Attention sinks.
        position_bias: Learned bias of the logits.
        head_mask: Switches heads off.
        ignored: Arguments that change nothing here (dropout in training, and the like).

    Returns:
        [1, tokens, heads, size], and no weights.

    Raises:
        Unsupported: The architecture needs what this does not do.
    """
    now = _current.get()
    if now.captured is not None:
        return now.captured, None
    extras = (attention_mask, softcap, s_aux, position_bias, head_mask)
    if any(extra is not None for extra in extras) or (sliding_window is not None and sliding_window < now.context):
        raise Unsupported(f"attention of {type(module).__name__}")
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    shared_heads = getattr(module, "num_key_value_groups", 1) > 1
    output = [
        scaled_dot_product_attention(
            _batch(query, group), _batch(key, group), _batch(value, group),
            scale=scaling, is_causal=causal and group.tokens.shape[1] > 1, enable_gqa=shared_heads,
        ).transpose(1, 2).flatten(0, 1)
        for group in now.pack.groups
    ]  # fmt: skip
    attended = torch.cat(output) if len(output) > 1 else output[0]
    if now.pack.owners is not None:
        attended = attended[now.pack.owners]
    if now.rows is not None:
        now.captured = attended[now.rows][None]
        raise Captured
    return attended[None], None


def _batch(states: torch.Tensor, group: Group) -> torch.Tensor:
    """[1, heads, tokens, size] -> [sequences, heads, length, size], without a copy where none is shared."""
    count, length = group.tokens.shape
    if group.start is None:
        return states[0][:, group.tokens].transpose(0, 1)
    return states[0, :, group.start : group.start + count * length].unflatten(1, (count, length)).transpose(0, 1)


def _no_mask(*arguments: Any, local_size: int | None = None, use_vmap: bool = False, **options: Any) -> None:
    """Packs need no mask; sequences are kept apart by their bounds.

    Args:
        arguments: What a mask would be made of.
        local_size: Window or chunk of attention in tokens, which some architectures set by the mask alone.
        use_vmap: The architecture adds a rule of its own to the mask.
        options: Likewise what a mask would be made of.

    Raises:
        Unsupported: The mask would say more than which sequence a token belongs to.
    """
    if use_vmap or (local_size is not None and local_size < _current.get().context):
        raise Unsupported("attention limited by its mask")


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _no_mask)
