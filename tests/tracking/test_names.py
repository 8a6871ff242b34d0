"""Names and values as MLflow takes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from stages.common.errors import DataError
from stages.tracking.names import cut, flatten, metric_name, params_of

HERE = Path("metrics.json")
WORDS = st.text(min_size=1, max_size=20).filter(lambda word: word.strip(" ./"))


def test_leaves_are_grouped_by_dataset_and_dotted_below() -> None:
    flat = flatten({"seat": {"gender": {"sent-weat6b": {"d": 0.5}}}, "verdict": "less", "ok": True}, HERE)
    assert flat == {"seat/gender.sent-weat6b.d": 0.5, "verdict": "less", "ok": True}


def test_a_slash_inside_a_name_opens_no_second_group() -> None:
    assert metric_name(["crows_pairs", "race/colour", "score (%)"]) == "crows_pairs/race_colour.score ___"


def test_two_metrics_never_share_a_name() -> None:
    with pytest.raises(DataError, match="two metrics have the name a/b_c"):
        flatten({"a": {"b/c": 1, "b+c": 2}}, HERE)


@pytest.mark.parametrize("leaf", [None, [1, 2]])
def test_what_is_no_number_is_refused(leaf: object) -> None:
    with pytest.raises(DataError, match=r"a/b is .*, not a number"):
        flatten({"a": {"b": leaf}}, HERE)


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_mlflow_takes_every_metric_name(parts: list[str]) -> None:
    _validate_metric_name(metric_name(parts))


def test_params_are_dotted_with_lists_as_json_and_none_left_out() -> None:
    flat = params_of({"seed": 7, "model": {"path": "a/b", "revision": None, "points": [1, 100], "tied": True}})
    assert flat == {"seed": "7", "model.path": "a/b", "model.points": "[1, 100]", "model.tied": "true"}
    for name in flat:
        _validate_param_name(name)


def test_long_values_that_differ_at_the_end_stay_different() -> None:
    one, other = cut("x" * 9000 + "1", 6000), cut("x" * 9000 + "2", 6000)
    assert len(one) == len(other) == 6000
    assert one != other
    assert cut("x" * 6000, 6000) == "x" * 6000
