"""Items of one dataset as a model scored them, and the items of two models put side by side."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stages.common.errors import DataError
from stages.measures._members import by_item

_SHOWN = 5
_SHARED = ["category", "cluster", "texts"]


def items_by_role(records: pd.DataFrame, roles: Sequence[str]) -> pd.DataFrame:
    """One row a pair or triple of texts, unscored ones included.

    Args:
        records: Records of one dataset (``stages.common.records``).
        roles: The roles that every item has exactly once.

    Returns:
        A frame sorted and indexed by item: ``category``, ``cluster``, ``texts`` (the keys of its
        texts), ``usable`` (every text was scored), and the columns of ``stages.measures``' items:
        ``score_<role>``, and ``log_<role>``, the mean log-probability (nats) a scored position.

    Raises:
        DataError: An item is incomplete or inconsistent, or a score is not finite; it is named.
    """
    scored, skipped = by_item(records, roles)
    parts = [part.assign(usable=usable) for part, usable in ((scored, True), (skipped, False)) if len(part)]
    return _with_texts(pd.concat(parts), records) if parts else _empty()


def items_by_text(records: pd.DataFrame) -> pd.DataFrame:
    """One row a text: as ``items_by_role``, with ``logprob``, ``scored`` and ``words`` of the text."""
    repeated = records.loc[records.duplicated("item"), "item"]
    if len(repeated):
        raise DataError(f"a text has two records: {_some(repeated)}")
    columns = ["item", "category", "cluster", "logprob", "scored", "words"]
    return _with_texts(records[columns].assign(usable=records["scored"] > 0), records)


def align(parent: pd.DataFrame, child: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The items that both models could score, in the same order.

    An item that only one of them could score (their tokenizers differ) is left out on both sides.

    Raises:
        DataError: The items are not the same in all else (see ``refuse_other_items``).
    """
    refuse_other_items(parent, child)
    both = parent["usable"] & child["usable"]
    return parent.loc[both], child.loc[both]


def refuse_other_items(parent: pd.DataFrame, child: pd.DataFrame) -> None:
    """Check that two models were asked the same.

    Raises:
        DataError: One side has items that the other lacks, or the same item has other texts,
            another category or cluster; the items are named.
    """
    for one, other, side in ((parent, child, "parent"), (child, parent, "child")):
        alone = one.index.difference(other.index)
        if len(alone):
            raise DataError(f"only the {side} has {_some(alone)}", fix="score both models on the same data")
    differs = (parent[_SHARED] != child[_SHARED]).any(axis=1)
    if differs.any():
        raise DataError(f"parent and child have other texts, categories or clusters in {_some(parent.index[differs])}",
                        fix="score both models on the same data")


def _with_texts(items: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Add the keys of an item's texts; every item has as many, and they lie in the order of roles."""
    ordered = records.sort_values(["item", "role"])
    texts = ordered["text_sha"].to_numpy(dtype=object).reshape(len(items), -1)
    names = ordered["item"].to_numpy(dtype=object).reshape(len(items), -1)[:, 0]
    joined = pd.Series([" ".join(keys) for keys in texts], index=names, name="texts")
    return items.set_index("item").join(joined).sort_index()


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=object) for name in [*_SHARED, "usable"]})


def _some(items: pd.Series | pd.Index) -> str:
    names = list(dict.fromkeys(str(name) for name in items))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{'item' if len(names) == 1 else 'items'} {', '.join(names[:_SHOWN])}{more}"
