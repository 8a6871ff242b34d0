"""Perplexity of a corpus: of causal models, and pseudo-perplexity of masked ones (Salazar et al. 2020)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.common.params import Family, Frozen


class Options(Frozen):
    """Perplexity has no settings; what is scored is decided by the dataset's options."""


def measure(
    records: pd.DataFrame, options: Options, vectors: dict[str, np.ndarray] | None = None, *, family: Family
) -> dict[str, Any]:
    """Metrics of every split of the corpus that was scored.

    Args:
        records: One record a text.
        options: None.
        vectors: Not used.
        family: Family of the model. Perplexities of masked and causal models do not compare:
            a masked model sees the text on both sides.

    Returns:
        By split: ``perplexity`` (exp of the mean negative log-probability a scored token),
        ``word_perplexity`` (the same a whitespace-separated word, which compares between
        tokenizers), ``bits_per_token``, ``entropy`` (mean of the model's own, in nats a token), and
        the numbers of ``texts``, ``tokens`` (scored) and ``words``.

    Raises:
        DataError: A text was not scored.
    """
    empty = records[records["scored"] == 0]
    if not empty.empty:
        raise DataError(f"text {empty['item'].iloc[0]!r} was not scored", fix="score the dataset again")
    return {str(split): _perplexity(texts) for split, texts in records.groupby("category", sort=True)}


def _perplexity(texts: pd.DataFrame) -> dict[str, Any]:
    tokens, words = int(texts["scored"].sum()), int(texts["words"].sum())
    loss = -math.fsum(texts["logprob"])
    return {
        "perplexity": _exp(loss / tokens),
        "word_perplexity": _exp(loss / words),
        "bits_per_token": loss / tokens / math.log(2),
        "entropy": math.fsum(texts["entropy"] * texts["scored"]) / tokens,
        "texts": len(texts),
        "tokens": tokens,
        "words": words,
    }


def _exp(nats: float) -> float:
    try:
        return math.exp(nats)
    except OverflowError:
        raise DataError(f"perplexity of {nats:.0f} nats is beyond any float", fix="the model is broken") from None
