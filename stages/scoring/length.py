"""What a model's config says that changes with a sequence's length: windows of attention, rotary frequencies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_WINDOWS = ("window", "chunk", "local_attention")


def longest_window(config: Any, context: int) -> int | None:
    """The longest window or chunk of attention that the config names, in tokens; None if none is below the context.

    A name says little about what a model does with it, so this is a reason to try, and no finding.

    Args:
        config: Of a transformers model.
        context: Longest sequence the model reads, in tokens.
    """
    sizes = [
        size
        for name, value in _entries(config.to_dict())
        if any(part in name for part in _WINDOWS)
        for size in (value if isinstance(value, (list, tuple)) else [value])
        if type(size) is int and 0 < size < context
    ]
    return max(sizes, default=None)


def has_other_frequencies_when_long(config: Any, context: int) -> bool:
    """Whether rotary frequencies are others from some length on, decided by the longest sequence of a batch.

    transformers' ``longrope`` does so (Phi-3 and its kin); in a pack it would let a text's score
    depend on its neighbours.

    Args:
        config: Of a transformers model.
        context: Longest sequence the model reads, in tokens.
    """
    entries = list(_entries(config.to_dict()))
    limits = [value for name, value in entries if name == "original_max_position_embeddings" and value is not None]
    return ("rope_type", "longrope") in entries and min(limits, default=0) < context


def _entries(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values of a config, of those inside it too."""
    for name, value in config.items():
        yield str(name), value
        if isinstance(value, dict):
            yield from _entries(value)
