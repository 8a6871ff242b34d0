"""The contrast table as the nested numbers of ``metrics/<suite>/contrast.json``."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stages.evidence.contrast import GRADED, HEADLINES
from stages.evidence.table import OVERALL
from stages.evidence.trends_best import CEILING

_COUNTS = ("seeds", "cells", "runs")
_CONTRAST = ("estimate", "low", "high", "p_adjusted", "seeds")


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """The rows of headline metrics, and of the log-odds beside them, as nested numbers: by analysis, then by subject.

    ``match`` has the fraction of training that each variant was matched with, once for all its measures. A best
    checkpoint by a metric at its ceiling has ``ceiling`` 1.
    """
    nested: dict[str, Any] = {}
    for row in table.to_dict("records"):
        analysis = str(row["analysis"])
        if analysis in ("matched", "noise") and row["metric"] not in (*HEADLINES, GRADED):
            continue
        if analysis == "matched" and not pd.isna(row["fraction"]):
            nested.setdefault("match", {}).setdefault(row["model"], {})[row["variant"]] = {
                name: row[name] for name in ("fraction", "fraction_low", "fraction_high") if not pd.isna(row[name])}
        where, leaves = _place(analysis, row)
        place = nested.setdefault(analysis, {})
        for name in where:
            place = place.setdefault(str(name), {})
        place |= {leaf: int(row[column]) if leaf in _COUNTS else row[column]
                  for column, leaf in leaves.items() if not pd.isna(row[column])}
        if row["note"] == CEILING:
            place["ceiling"] = 1
    return nested


def _place(analysis: str, row: dict[Any, Any]) -> tuple[list[Any], dict[str, str]]:
    """Under which names a row's numbers stand, and the name of each: a leaf by its column."""
    if analysis in ("matched", "noise"):
        where = [row[name] for name in ("model", "variant", "dataset", "category")]
        if row["metric"] == GRADED:
            return where, {name: f"{GRADED}_{name}" for name in _CONTRAST if name != "seeds"}
        return where, {name: name for name in _CONTRAST}
    if analysis.startswith("agreement"):
        pooled = {"low": "low", "high": "high", "items": "cells"} if row["category"] == OVERALL else {}
        return [row["category"], f"{row['dataset']}/{row['metric']}", row["against"]], {"estimate": "rho"} | pooled
    if analysis == "trend":
        where = [row["variant"], row["dataset"], row["category"], f"{row['metric']} with {row['against']}"]
        return where, {"estimate": "tau_c", "p_naive": "p_naive", "p_value": "p_value", "clusters": "runs"}
    where = [row["dataset"], row["metric"], row["model"] or "mean of models", row["variant"]]
    return where, {"estimate": "fraction", "low": "low", "high": "high", "reference": "claimed", "p_value": "p_value"}
