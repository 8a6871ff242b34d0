"""Running a model as it is, on batches of equally long sequences: right for every architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from stages.scoring.plan import Plan, Values

Advance = Callable[[int], None]
"""Called with the number of sequences just finished."""

_ROWS_IN_DOUBLE = 64
_LOGITS = 1 << 26
"""Logits of a batch at most, a quarter of a gigabyte in float32."""


class GroupedRunner:
    """Exact-length batches without padding through the model's own forward pass.

    Args:
        model: A transformers model with a language-model head (or an encoder, for ``embed``).
        token_budget: Tokens in a batch; one sequence alone may exceed it.
        one_by_one: Batches of one sequence, for models whose arithmetic depends on the
            batch (one activation range per call).
    """

    def __init__(self, model: Any, token_budget: int, *, one_by_one: bool = False) -> None:
        self._model = model
        self._token_budget = 1 if one_by_one else min(token_budget, _LOGITS // _vocabulary(model))
        self._device = next(model.parameters()).device
        # The cache of keys and values serves generation only.
        self._options = {"use_cache": False} if hasattr(model.config, "use_cache") else {}

    def read(self, plan: Plan, advance: Advance) -> Values:
        """Answer every row of a plan."""
        values = Values(plan)
        for batch in _equal_lengths(plan.sequences, self._token_budget):
            logits = self._model(input_ids=self._ids(plan.sequences, batch), **self._options).logits
            owner = np.repeat(np.arange(len(batch)), [len(plan.positions[s]) for s in batch])
            places = np.concatenate([plan.positions[s] for s in batch])
            rows = plan.rows_of(batch)
            for start in range(0, len(rows), _ROWS_IN_DOUBLE):
                part = slice(start, start + _ROWS_IN_DOUBLE)
                store(values, rows[part], logits[owner[part], places[part]])
            advance(len(batch))
        return values

    def embed(self, sequences: Sequence[tuple[int, ...]], advance: Advance) -> np.ndarray:
        """Mean of the last hidden state over all positions, float32 of shape [sequences, hidden]."""
        vectors = np.empty((len(sequences), self._model.config.hidden_size), dtype=np.float32)
        for batch in _equal_lengths(sequences, self._token_budget):
            outputs = self._model.base_model(input_ids=self._ids(sequences, batch), **self._options)
            vectors[batch] = outputs.last_hidden_state.mean(dim=1).float().cpu().numpy()
            advance(len(batch))
        return vectors

    def _ids(self, sequences: Sequence[tuple[int, ...]], batch: list[int]) -> torch.Tensor:
        return torch.tensor([sequences[s] for s in batch], device=self._device)


def _vocabulary(model: Any) -> int:
    matrix = model.get_input_embeddings().weight
    return int(matrix.shape[0])


def store(values: Values, rows: np.ndarray, logits: torch.Tensor) -> None:
    """Store the statistics of whole rows of logits, computed in float64.

    Args:
        values: Where to store them.
        rows: Rows of the plan, int64 of shape [rows].
        logits: Of shape [rows, vocabulary].
    """
    logits = logits.double()
    logprobs = torch.log_softmax(logits, dim=-1)
    reads, local = values.plan.reads_of(rows)
    values.normalizers[rows] = (logits[:, 0] - logprobs[:, 0]).cpu().numpy()
    values.entropies[rows] = torch.special.entr(logprobs.exp()).sum(dim=-1).cpu().numpy()
    values.logits[reads] = logits[local, values.plan.read_target[reads]].cpu().numpy()


def _equal_lengths(sequences: Sequence[tuple[int, ...]], token_budget: int) -> Iterator[list[int]]:
    """Indices of equally long sequences, as many at a time as the budget holds (at least one)."""
    order = sorted(range(len(sequences)), key=lambda s: (len(sequences[s]), sequences[s]))
    batch: list[int] = []
    for s in order:
        length = len(sequences[s])
        if batch and (length != len(sequences[batch[0]]) or (len(batch) + 1) * length > token_budget):
            yield batch
            batch = []
        batch.append(s)
    if batch:
        yield batch
