"""From the rows of a benchmark's plan to records, by asking a model once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.common.files import sha256_text
from stages.common.query import Answer, Row, concatenate, reduce
from stages.common.records import SCHEMA
from stages.scoring.engine import Scorer
from stages.scoring.runner import Progress, ignore


def score_rows(
    dataset: str, rows: Sequence[Row], scorer: Scorer, progress: Progress = ignore
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Score the rows of one dataset.

    Args:
        dataset: Slug of the dataset.
        rows: What to ask, from a benchmark's ``plan``.
        scorer: The model.
        progress: Called with the number of distinct sequences done, and their total.

    Returns:
        The records (``stages.common.records``), and the embeddings asked for, by text key.

    Raises:
        ModelError: See ``Scorer``.
    """
    answers = iter(scorer.read([query for row in rows for query in row.queries], progress))
    records = [_record(dataset, row, [next(answers) for _ in row.queries]) for row in rows]
    embedded = [row for row in rows if row.sequence]
    by_text: dict[str, np.ndarray] = {}
    if embedded:
        vectors = scorer.embed([row.sequence for row in embedded], progress)
        by_text = {sha256_text(row.text): vector for row, vector in zip(embedded, vectors, strict=True)}
    return pd.DataFrame(records, columns=SCHEMA.names), by_text


def _record(dataset: str, row: Row, answers: list[Answer]) -> dict[str, object]:
    record = {
        "dataset": dataset,
        "item": row.item,
        "category": row.category,
        "cluster": row.cluster,
        "role": row.role,
        "direction": row.direction,
        "text_sha": sha256_text(row.text),
        "tokens": row.tokens,
        "words": row.words,
    }
    if not answers:
        return record | {"scored": 0, "score": np.nan, "logprob": np.nan, "entropy": np.nan, "ids": row.sequence}
    answer = concatenate(answers)
    return record | {
        "scored": len(answer.logprobs),
        "score": reduce(row.reduction, answer.logprobs),
        "logprob": float(answer.logprobs.sum()),
        "entropy": float(answer.entropies.mean()),
        "ids": tuple(token for query in row.queries for token in query.targets),
    }
