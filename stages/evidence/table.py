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
    "p_mcnemar": "float64", "p_value": "float64", "p_seed": "float64", "p_adjusted": "float64", "p_holm": "float64",
    "p_equivalence": "float64", "p_equivalence_adjusted": "float64", "p_equivalence_holm": "float64",
    "lm_change": "float64", "perplexity_change": "float64", "word_perplexity_ratio": "float64",
    "noise": "float64", "bars": "string", "verdict": "string",
    "floor_low": "float64", "floor_high": "float64", "inside_floor": "float64", "floor_sds": "float64",
    "null_low": "float64", "null_high": "float64", "inside_null": "float64",
    "biased": "float64",
}
"""Columns of the evidence table; what does not apply to a row is null.

``value`` is the metric with its interval (``ci_*``; ``wilson_*`` takes items as independent). ``parent`` and
``change`` are over the ``paired_items`` that both models could score. ``p_value`` is a permutation test that
respects clusters, ``p_seed`` how likely another seed of training changes as much (``stages.evidence.training_noise``);
``p_adjusted`` (Benjamini and Hochberg) and ``p_holm`` correct the larger of the two, or the one that is known, over
all rows of the same ``kind``; ``p_equivalence`` (TOST at the margin of ``compare.equivalence``) likewise.
``lm_change``, ``perplexity_change`` and ``word_perplexity_ratio`` repeat the change in quality beside every row.
``noise`` bounds the changes that training itself makes between checkpoints; ``verdict`` (of children's bias rows)
follows ``compare.verdict``, and ``bars`` names the noise of training that it had to exceed.
``floor_*`` hold the value that an untrained network of the architecture would get, ``floor_sds`` is the distance of
``value`` from their mean in standard deviations; ``null_*`` are the quantiles of a model without context;
``inside_*`` is 1 where ``value`` lies within. ``biased`` is 1 where ``value`` is told from no preference
(``stages.evidence.level``).
"""
_DECIMALS = 9


def evidence_table(rows: Iterable[Mapping[str, str | float]]) -> pd.DataFrame:
    """Rows of the grid as a sorted table with ``COLUMNS``, p-values corrected, quality beside bias."""
    table = corrected(rounded(pd.DataFrame(list(rows), columns=list(COLUMNS))))
    keys = pd.MultiIndex.from_frame(table[["model", "variant"]])
    for metric in ("lm", "perplexity"):
        changes = quality_rows(table, metric).set_index(["model", "variant"])["change"]
        table[f"{metric}_change"] = changes.reindex(keys).to_numpy()
    words = quality_rows(table, "word_perplexity").set_index(["model", "variant"])
    table["word_perplexity_ratio"] = (1 + words["change"] / words["parent"]).reindex(keys).round(_DECIMALS).to_numpy()
    return table.sort_values(list(NAMES), ignore_index=True)


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its p-values corrected over all rows of each kind.

    A finding claims that items tell the two models apart, and that another seed would not have done the same: its p
    is the larger of ``p_value`` and ``p_seed``.
    """
    table = table.copy()
    difference = table[["p_value", "p_seed"]].max(axis=1).where(table["p_value"].notna())
    for p_values, by_bh, by_holm in ((difference, "p_adjusted", "p_holm"),
                                     (table["p_equivalence"], "p_equivalence_adjusted", "p_equivalence_holm")):
        for kind in KINDS:
            tested = (table["kind"] == kind) & p_values.notna()
            chosen = p_values[tested].to_numpy(dtype=np.float64)
            table.loc[tested, by_bh] = benjamini_hochberg(chosen).round(_DECIMALS)
            table.loc[tested, by_holm] = holm(chosen).round(_DECIMALS)
    return table


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its numbers rounded, so that float noise does not change its bytes."""
    numbers = [name for name, kind in COLUMNS.items() if kind == "float64"]
    return table.assign(**table[numbers].astype("float64").round(_DECIMALS))


def quality_rows(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row a model and variant: its ``lm`` (of all categories together), ``perplexity`` or ``word_perplexity``.

    Where several datasets give it, the one of most items counts.
    """
    rows = table[(table["metric"] == metric) & ((table["category"] == OVERALL) | (metric != "lm"))]
    rows = rows.sort_values(["items", "dataset"], ascending=[False, True], kind="stable")
    return rows.drop_duplicates(["model", "variant"])


def worst_moving(table: pd.DataFrame) -> pd.DataFrame:
    """Which group's headline moved most, a row a model, variant and dataset with two groups or more.

    Returns:
        ``model``, ``variant``, ``dataset``, ``worst_category``, ``worst_change`` (signed) and
        ``mean_abs_change``, the mean size of change over the groups.
    """
    keys = ["model", "variant", "dataset"]
    rows = table[table["headline"] & (table["kind"] == "bias") & (table["category"] != OVERALL)
                 & table["change"].notna()]
    rows = rows.assign(size=rows["change"].abs())
    groups = rows.groupby(keys)["size"]
    worst = rows.sort_values("size", ascending=False, kind="stable").drop_duplicates(keys).set_index(keys)
    found = pd.DataFrame({"worst_category": worst["category"], "worst_change": worst["change"],
                          "mean_abs_change": groups.mean()}).sort_index()
    return found[groups.size() > 1].reset_index()
