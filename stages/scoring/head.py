"""The vocabulary head at the positions that are read: log-sum-exp and entropy, block by block."""

from __future__ import annotations

from itertools import repeat

import numpy as np
import torch

from stages.scoring.linear import PackedLinear, onednn_is_faster
from stages.scoring.plan import Values

ROWS = 256
"""Rows worth waiting for before the head is run: fewer would read the weights too often."""
BLOCK = 1024
"""Tokens of the vocabulary whose logits are held at a time."""
_COPIED = 1 << 27
"""Numbers of a vocabulary matrix that a packed copy is made of, half a gigabyte: memory does not pay for more."""


class Head:
    """Logits of features, never held for the whole vocabulary at once.

    The weight stays as it is, shared with the embeddings or not, to give the logits of the tokens
    looked for; ``pack`` adds the copy that all logits are computed with. A block's logits stay in
    the processor's cache while their exponentials are summed, so that the head costs little more
    than its matrix product and needs no memory to speak of.

    Args:
        weight: [vocabulary, hidden].
        bias: [vocabulary], or None.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._weight = weight.detach()
        self._bias = bias.detach() if bias is not None else None
        self._blocks = self._cut()

    def pack(self, dtype: torch.dtype = torch.float32, *, release: bool = False) -> None:
        """Get ready to compute in float32 or bfloat16; see ``PackedLinear.pack``."""
        self._weight = self._weight.to(dtype)
        self._bias = self._bias.to(dtype) if self._bias is not None else None
        self._blocks = self._cut()
        if onednn_is_faster() and self._weight.device.type == "cpu" and self._weight.numel() <= _COPIED:
            for block in self._blocks:
                block.pack(dtype, release=release)

    def _cut(self) -> list[PackedLinear]:
        biases = self._bias.split(BLOCK) if self._bias is not None else repeat(None)
        return [PackedLinear(part, bias, ROWS) for part, bias in zip(self._weight.split(BLOCK), biases, strict=False)]

    def read(self, values: Values, rows: np.ndarray, features: torch.Tensor, which: np.ndarray) -> None:
        """Answer some rows of a plan.

        Args:
            values: Where to store the answers.
            rows: Rows of the plan, int64 of shape [rows].
            features: What the head takes, float32 of shape [features, hidden].
            which: The feature of each row, int64 of shape [rows]; rows after the same prefix share one.
        """
        for start in range(0, len(features), ROWS):
            here = (which >= start) & (which < start + ROWS)
            self._read(values, rows[here], features[start : start + ROWS], which[here] - start)

    def _read(self, values: Values, rows: np.ndarray, features: torch.Tensor, which: np.ndarray) -> None:
        normalizers, entropies = combine(torch.stack([partial_sums(block(features).float()) for block in self._blocks]))
        values.normalizers[rows], values.entropies[rows] = normalizers[which], entropies[which]
        reads, local = values.plan.reads_of(rows)
        targets = torch.from_numpy(values.plan.read_target[reads]).to(features.device)
        asked = torch.from_numpy(which[local]).to(features.device)
        logits = torch.linalg.vecdot(features[asked].float(), self._weight[targets].float())
        if self._bias is not None:
            logits = logits + self._bias[targets]
        values.logits[reads] = logits.double().cpu().numpy()


class Waiting:
    """Features of several packs, kept until there are enough of them to be worth running the head."""

    def __init__(self) -> None:
        self.features = 0
        """Features that wait."""
        self._parts: list[tuple[np.ndarray, torch.Tensor, np.ndarray]] = []

    def add(self, rows: np.ndarray, features: torch.Tensor, which: np.ndarray) -> None:
        """Add rows of a plan with their features; see ``Head.read``."""
        self._parts.append((rows, features, which + self.features))
        self.features += len(features)

    def flush(self, head: Head | None, values: Values) -> None:
        """Answer all rows that wait (none do where there is no head)."""
        if self._parts and head is not None:
            rows, features, which = zip(*self._parts, strict=True)
            head.read(values, np.concatenate(rows), torch.cat(features), np.concatenate(which))
        self.features, self._parts = 0, []


def partial_sums(logits: torch.Tensor) -> torch.Tensor:
    """Maximum m, sum of e^(x - m), and sum of (x - m) e^(x - m) of each row; overwrites the logits.

    Args:
        logits: float32 of shape [rows, block].

    Returns:
        float32 of shape [3, rows].
    """
    largest = logits.amax(dim=1)
    shifted = logits.sub_(largest[:, None])
    exponentials = shifted.exp()
    return torch.stack([largest, exponentials.sum(dim=1), torch.linalg.vecdot(exponentials, shifted)])


def combine(sums: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Log-sum-exp and entropy in nats from the partial sums of all blocks.

    With M the largest m, S = sum of s e^(m - M) and T = sum of (t + s (m - M)) e^(m - M) over
    the blocks: log-sum-exp = M + ln S and entropy = ln S - T / S.

    Args:
        sums: Of ``partial_sums``, shape [blocks, 3, rows].

    Returns:
        Two float64 arrays of shape [rows].
    """
    largest, total, weighted = sums.double().unbind(dim=1)
    top = largest.amax(dim=0)
    factor = (largest - top).exp()
    whole = (total * factor).sum(dim=0)
    moment = ((weighted + total * (largest - top)) * factor).sum(dim=0)
    return (top + whole.log()).cpu().numpy(), (whole.log() - moment / whole).cpu().numpy()
