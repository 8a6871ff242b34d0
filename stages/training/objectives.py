"""What language models are trained to predict: masked tokens, or the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

_KEPT, _RANDOM = 0.1, 0.1
"""Of the positions to predict, BERT leaves 10% as they are and replaces 10% by any token (arXiv 1810.04805, 3.1)."""


@dataclass(frozen=True)
class Batch:
    """Sequences, and the positions at which the model is read.

    Attributes:
        ids: int64 [sequences, length], padded at the end.
        attention: int64 [sequences, length], 0 at padding.
        reads: int64 [reads], positions in the flattened ``ids``.
        targets: int64 [reads], the token to predict at each.
    """

    ids: torch.Tensor
    attention: torch.Tensor
    reads: torch.Tensor
    targets: torch.Tensor

    @property
    def tokens(self) -> int:
        """Tokens in the batch, padding not counted."""
        return int(self.attention.sum())


@dataclass(frozen=True)
class Masked:
    """Masked language modelling (BERT): 80% of the chosen tokens masked, 10% random, 10% kept."""

    probability: float
    pad: int
    mask: int
    vocabulary: int
    special: frozenset[int]
    """Tokens that are never predicted."""

    def batch(self, rows: list[np.ndarray], draw: np.random.Generator) -> Batch:
        """Choose the tokens to predict and hide them; at least one a batch, where any can be."""
        ids, attention = _pad(rows, self.pad)
        flat = ids.reshape(-1)
        free = attention.reshape(-1).astype(bool) & ~np.isin(flat, list(self.special))
        chance = np.where(free, draw.random(flat.shape), 2.0)
        chosen = chance < self.probability
        chosen[chance.argmin()] = free.any()
        reads = np.flatnonzero(chosen)
        targets = flat[reads].copy()
        fate = draw.random(len(reads))
        flat[reads[fate >= _KEPT + _RANDOM]] = self.mask
        swapped = reads[fate < _RANDOM]
        flat[swapped] = draw.integers(self.vocabulary, size=len(swapped))
        return _tensors(ids, attention, reads, targets)


@dataclass(frozen=True)
class Causal:
    """Next-token prediction at every position but a sequence's last."""

    pad: int

    def batch(self, rows: list[np.ndarray], draw: np.random.Generator) -> Batch:
        """Pad the rows; ``draw`` is not used."""
        ids, attention = _pad(rows, self.pad)
        reads = np.flatnonzero(np.pad(attention[:, 1:], ((0, 0), (0, 1))).reshape(-1))
        return _tensors(ids, attention, reads, ids.reshape(-1)[reads + 1])


Objective = Masked | Causal


def objective_of(tokenizer: Any, family: str, mask_probability: float) -> Objective:
    """The objective of a model family, in terms of its tokenizer."""
    if family == "causal":
        # GPT-2's tokenizer has no padding token; what stands at padding is never attended to.
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        return Causal(pad)
    special = frozenset(tokenizer.all_special_ids)
    return Masked(mask_probability, tokenizer.pad_token_id, tokenizer.mask_token_id, len(tokenizer), special)


@dataclass(frozen=True)
class Reading:
    """What a model makes of a batch.

    Attributes:
        logits: [reads, vocabulary], at the positions where it is read.
        hidden: [sequences, length, width], the last hidden states of every position.
    """

    logits: torch.Tensor
    hidden: torch.Tensor


def read(model: Any, batch: Batch) -> Reading:
    """Run a model on a batch, its vocabulary head only at the read positions.

    The head gets the read rows in place of all, through a hook on the model's encoder, so this
    serves any transformers language model whose head works on each position alone.
    """
    kept: list[torch.Tensor] = []

    def keep_read_rows(module: Any, args: Any, output: Any) -> Any:
        hidden = output.last_hidden_state
        kept.append(hidden)
        output.last_hidden_state = hidden.reshape(-1, hidden.shape[-1])[batch.reads].unsqueeze(0)
        return output

    whole = bool(batch.attention.all())
    handle = model.base_model.register_forward_hook(keep_read_rows)
    try:
        logits = model(input_ids=batch.ids, attention_mask=None if whole else batch.attention).logits
    finally:
        handle.remove()
    return Reading(logits[0], kept[0])


def loss_function(model: Any) -> Callable[[Batch], torch.Tensor]:
    """Mean cross-entropy (nats) of a model at a batch's read positions."""

    def loss(batch: Batch) -> torch.Tensor:
        return functional.cross_entropy(read(model, batch).logits.float(), batch.targets)

    return loss


def _pad(rows: list[np.ndarray], pad: int) -> tuple[np.ndarray, np.ndarray]:
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    attention = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        attention[index, : len(row)] = 1
    return ids, attention


def _tensors(*arrays: np.ndarray) -> Batch:
    return Batch(*(torch.from_numpy(array) for array in arrays))
