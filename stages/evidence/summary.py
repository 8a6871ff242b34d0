"""The numbers of a suite to watch: of every cell the headline metric, what is claimed of it, and what stands beside."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stages.evidence.entropy import flip_contrast
from stages.evidence.table import OVERALL, worst_moving

LEAVES = (
    "value", "ci_low", "ci_high", "wilson_low", "wilson_high", "items", "clusters", "effective_items",
    "floor_low", "floor_high", "floor_sds", "inside_floor", "null_low", "null_high", "inside_null", "biased",
    "change", "change_low", "change_high", "standard_error", "minimum_detectable",
    "flips_more", "flips_less", "p_mcnemar", "p_value", "p_seed", "p_adjusted", "p_holm",
    "p_equivalence", "p_equivalence_adjusted", "noise", "verdict",
)
"""Columns of the evidence table that a cell of the summary holds of its headline, where they apply: ``noise`` and
``p_seed`` stand where that noise of training was known to the verdict."""
BESIDE = {
    "log_odds": {
        "value": "log_odds",
        **{name: f"log_odds_{name}" for name in ("ci_low", "ci_high", "inside_floor", "change", "change_low",
                                                 "change_high", "p_adjusted", "verdict")},
    },
    "lm": {"value": "lm", "change": "lm_change"},
}
"""Columns of other metrics, and their leaves in the headline's cell."""
_COUNTS = ("items", "clusters", "flips_more", "flips_less", "inside_floor", "inside_null", "biased")


def summary(table: pd.DataFrame, bins: pd.DataFrame) -> dict[str, Any]:
    """The headline metric of every cell as ``{model: {variant: {dataset: {category: {leaf: number or word}}}}}``.

    Beside the headline's ``LEAVES`` stand the graded ``log_odds`` and StereoSet's language-model score. Of each
    dataset, ``overall`` also has the group that moved most beside the average
    (``stages.evidence.table.worst_moving``), and flips by the parent's entropy (``stages.evidence.entropy``).
    What does not apply (the change of a parent, the interval of a single cluster) is left out.
    """
    nested: dict[str, Any] = {}

    def cell(row: dict[Any, Any], category: str) -> dict[str, Any]:
        dataset = nested.setdefault(row["model"], {}).setdefault(row["variant"], {}).setdefault(row["dataset"], {})
        found: dict[str, Any] = dataset.setdefault(category, {})
        return found

    for row in table[table["kind"] != "detail"].to_dict("records"):
        leaves = {name: name for name in LEAVES} if row["headline"] else BESIDE.get(row["metric"])
        if leaves is not None:
            cell(row, row["category"]).update(_leaves(row, leaves))
    for row in worst_moving(table).to_dict("records"):
        cell(row, OVERALL).update({name: row[name] for name in ("worst_category", "worst_change", "mean_abs_change")})
    for (model, variant, dataset), rows in bins.groupby(["model", "variant", "dataset"]):
        cell({"model": model, "variant": variant, "dataset": dataset}, OVERALL).update(flip_contrast(rows))
    return nested


def _leaves(row: dict[Any, Any], names: dict[str, str]) -> dict[str, int | float | str]:
    found = {leaf: (column, row[column]) for column, leaf in names.items() if not pd.isna(row[column])}
    return {leaf: int(value) if column in _COUNTS else value for leaf, (column, value) in found.items()}
