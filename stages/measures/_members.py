"""From records, one row a text, to items, one row a pair or triple of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.common.errors import DataError

COMPARED = ("stereo", "anti")
"""The roles whose texts are set against each other."""


def by_item(records: pd.DataFrame, roles: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put the records of each item side by side.

    Args:
        records: Records of one dataset (``stages.common.records``).
        roles: The roles that every item has exactly once.

    Returns:
        The items whose every text was scored, and those that were not scored: one row an item,
        sorted by category and item, with ``category``, ``item``, ``cluster`` and ``direction``,
        and for each role ``score_<role>`` and ``log_<role>``, its log-probability (nats)
        at equal length: the mean a scored position, times the mean number of such positions of
        the stereotype and the anti-stereotype. A sum would count how many tokens a word has.

    Raises:
        DataError: An item lacks a role, has it twice or has an unknown one; its texts disagree
            about category, cluster or direction; or a score is NaN or infinite.
    """
    strange = records[~records["role"].isin(list(roles))]
    if len(strange):
        raise DataError(f"role {strange['role'].iloc[0]!r} is none of {', '.join(roles)}", where=_name(strange))
    repeated = records[records.duplicated(["item", "role"])]
    if len(repeated):
        raise DataError(f"has two records of role {repeated['role'].iloc[0]!r}", where=_name(repeated))
    sizes = records.groupby("item")["role"].transform("size")
    partial = records[sizes < len(roles)]
    if len(partial):
        missing = set(roles) - set(records.loc[records["item"] == partial["item"].iloc[0], "role"])
        raise DataError(f"has no record of role {', '.join(sorted(missing))}", where=_name(partial),
                        fix="score the dataset again")
    shared = ["category", "cluster", "direction"]
    torn = records[(records.groupby("item")[shared].transform("nunique") > 1).any(axis=1)]
    if len(torn):
        raise DataError(f"its texts disagree about {', '.join(shared)}", where=_name(torn))
    values = records.assign(log=records["logprob"] / records["scored"].where(records["scored"] > 0))
    finite = np.isfinite(values["score"].to_numpy()) & np.isfinite(values["log"].to_numpy())
    broken = values[(values["scored"].to_numpy() > 0) & ~finite]
    if len(broken):
        raise DataError(f"score {broken['score'].iloc[0]} is not a finite number", where=_name(broken))
    wide = {
        value: values.pivot(index=["category", "item", "cluster", "direction"], columns="role", values=value)
        for value in ("scored", "score", "log")
    }
    logs = wide["log"].mul(wide["scored"][list(COMPARED)].mean(axis=1), axis=0)
    items = pd.concat([wide["score"].add_prefix("score_"), logs.add_prefix("log_")], axis=1)
    scored = (wide["scored"].to_numpy() > 0).all(axis=1)
    return items[scored].reset_index(), items[~scored].reset_index()


def _name(rows: pd.DataFrame) -> str:
    first = f"item {rows['item'].iloc[0]!r} of {rows['category'].iloc[0]}"
    others = rows["item"].nunique() - 1
    return f"{first} and {others} more" if others else first
