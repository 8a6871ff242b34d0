from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stages.evidence.settings import Compare, Verdict
from stages.evidence.table import evidence_table
from stages.evidence.verdict import with_verdicts

RULE = Compare(verdict=Verdict(lm_drop=2.0, perplexity_ratio=1.2))


def one(compare=RULE, column="verdict", **columns):
    """The verdict of one row, or another column of it; by default a change of -4 that is found, and no equivalence."""
    row = {"kind": "bias", "change": -4.0, "change_low": -6.0, "change_high": -2.0, "p_adjusted": 0.01, "p_holm": 0.01,
           "p_equivalence_adjusted": 0.9, "p_equivalence_holm": 0.9, "lm_change": np.nan,
           "word_perplexity_ratio": np.nan, "noise": np.nan,
           "p_seed": np.nan} | columns
    return with_verdicts(pd.DataFrame([row]), compare)[column].iloc[0]


@pytest.mark.parametrize(("columns", "verdict"), [
    ({}, "less"),
    ({"change": 4.0}, "more"),
    ({"p_adjusted": 0.06}, "undecided"),
    ({"change_high": 0.0}, "undecided"),  # its interval holds no change
    ({"p_adjusted": 0.05}, "undecided"),  # below the level, not at it
    ({"p_adjusted": np.nan, "p_equivalence_adjusted": np.nan}, "undecided"),  # one cluster: nothing is known
    ({"noise": 3.9}, "less"),
    ({"noise": 4.0}, "undecided"),  # training alone moves it as far
    ({"p_equivalence_adjusted": 0.04}, "equivalent"),  # found, and too small to matter
    ({"p_adjusted": 0.9, "p_equivalence_adjusted": 0.04}, "equivalent"),
    ({"lm_change": -2.1}, "degraded"),
    ({"lm_change": -2.0}, "less"),
    ({"lm_change": 5.0}, "less"),  # better quality is no damage
    ({"word_perplexity_ratio": 1.21, "p_equivalence_adjusted": 0.04}, "degraded"),
    ({"word_perplexity_ratio": 1.2}, "less"),
])
def test_the_first_of_the_rule_that_holds(columns, verdict):
    assert one(**columns) == verdict


def test_the_correction_and_the_level_are_those_of_the_params():
    strict = Compare(verdict=Verdict(correction="holm"))
    assert one(strict, p_adjusted=0.01, p_holm=0.2) == "undecided"
    assert one(strict, p_adjusted=0.2, p_holm=0.01) == "less"
    assert one(strict, p_equivalence_adjusted=0.01) == "less"
    assert one(strict, p_equivalence_holm=0.01) == "equivalent"
    assert one(Compare(confidence=0.999)) == "undecided"


@pytest.mark.parametrize("columns", [{"kind": "quality"}, {"kind": "detail"}, {"change": np.nan}])
def test_nothing_is_claimed_of_quality_details_and_parents(columns):
    assert one(**columns) is None
    assert one(column="bars", noise=1.0, **columns) is None


@pytest.mark.parametrize(("columns", "bars"), [
    ({}, ""), ({"noise": 9.0}, "checkpoints"), ({"p_seed": 0.9}, "seeds"),
    ({"noise": 9.0, "p_seed": 0.9}, "checkpoints+seeds"),
])
def test_the_noise_that_a_verdict_knew_of_stands_beside_it(columns, bars):
    assert one(column="bars", **columns) == bars


def test_a_finding_is_corrected_by_the_larger_p_of_items_and_seeds():
    about = {"model": "m", "variant": "v", "dataset": "d", "metric": "ss", "kind": "bias", "change": -1.0}
    table = evidence_table([{**about, "category": category, "p_value": p_value, "p_seed": p_seed}
                            for category, p_value, p_seed in (("a", 0.001, 0.03), ("b", 0.02, 0.001),
                                                              ("c", 0.01, np.nan), ("d", np.nan, 0.001))])
    # Benjamini and Hochberg over .03, .02, .01: .03 x 3/3 for all; Holm: .01 x 3, then .02 x 2, then not less.
    assert table["p_adjusted"].tolist()[:3] == pytest.approx([0.03, 0.03, 0.03])
    assert table["p_holm"].tolist()[:3] == pytest.approx([0.04, 0.04, 0.03])
    assert table.loc[3, ["p_adjusted", "p_holm"]].isna().all()


def test_one_source_of_noise_needs_no_list():
    assert Verdict.model_validate({"noise": "seeds"}).noise == ("seeds",)
    assert Verdict.model_validate({"noise": []}).noise == ()


def test_quality_is_that_of_the_dataset_with_most_items():
    about = {"model": "m", "variant": "int8", "category": "overall", "kind": "quality"}
    table = evidence_table([
        {**about, "dataset": "dev", "metric": "lm", "items": 10, "change": -9.0},
        {**about, "dataset": "test", "metric": "lm", "items": 90, "change": -1.0},
        {**about, "dataset": "corpus", "category": "test", "metric": "word_perplexity", "items": 5, "parent": 40.0,
         "change": 10.0},
        {**about, "dataset": "dev", "metric": "ss", "kind": "bias", "items": 10, "change": -8.0, "p_value": 0.001,
         "p_equivalence": 1.0},
    ])
    assert (table["lm_change"] == -1.0).all()
    assert (table["word_perplexity_ratio"] == 1.25).all()  # 50 / 40
    judged = with_verdicts(table, Compare()).set_index("metric")["verdict"]
    assert judged["ss"] == "less"  # at the default ratio of 1.25, and not above it
    assert with_verdicts(table, RULE).set_index("metric")["verdict"]["ss"] == "degraded"
