"""How much arithmetic scores need, and how fast the machine's matrix product is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear

from stages.common.query import Row
from stages.models.load import LoadedModel
from stages.scoring.integers import IntegerProduct, has_fast_integers
from stages.scoring.linear import PackedLinear, seconds
from stages.scoring.packing import packs
from stages.scoring.plan import Plan

_ROWS, _IN, _OUT = 1024, 768, 3072


@dataclass(frozen=True)
class Need:
    """The least work that gives the scores."""

    tokens: int
    """Distinct tokens to be computed: each distinct sequence once, each shared causal prefix once."""
    flop: float
    """Floating-point operations: linear layers and attention, in the last layer and the head only at
    the positions read (keys and values of the last layer everywhere)."""


def needed(loaded: LoadedModel, rows: Sequence[Row]) -> Need:
    """What scoring some rows takes at least."""
    plan = Plan.of([query for row in rows for query in row.queries])
    sequences = plan.sequences
    if loaded.family == "causal":
        sequences = [ids[: places[-1] + 1] for ids, places in zip(sequences, plan.positions, strict=True)]
    read = _need(loaded, sequences, plan.positions)
    embedded = _need(loaded, sorted({row.sequence for row in rows if row.sequence}), None)
    return Need(read.tokens + embedded.tokens, read.flop + embedded.flop)


def _need(loaded: LoadedModel, sequences: list[tuple[int, ...]], positions: list[np.ndarray] | None) -> Need:
    """Work for some sequences, with the head at some positions (None: no head, the last layer at all positions)."""
    config = loaded.model.config
    width, layers = config.hidden_size, config.num_hidden_layers
    layer = 4 * width * width + 2 * width * config.intermediate_size  # weights of a layer's linear parts
    tokens, attended, read = 0, 0, 0
    for pack in packs(sequences, 1 << 40, share_prefixes=loaded.family == "causal"):
        tokens += pack.size
        attended += int((pack.places + 1).sum()) if loaded.family == "causal" else sum(len(p) ** 2 for p in pack.paths)
        if positions is not None:
            read += len(np.unique(np.concatenate([pack.paths[k][positions[s]] for k, s in enumerate(pack.members)])))
    whole = 2.0 * tokens * layer + 4.0 * attended * width
    if positions is None or not tokens:
        return Need(tokens, layers * whole)
    keys = 4.0 * tokens * width * width
    last = keys + read / tokens * (whole - keys)
    transform = width * width if loaded.family == "masked" else 0
    return Need(tokens, (layers - 1) * whole + last + 2.0 * read * (transform + width * loaded.encoder.vocabulary))


def gemm_peak(precision: str) -> float:
    """Floating-point (or 8-bit integer) operations a second of the fastest matrix product here.

    All there are are timed, whichever the engine chose: torch's default and oneDNN's packed one in float32,
    ``torch.ao``'s and oneDNN's exact one in int8.

    Args:
        precision: ``fp32`` or ``int8``.
    """
    with torch.inference_mode():
        return max(map(_rate, _products()[precision]))


@cache
def _products() -> dict[str, list[Callable[[], Any]]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_ROWS, _IN, generator=generator)
    layer = torch.nn.Linear(_IN, _OUT)
    int8: Any = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer), {torch.nn.Linear})[0]
    integers = torch.randint(0, 256, (_ROWS, _IN), generator=generator, dtype=torch.uint8)
    products: dict[str, list[Callable[[], Any]]] = {
        "int8": [lambda: int8(x)], "fp32": [lambda: linear(x, layer.weight, layer.bias)]}
    if has_fast_integers():
        product = IntegerProduct(int8.weight().int_repr())
        products["int8"].append(lambda: product(integers))
    if _has_onednn():
        packed = PackedLinear(layer.weight, layer.bias, _ROWS).pack()
        products["fp32"].append(lambda: packed(x))
    return products


def _has_onednn() -> bool:
    """Whether this build of torch can pack a weight for oneDNN."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")


def _rate(product: Callable[[], Any]) -> float:
    return 2.0 * _ROWS * _IN * _OUT / seconds(product)
