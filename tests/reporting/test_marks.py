from __future__ import annotations

import math

import pytest

from stages.reporting.marks import change_alone, change_text, contrast_text, level_text

LEVEL = {"value": 55.0, "ci_low": 51.0, "ci_high": 59.0, "inside_floor": math.nan, "biased": math.nan}
CHANGE = {"change": -2.0, "change_low": -3.0, "change_high": -1.0, "p_adjusted": 0.01, "flips_more": 3.0,
          "flips_less": 5.0}


@pytest.mark.parametrize(("marks", "expected"), [
    ({}, "55.0 [51.0, 59.0]"), ({"inside_floor": 1.0, "biased": 0.0}, "55.0 [51.0, 59.0]°"),
    ({"inside_floor": 0.0, "biased": 1.0}, "55.0 [51.0, 59.0] biased"),
])
def test_a_level_says_where_it_lies(marks, expected):
    assert level_text(LEVEL | marks, "score") == expected


@pytest.mark.parametrize(("columns", "bold"), [
    ({}, True), ({"p_adjusted": 0.05}, False),
    ({"change_high": 0.1}, False),  # a test that takes the words as given finds it, their sampling does not
    ({"change": 2.0, "change_low": 1.0, "change_high": 3.0}, True), ({"change_low": 0.0, "change_high": 4.0}, False),
    ({"change_low": -4.0, "change_high": 0.0}, False), ({"p_adjusted": math.nan}, False),
])
def test_bold_needs_the_test_and_the_interval(columns, bold):
    text = change_alone(CHANGE | columns, "score", 0.05)
    assert (text.startswith("**") and text.endswith("**")) == bold
    assert text.count("**") in (0, 2)


def test_flips_stand_beside_a_change_outside_the_bold():
    assert change_text(CHANGE, "score", 0.05) == "**−2.0 [−3.0, −1.0]** ↑3 ↓5"
    assert change_text(CHANGE | {"flips_more": math.nan}, "score", 0.05) == "**−2.0 [−3.0, −1.0]**"


def test_contrasts_are_bold_by_the_same_rule():
    row = {"estimate": 0.4, "low": 0.1, "high": 0.7, "p_adjusted": 0.04}
    assert contrast_text(row, "log_odds", 0.05) == "**+0.40 [0.10, 0.70]**"
    assert contrast_text(row | {"low": -0.1}, "log_odds", 0.05) == "+0.40 [−0.10, 0.70]"
    assert contrast_text(row | {"estimate": math.nan}, "log_odds", 0.05) == "–"
    assert contrast_text(None, "log_odds", 0.05) == "–"
