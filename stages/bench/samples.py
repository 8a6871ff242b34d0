"""Samples of a benchmark that are like the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from stages.common.query import Row

T = TypeVar("T")

_WHOLE = 10
"""A whole test may be this many times the rows asked for."""


def sample(rows: Sequence[T], count: int) -> list[T]:
    """``count`` rows from everywhere, as evenly spread as can be; all of them where there are no more."""
    count = min(count, len(rows))
    return [rows[k * len(rows) // count] for k in range(count)]


def whole_items(rows: Sequence[Row], count: int) -> list[Row]:
    """About ``count`` rows: all rows of evenly spread items, or of the first tests where items belong to tests.

    Where not even one test fits, the first rows of it.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.item.split("/")[0], []).append(row)
    if any("/" in row.item for row in rows):
        chosen: list[Row] = []
        for group in groups.values():
            if chosen and len(chosen) + len(group) > count:
                break
            chosen += group
        return chosen if len(chosen) <= _WHOLE * count else chosen[:count]
    few = sample(list(groups.values()), max(1, len(groups) * count // len(rows)))
    return [row for group in few for row in group]


def affordable(rows: Sequence[Row], least: int, passes: int) -> int:
    """How many rows can be computed one sequence at a time in about ``passes`` forward passes, at least ``least``.

    Benchmarks differ by a factor of ten in the queries a row has. Rows that are embedded stay at ``least``.
    """
    queries = sum(len(row.queries) for row in rows)
    return max(least, passes * len(rows) // queries) if queries else least
