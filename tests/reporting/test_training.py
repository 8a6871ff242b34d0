"""What the report says of the best point to stop, and of size, from rows of the contrast table."""

from __future__ import annotations

import pandas as pd
import pytest

from stages.evidence.contrast import COLUMNS as CONTRAST_COLUMNS
from stages.evidence.entropy import BIN_COLUMNS
from stages.evidence.table import COLUMNS
from stages.evidence.trends_best import CEILING
from stages.evidence.trends_size import MIXED
from stages.reporting.training import training_section
from stages.reporting.view import Order, View

ORDER = Order(["a", "b"], ["fp32", "int8"], "fp32", (), 0.05, {"fp32": "baseline", "int8": "quantization"})
SCORES = pd.DataFrame([{"model": "a", "variant": "fp32", "dataset": "triples", "category": "overall", "metric": "ss",
                        "kind": "bias", "headline": True}]).reindex(columns=list(COLUMNS))


def section(*rows: dict[str, object]) -> str:
    contrasts = pd.DataFrame([{"dataset": "triples", "category": "overall", "metric": "lm", "note": "", **row}
                              for row in rows]).reindex(columns=list(CONTRAST_COLUMNS))
    return training_section(View(SCORES, contrasts, pd.DataFrame(columns=list(BIN_COLUMNS)), ORDER), ["triples"])


def best(model: str, *notes: str) -> list[dict[str, object]]:
    """Rows of a model: fp32, int8, and their difference, with these notes."""
    kinds = (("best", "fp32", 0.8), ("best", "int8", 0.2), ("best_difference", "int8", 0.6))
    return [{"analysis": analysis, "model": model, "variant": variant, "estimate": 1.0, "low": 0.8, "high": 1.0,
             "reference": claim, "note": note} for (analysis, variant, claim), note in zip(kinds, notes, strict=True)]


YES, NO = "as claimed", "not as claimed"


@pytest.mark.parametrize(("rows", "expected"), [
    ([*best("a", YES, NO, NO), *best("b", NO, NO, NO), *best("", NO, NO, YES)],  # the mean is no model
     "80% for fp32 in 1 of 2 models, 20% for int8 in 2 of 2 models, the difference in 2 of 2 models: for these models "
     "the data contradict the claim."),
    ([*best("a", YES, NO, NO), *best("b", YES, YES, YES)],
     "80% for fp32 in 0 of 2 models, 20% for int8 in 1 of 2 models, the difference in 1 of 2 models: the data "
     "contradict the claim for 1 of these 2 models."),
    (best("a", YES, YES, YES),
     "the difference in 0 of 1 models: for these models the data do not contradict the claim."),
])
def test_whether_the_data_contradict_the_claim_is_said_in_words(rows, expected):
    text = section(*rows)
    assert expected in text
    assert "about 80% of pretraining in full precision and at about 20% in int8, that is 60 points earlier" in text
    assert "†" not in text


def test_a_test_at_the_ceiling_is_empty_and_marked():
    text = section(*best("a", CEILING, CEILING, CEILING))
    assert "†: the LM score is at its ceiling of 100 (a)" in text
    assert "These data cannot test that." in text
    assert "| a | 100% [80%, 100%]† | 100% [80%, 100%]† | 100% [80%, 100%]† |" in text
    beside = section(*best("a", CEILING, CEILING, CEILING), *best("b", NO, NO, NO))
    assert "80% for fp32 in 1 of 1 models, 20% for int8 in 1 of 1 models, the difference in 1 of 1 models" in beside


def test_a_trend_over_sizes_names_what_it_is_over():
    row = {"analysis": "trend", "metric": "ss", "variant": "fp32", "model": "", "estimate": 0.5}
    text = section({**row, "against": "parameters", "note": MIXED},
                   {**row, "against": "parameters of bert masked", "p_value": 0.25})
    assert f"| triples SS, overall | parameters ({MIXED}) | +0.50 |" in text
    assert "| triples SS, overall | parameters of bert masked | +0.50 p 0.25 |" in text
