"""The int8 layers of a packed model and its int8 vocabulary head; ``stages.scoring.integers`` has their arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from stages.compression.int8 import is_dynamic
from stages.scoring.attention import current
from stages.scoring.grouped import store
from stages.scoring.head import BLOCK, ROWS, combine, partial_sums
from stages.scoring.integers import IntegerProduct, Integers, dequantize, to_integers, token_ranges
from stages.scoring.packing import Pack
from stages.scoring.plan import Values

_KERNEL_ROWS = 64
"""Rows of a head's own kernel at a time: it gives their logits for the whole vocabulary."""


def is_quantized(model: Any) -> bool:
    """Whether a model has dynamically quantized layers."""
    return any(map(is_dynamic, model.modules()))


class SequenceLinear(nn.Module):  # type: ignore[misc]
    """A dynamically quantized Linear over the current pack, with one activation range a sequence.

    Args:
        layer: Called once a sequence, until ``pack`` finds its arithmetic to be the one above.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._kernel: list[Any] = [layer]  # in a list, so that it is no module of this one
        self._product: IntegerProduct | None = None

    def pack(self) -> None:
        """Take the integers over from the layer, and let go of it, where that computes the same."""
        integers = Integers.of(*self._kernel)
        if integers is not None:
            self._scale, self._bias = integers.scale, integers.bias
            self._product = IntegerProduct(integers.weight)
            self._kernel.clear()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply [1, tokens, in] to [1, tokens, out]."""
        now = current()
        if self._product is None:
            (layer,) = self._kernel
            return torch.cat([layer(x[0, path]) for path in now.pack.paths])[None]
        if now.integers is None or now.integers[0] is not x:  # query, key and value read the same
            scales, zeros = token_ranges(now.pack, x[0])
            now.integers = (x, scales, to_integers(x[0], scales, zeros))
        _, scales, integers = now.integers
        return dequantize(self._product(integers), scales * self._scale, self._bias)[None]


class QuantizedHead:
    """An int8 vocabulary head, run for the rows that are read and block by block, with their sequences' ranges.

    Args:
        layer: Called once a sequence, until ``pack``; see ``SequenceLinear``.
    """

    def __init__(self, layer: Any) -> None:
        self._layer: Any = layer
        self._blocks: list[IntegerProduct] = []

    def pack(self, dtype: torch.dtype = torch.float32, *, release: bool = False) -> None:
        """Take the integers over from the layer, and let go of it, where that computes the same."""
        integers = Integers.of(self._layer)
        if integers is None:
            return
        self._scale, bias = integers.scale, integers.bias
        self._blocks = [IntegerProduct(part) for part in integers.weight.split(BLOCK)]
        self._biases = bias.split(BLOCK) if bias is not None else [None] * len(self._blocks)
        self._layer = None

    def read(self, values: Values, pack: Pack, features: torch.Tensor) -> None:
        """Answer the rows of all sequences of a pack.

        Args:
            values: Where to store the answers.
            pack: The sequences.
            features: What the head takes, float32 of shape [tokens, hidden].
        """
        plan = values.plan
        if self._layer is not None:
            for k, s in enumerate(pack.members):
                self._read_with_kernel(values, plan.rows_of([s]), features[pack.paths[k]], plan.positions_of(s))
            return
        scales, zeros = token_ranges(pack, features)
        tokens = np.concatenate([pack.paths[k][plan.positions_of(s)] for k, s in enumerate(pack.members)])
        rows = plan.rows_of(pack.members)
        for start in range(0, len(rows), ROWS):
            read = torch.from_numpy(tokens[start : start + ROWS])
            integers = to_integers(features[read], scales[read], zeros[read])
            self._read(values, rows[start : start + ROWS], integers, scales[read])

    def _read_with_kernel(
        self, values: Values, rows: np.ndarray, features: torch.Tensor, positions: np.ndarray
    ) -> None:
        """Rows of one sequence; two more go along, so that the kernel sees the sequence's range of activations."""
        width = features.shape[1]
        extremes = [int(features.argmin()) // width, int(features.argmax()) // width]
        for start in range(0, len(rows), _KERNEL_ROWS):
            here = positions[start : start + _KERNEL_ROWS]
            logits = self._layer(features[torch.tensor([*here, *extremes])])
            store(values, rows[start : start + _KERNEL_ROWS], logits[: len(here)])

    def _read(self, values: Values, rows: np.ndarray, integers: torch.Tensor, scales: torch.Tensor) -> None:
        reads, local = values.plan.reads_of(rows)
        targets = values.plan.read_target[reads]
        sums = []
        for number, (product, bias) in enumerate(zip(self._blocks, self._biases, strict=True)):
            logits = dequantize(product(integers), scales * self._scale, bias)
            inside = (targets >= number * BLOCK) & (targets < (number + 1) * BLOCK)
            found = logits[local[inside], targets[inside] - number * BLOCK]
            values.logits[reads[inside]] = found.double().numpy()
            sums.append(partial_sums(logits))
        values.normalizers[rows], values.entropies[rows] = combine(torch.stack(sums))


def replace_quantized(model: Any) -> None:
    """Put a ``SequenceLinear`` in the place of every dynamically quantized layer of a model."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if is_dynamic(child):
                setattr(parent, name, SequenceLinear(child))
