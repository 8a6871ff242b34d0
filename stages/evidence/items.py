"""Items of one dataset as a model scored them, and the items of two models put side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.measures._members import COMPARED, by_item

_SHOWN = 5
_SHARED = ["category", "cluster", "texts"]


def items_by_role(records: pd.DataFrame, roles: Sequence[str]) -> pd.DataFrame:
    """One row a pair or triple of texts, unscored ones included.

    Args:
        records: Records of one dataset (``stages.common.records``).
        roles: The roles that every item has exactly once; ``stereo`` and ``anti`` among them.

    Returns:
        A frame sorted and indexed by item: ``category``, ``cluster``, ``texts`` (the keys of its
        texts), ``usable`` (every text was scored), ``score_<role>``, ``log_<role>``, its
        log-probability at equal length (``stages.measures._members.by_item``), and ``entropy``, the mean
        over stereotype and anti-stereotype of the model's entropy (nats) at the scored positions.

    Raises:
        DataError: An item is incomplete or inconsistent, or a score is not finite; it is named.
    """
    order = sorted(roles)
    records = records.sort_values(["item", "role"], kind="stable")
    if not _whole(records, order):
        by_item(records, roles)  # names the item and what is wrong with it

    def wide(column: str) -> np.ndarray:
        return records[column].to_numpy().reshape(-1, len(order))

    compared = [order.index(role) for role in COMPARED]
    scores, scored = wide("score"), wide("scored")
    logs = wide("logprob") / np.where(scored > 0, scored, 1) * scored[:, compared].mean(axis=1, keepdims=True)
    found: dict[str, np.ndarray] = {name: wide(name)[:, 0] for name in ("category", "cluster")}
    found["texts"] = sum((" " + wide("text_sha")[:, place] for place in range(1, len(order))), wide("text_sha")[:, 0])
    found["usable"] = np.all(scored > 0, axis=1)
    for place, role in enumerate(order):
        found[f"score_{role}"], found[f"log_{role}"] = scores[:, place], logs[:, place]
    found["entropy"] = wide("entropy")[:, compared].mean(axis=1)
    # Arrow's strings, which pandas would make of them, are slow to compare and to group one by one.
    columns = {name: pd.Series(values, dtype=object if name in _SHARED else None) for name, values in found.items()}
    return pd.DataFrame(columns).set_index(pd.Index(wide("item")[:, 0], name="item", dtype=object))


def items_by_text(records: pd.DataFrame) -> pd.DataFrame:
    """One row a text: as ``items_by_role``, with ``logprob``, ``scored`` and ``words`` of the text.

    Raises:
        DataError: A text has two records, or was scored and its log-probability is not finite; it is named.
    """
    repeated = records.loc[records.duplicated("item"), "item"]
    if len(repeated):
        raise DataError(f"a text has two records: {_some(repeated)}")
    broken = records.loc[(records["scored"] > 0) & ~np.isfinite(records["logprob"]), "item"]
    if len(broken):
        raise DataError(f"the log-probability is not a finite number in {_some(broken)}", fix="score again")
    columns = ["item", "category", "cluster", "logprob", "scored", "words"]
    found = records[columns].assign(texts=records["text_sha"], usable=records["scored"] > 0)
    return found.set_index("item").sort_index()


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
        if one.index.equals(other.index):
            continue
        alone = one.index.difference(other.index)
        if len(alone):
            raise DataError(f"only the {side} has {_some(alone)}", fix="score both models on the same data")
    differs = np.zeros(len(parent), dtype=bool)
    for name in _SHARED:
        differs |= parent[name].to_numpy() != child[name].to_numpy()
    if differs.any():
        raise DataError(f"parent and child have other texts, categories or clusters in {_some(parent.index[differs])}",
                        fix="score both models on the same data")


def _whole(records: pd.DataFrame, order: Sequence[str]) -> bool:
    """Whether sorted records are items with every role once, that agree in what they share and have finite scores."""
    if len(records) % len(order):
        return False

    def wide(column: str) -> np.ndarray:
        return records[column].to_numpy().reshape(-1, len(order))

    agreeing = all((wide(name)[:, 1:] == wide(name)[:, :1]).all() for name in ("item", "category", "cluster",
                                                                              "direction"))
    items = wide("item")[:, 0]
    numbers = records.loc[records["scored"] > 0, ["score", "logprob"]].to_numpy(dtype=np.float64)
    return bool(agreeing and (wide("role") == np.array(order)).all() and (items[1:] != items[:-1]).all()
                and np.isfinite(numbers).all())


def _some(items: pd.Series | pd.Index) -> str:
    names = list(dict.fromkeys(str(name) for name in items))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{'item' if len(names) == 1 else 'items'} {', '.join(names[:_SHOWN])}{more}"
