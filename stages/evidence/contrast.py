"""Settings and table of the contrasts: what of a change is bias, and what is damage.

A compressed model is worse than its parent, and a worse model shows less of everything. So each is
also compared with something as good as itself that was never compressed: an earlier checkpoint of
its parent (``stages.evidence.matched``), or the parent under noise of the same size (``contrast_noise``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from stages.evidence.multiplicity import benjamini_hochberg

Row = dict[str, str | float]

COLUMNS = {
    **dict.fromkeys(("analysis", "model", "variant", "dataset", "category", "metric", "against", "note"), "string"),
    "value": "float64", "reference": "float64",
    "estimate": "float64", "low": "float64", "high": "float64", "method": "string", "standard_error": "float64",
    "p_value": "float64", "p_adjusted": "float64", "p_naive": "float64",
    "items": "float64", "clusters": "float64", "seeds": "float64",
    "fraction": "float64", "fraction_low": "float64", "fraction_high": "float64",
}
"""Columns of the contrast table; what does not apply to a row is null. By ``analysis``:

``matched``, ``noise``: ``estimate`` is ``value`` (of the compressed model) less ``reference`` (of what it is
compared with, named in ``against``); ``fraction`` is how much of its parent's training the match stands for.
``agreement``, ``agreement_changes``: Spearman's correlation over models and variants of a metric with ``against``.
``trend``: Kendall's tau-c of a metric with ``against``; ``p_naive`` takes checkpoints as independent.
``best``: the fraction of pretraining of the best checkpoint by ``metric``; ``best_difference``: baseline less variant.
``note`` says whether the interval holds the ``reference`` that is claimed, or that the metric is at its ceiling.

``p_adjusted`` corrects ``p_value`` over all rows of the same analysis (Benjamini-Hochberg).
"""
HEADLINES = ("score", "ss", "mean_abs_effect")
"""The bias metric of each measure that counts."""
GRADED = "log_odds"
"""The graded one beside those that count preferences."""
NAMES = ("analysis", "model", "variant", "dataset", "category", "metric", "against")
_DECIMALS = 9


def contrast_table(rows: Iterable[Mapping[str, str | float]]) -> pd.DataFrame:
    """Rows of all analyses as a sorted table with ``COLUMNS``, p-values corrected within each analysis."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    for name, kind in COLUMNS.items():
        table[name] = table[name].astype("float64").round(_DECIMALS) if kind == "float64" else table[name].fillna("")
    for _, part in table[table["p_value"].notna()].groupby("analysis"):
        adjusted = benjamini_hochberg(part["p_value"].to_numpy(dtype=np.float64))
        table.loc[part.index, "p_adjusted"] = adjusted.round(_DECIMALS)
    return table.sort_values(list(NAMES), ignore_index=True)
