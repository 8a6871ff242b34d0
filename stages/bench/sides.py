"""The three ways to score that are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from stages.common.query import Query, Row
from stages.models.load import LoadedModel
from stages.scoring.engine import Scorer

Side = Callable[[Sequence[Row]], None]
"""Scores some rows; what is timed."""

_BATCH = 32


def sides(loaded: LoadedModel, scorer: Scorer) -> dict[str, Side]:
    """The ways to score with a model. Making the engine ready is not part of what is timed."""
    return {
        "batch1": lambda rows: batch1(loaded, rows),
        "padded32": lambda rows: padded(loaded, rows),
        "engine": lambda rows: engine(scorer, rows),
    }


def engine(scorer: Scorer, rows: Sequence[Row]) -> None:
    """This project's engine."""
    scorer.read([query for row in rows for query in row.queries])
    scorer.embed([row.sequence for row in rows if row.sequence])


def batch1(loaded: LoadedModel, rows: Sequence[Row]) -> None:
    """The loop of the benchmarks' reference code: one forward pass a query, whatever was computed before."""
    with torch.inference_mode():
        for row in rows:
            for query in row.queries:
                logits = loaded.model(input_ids=torch.tensor([query.ids])).logits[0]
                logits.log_softmax(dim=-1)[list(query.positions), list(query.targets)].tolist()
            if row.sequence:
                outputs = loaded.model.base_model(input_ids=torch.tensor([row.sequence]))
                outputs.last_hidden_state.mean(dim=1).numpy()


def padded(loaded: LoadedModel, rows: Sequence[Row]) -> None:
    """Batches of 32 in the order they come, padded to the longest of each."""
    queries = [query for row in rows for query in row.queries]
    sequences = [row.sequence for row in rows if row.sequence]
    with torch.inference_mode():
        for start in range(0, len(queries), _BATCH):
            _padded_read(loaded, queries[start : start + _BATCH])
        for start in range(0, len(sequences), _BATCH):
            ids, mask = _pad(loaded, sequences[start : start + _BATCH])
            states = loaded.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
            ((states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)).numpy()


def _padded_read(loaded: LoadedModel, queries: Sequence[Query]) -> None:
    ids, mask = _pad(loaded, [query.ids for query in queries])
    logits = loaded.model(input_ids=ids, attention_mask=mask).logits
    for k, query in enumerate(queries):
        logits[k, list(query.positions)].log_softmax(dim=-1)[range(len(query.targets)), list(query.targets)].tolist()


def _pad(loaded: LoadedModel, sequences: Sequence[tuple[int, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, sequences))
    padding = loaded.tokenizer.pad_token_id
    ids = torch.tensor([sequence + (padding,) * (longest - len(sequence)) for sequence in sequences])
    mask = torch.tensor([[1] * len(sequence) + [0] * (longest - len(sequence)) for sequence in sequences])
    return ids, mask
