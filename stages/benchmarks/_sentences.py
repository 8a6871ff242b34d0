"""What the sentence benchmarks share: choosing categories, encoding texts, asking a causal model about a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import pandas as pd

from stages.common.encoder import Encoder
from stages.common.errors import ParamsError
from stages.common.query import Query

StartToken = Literal["first_token_only", "prepended"]
"""How a causal model's start token is used. ``first_token_only`` is what arXiv 2312.05662's code
does: the first token is read after the start token alone, the others from the sentence
without it. ``prepended`` reads all of them from one sequence that begins with it."""


def select(table: pd.DataFrame, categories: Sequence[str]) -> pd.DataFrame:
    """The rows of the given categories; all rows if none are given.

    Raises:
        ParamsError: The table has no row of a category.
    """
    known = sorted(table["category"].unique())
    unknown = [category for category in categories if category not in known]
    if unknown:
        raise ParamsError(f"no items of category {unknown[0]!r}; there are: {', '.join(known)}", where="categories")
    return table[table["category"].isin(list(categories))] if categories else table


def encode_all(encoder: Encoder, texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Ids of each distinct text, as ``Encoder.encode`` gives them, in one call of the tokenizer."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    encoded = encoder.tokenizer(distinct, return_attention_mask=False, return_token_type_ids=False)["input_ids"]
    return {text: encoder.check(ids, text) for text, ids in zip(distinct, encoded, strict=True)}


def causal_queries(ids: tuple[int, ...], start: tuple[int, ...], use: StartToken) -> tuple[Query, ...]:
    """Queries for the probability of every token of a sentence; none for an empty sentence.

    Args:
        ids: The sentence's ids.
        start: Ids of the start token.
        use: How the start token is used.
    """
    if not ids:
        return ()
    if use == "prepended":
        last = len(start) - 1
        return (Query(start + ids[:-1], tuple(range(last, last + len(ids))), ids),)
    first = Query(start, (len(start) - 1,), ids[:1])
    return (first, Query(ids, tuple(range(len(ids) - 1)), ids[1:])) if len(ids) > 1 else (first,)
