from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from stages.evidence.agreement import Settings, agreement_rows, measures_by_cell, weighted_ranks
from stages.evidence.table import COLUMNS

SETTINGS = Settings(300, 0.95, 0)


def table(models: int = 3, variants: int = 4, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for model in range(models):
        for variant in range(variants):
            where = {"model": f"m{model}", "variant": f"v{variant}"}
            bias = rng.normal()
            for dataset, category, metric, kind, value in (
                ("cp", "gender", "score", "bias", 50 + bias), ("cp", "overall", "score", "bias", 50 + bias),
                ("ss", "gender", "ss", "bias", 50 - bias), ("ss", "overall", "ss", "bias", 50 - bias),
                ("seat", "gender", "mean_abs_effect", "bias", bias), ("seat", "race", "mean_abs_effect", "bias", 1.0),
                ("ss", "overall", "lm", "quality", rng.normal()), ("text", "test", "word_perplexity", "quality", 9.0),
            ):
                rows.append({**where, "dataset": dataset, "category": category, "metric": metric, "kind": kind,
                             "value": value, "items": 10, "change": np.nan if variant == 0 else value})
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


@given(values=st.lists(st.integers(0, 5), min_size=2, max_size=8), seed=st.integers(0, 99))
def test_weighted_ranks_are_the_ranks_of_the_repeated_values(values, seed):
    x = np.array(values, dtype=float)
    weights = np.random.default_rng(seed).integers(0, 3, len(x))
    ranks = weighted_ranks(x, weights[None].astype(float))[0]
    repeated = rankdata(np.repeat(x, weights))
    assert ranks[weights > 0] == pytest.approx([repeated[np.repeat(x, weights) == v][0] for v in x[weights > 0]])


def test_correlations_are_spearmans():
    evidence = table()
    rows = pd.DataFrame(agreement_rows(evidence, ("gender",), SETTINGS))
    levels = rows[(rows["analysis"] == "agreement") & (rows["category"] == "gender")]
    wide = measures_by_cell(evidence, "gender", "value")
    assert list(wide.columns) == ["cp/score", "ss/ss", "seat/mean_abs_effect", "ss/lm", "text/word_perplexity"]
    for row in levels.to_dict("records"):
        one = f"{row['dataset']}/{row['metric']}"
        assert row["estimate"] == pytest.approx(spearmanr(wide[one], wide[row["against"]]).statistic)
        if abs(row["estimate"]) < 1:
            assert row["low"] <= row["estimate"] <= row["high"]
        assert row["items"] == 12
    pair = levels[(levels["metric"] == "score") & (levels["against"] == "ss/ss")].iloc[0]
    assert pair["estimate"] == pytest.approx(-1)
    assert np.isnan(pair["low"])  # a dozen cells in one order are no certainty
    assert "text/word_perplexity" not in set(levels["against"])  # it does not vary, so it has no ranks


def test_association_over_all_categories_is_the_mean_over_them():
    evidence = table()
    wide = measures_by_cell(evidence, "overall", "value")
    gender = measures_by_cell(evidence, "gender", "value")["seat/mean_abs_effect"]
    assert wide["seat/mean_abs_effect"].to_numpy() == pytest.approx((gender.to_numpy() + 1) / 2)


def test_changes_leave_the_parents_out_and_cells_without_a_measure_too():
    evidence = table()
    evidence = evidence[~((evidence["model"] == "m2") & (evidence["dataset"] == "cp"))]
    rows = pd.DataFrame(agreement_rows(evidence, ("gender",), SETTINGS))
    changes = rows[(rows["analysis"] == "agreement_changes") & (rows["category"] == "gender")]
    sizes = {(row["metric"], row["against"]): row["items"] for row in changes.to_dict("records")}
    assert sizes["score", "ss/ss"] == 6
    assert sizes["ss", "seat/mean_abs_effect"] == 9


def test_whole_models_are_resampled_where_there_are_enough():
    few = pd.DataFrame(agreement_rows(table(models=3), ("gender",), SETTINGS))
    many = pd.DataFrame(agreement_rows(table(models=9), ("gender",), SETTINGS))
    assert set(few.loc[few["analysis"] == "agreement", "clusters"]) == {12}
    assert set(many["clusters"]) == {9}


def test_too_few_cells_give_no_correlation():
    assert list(agreement_rows(table(models=1, variants=4), ("gender",), SETTINGS)) == []
