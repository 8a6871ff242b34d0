"""The evidence table: its columns, the corrections over the whole of it, and quality beside every row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from stages.evidence.multiplicity import benjamini_hochberg, holm

OVERALL = "overall"
"""All categories of a dataset together."""
KINDS = ("bias", "quality", "detail")
"""What is claimed about bias; what is claimed about language modelling; parts of a bias metric (SEAT's tests)."""
NAMES = ("model", "variant", "dataset", "category", "metric")
COLUMNS = {
    **dict.fromkeys((*NAMES, "kind"), "string"),
    "headline": "bool",
    "value": "float64", "ci_low": "float64", "ci_high": "float64", "ci_method": "string",
    "wilson_low": "float64", "wilson_high": "float64",
    "items": "float64", "clusters": "float64", "effective_items": "float64",
    "parent": "float64", "paired_items": "float64",
    "change": "float64", "change_low": "float64", "change_high": "float64", "change_method": "string",
    "standard_error": "float64", "minimum_detectable": "float64",
    "flips_more": "float64", "flips_less": "float64",
    "p_mcnemar": "float64", "p_value": "float64", "p_adjusted": "float64", "p_holm": "float64",
    "p_equivalence": "float64",
    "lm_change": "float64", "perplexity_change": "float64",
}
"""Columns of the evidence table; what does not apply to a row is null.

``value`` is the metric with its interval (``ci_*``; ``wilson_*`` takes items as independent). ``parent`` and
``change`` are over the ``paired_items`` that both models could score. ``p_value`` is a permutation test that
respects clusters, ``p_adjusted`` and ``p_holm`` correct it over all rows of the same ``kind``.
``lm_change`` and ``perplexity_change`` repeat the change in quality beside every row.
"""
_DECIMALS = 9


def evidence_table(rows: Iterable[Mapping[str, str | float]]) -> pd.DataFrame:
    """Rows of the grid as a sorted table with ``COLUMNS``, p-values corrected, quality beside bias."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    numbers = [name for name, kind in COLUMNS.items() if kind == "float64"]
    table[numbers] = table[numbers].astype("float64").round(_DECIMALS)
    for kind in KINDS:
        tested = (table["kind"] == kind) & table["p_value"].notna()
        p_values = table.loc[tested, "p_value"].to_numpy(dtype=np.float64)
        table.loc[tested, "p_adjusted"] = benjamini_hochberg(p_values).round(_DECIMALS)
        table.loc[tested, "p_holm"] = holm(p_values).round(_DECIMALS)
    for metric in ("lm", "perplexity"):
        changes = quality_rows(table, metric).set_index(["model", "variant"])["change"]
        keys = pd.MultiIndex.from_frame(table[["model", "variant"]])
        table[f"{metric}_change"] = changes.reindex(keys).to_numpy()
    return table.sort_values(list(NAMES), ignore_index=True)


def quality_rows(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row a model and variant: its ``lm`` (of all categories together) or ``perplexity``.

    Where several datasets give it, the one of most items counts.
    """
    rows = table[(table["metric"] == metric) & ((table["category"] == OVERALL) | (metric != "lm"))]
    rows = rows.sort_values(["items", "dataset"], ascending=[False, True], kind="stable")
    return rows.drop_duplicates(["model", "variant"])
