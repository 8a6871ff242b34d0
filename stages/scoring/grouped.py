"""Running a model as it is, on batches of equally long sequences: right for every architecture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from stages.scoring.gather import gathered
from stages.scoring.packing import by_length
from stages.scoring.plan import Plan, Values
from stages.scoring.runner import Advance
from stages.scoring.states import Means, last_hidden_state

_ROWS_IN_DOUBLE = 64
_DOUBLES = 1 << 22
"""Logits in float64 at a time at most, 32 MiB; some four times as much is worked with."""
_LOGITS = 1 << 25
"""Logits of a batch at most, 128 MiB in float32."""


class GroupedRunner:
    """Exact-length batches without padding through the model's own forward pass.

    Args:
        model: A transformers model with a language-model head (or an encoder, for ``embed``).
        token_budget: Tokens in a batch; one sequence alone may exceed it.
        one_by_one: Batches of one sequence, for models whose arithmetic depends on the
            batch (one activation range per call).
        gather: Ask the vocabulary head for the positions that are read only, in several passes
            where their logits would be too many to hold.
    """

    def __init__(self, model: Any, token_budget: int, *, one_by_one: bool = False, gather: bool = False) -> None:
        self._model, self._gather = model, gather
        self._rows = max(1, _LOGITS // _vocabulary(model))
        self._token_budget = 1 if one_by_one else min(token_budget, self._rows)
        self._device = next(model.parameters()).device
        # The cache of keys and values serves generation only.
        self._options = {"use_cache": False} if hasattr(model.config, "use_cache") else {}

    def read(self, plan: Plan, advance: Advance) -> Values:
        """Answer every row of a plan."""
        values = Values(plan)
        for batch in _equal_lengths(plan.sequences, self._token_budget):
            ids = self._ids(plan.sequences, batch)
            owner = np.repeat(np.arange(len(batch)), [len(plan.positions_of(s)) for s in batch])
            places = np.concatenate([plan.positions_of(s) for s in batch])
            rows = plan.rows_of(batch)
            if self._gather:
                self._read_gathered(values, rows, ids, torch.from_numpy(owner * ids.shape[1] + places))
            else:
                logits = self._model(input_ids=ids, **self._options).logits
                for start in range(0, len(rows), _ROWS_IN_DOUBLE):
                    part = slice(start, start + _ROWS_IN_DOUBLE)
                    store(values, rows[part], logits[owner[part], places[part]])
            advance(len(batch))
        return values

    def _read_gathered(self, values: Values, rows: np.ndarray, ids: torch.Tensor, tokens: torch.Tensor) -> None:
        for start in range(0, len(rows), self._rows):
            part = slice(start, start + self._rows)
            with gathered(self._model, tokens[part].to(self._device)):
                logits = self._model(input_ids=ids, **self._options).logits
            store(values, rows[part], logits[0, : len(rows[part])])

    def embed(self, sequences: Sequence[tuple[int, ...]], advance: Advance) -> np.ndarray:
        """Mean of the last hidden state over all positions, float32 of shape [sequences, width]."""
        means = Means(self._model, len(sequences))
        for batch in _equal_lengths(sequences, self._token_budget):
            means.put(batch, last_hidden_state(self._model, input_ids=self._ids(sequences, batch), **self._options))
            advance(len(batch))
        return means.vectors()

    def _ids(self, sequences: Sequence[tuple[int, ...]], batch: list[int]) -> torch.Tensor:
        return torch.tensor([sequences[s] for s in batch], device=self._device)


def _vocabulary(model: Any) -> int:
    matrix = model.get_input_embeddings().weight
    return int(matrix.shape[0])


def store(values: Values, rows: np.ndarray, logits: torch.Tensor) -> None:
    """Store the statistics of whole rows of logits, computed in float64, a few rows at a time.

    Args:
        values: Where to store them.
        rows: Rows of the plan, int64 of shape [rows].
        logits: Of shape [rows, vocabulary].
    """
    few = max(1, min(_ROWS_IN_DOUBLE, _DOUBLES // logits.shape[1]))
    for start in range(0, len(rows), few):
        _store_few(values, rows[start : start + few], logits[start : start + few].double())


def _store_few(values: Values, rows: np.ndarray, logits: torch.Tensor) -> None:
    logprobs = torch.log_softmax(logits, dim=-1)
    reads, local = values.plan.reads_of(rows)
    values.normalizers[rows] = (logits[:, 0] - logprobs[:, 0]).cpu().numpy()
    values.entropies[rows] = torch.special.entr(logprobs.exp()).sum(dim=-1).cpu().numpy()
    values.logits[reads] = logits[local, values.plan.read_target[reads]].cpu().numpy()


def _equal_lengths(sequences: Sequence[tuple[int, ...]], token_budget: int) -> Iterator[list[int]]:
    """Indices of equally long sequences, as many at a time as the budget holds (at least one)."""
    batch: list[int] = []
    for s in by_length(sequences):
        length = len(sequences[s])
        if batch and (length != len(sequences[batch[0]]) or (len(batch) + 1) * length > token_budget):
            yield batch
            batch = []
        batch.append(s)
    if batch:
        yield batch
