from __future__ import annotations

import math

import pytest

from stages.reporting.words import factor, markdown, number, percent, short, with_interval


@pytest.mark.parametrize(("value", "metric", "signed", "expected"), [
    (-1.25, "score", True, "−1.2"), (0.04, "ss", True, "0.0"), (-0.04, "ss", False, "0.0"), (3.0, "lm", True, "+3.0"),
    (0.126, "log_odds", False, "0.13"), (math.nan, "score", True, "–"),
])
def test_numbers(value, metric, signed, expected):
    assert number(value, metric, signed=signed) == expected


def test_intervals_are_left_out_where_there_are_none():
    assert with_interval(50.0, 40.0, 60.0, "score") == "50.0 [40.0, 60.0]"
    assert with_interval(50.0, math.nan, math.nan, "score") == "50.0"


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, "×1.00"), (1.066, "×1.07"), (9.994, "×9.99"), (24.4, "×24"),
                                                 (12345.0, "×12,345"), (math.nan, "–")])
def test_factors(ratio, expected):
    assert factor(ratio) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.855, "86%"), (-0.004, "0%"), (-0.2, "−20%"), (1.0, "100%")])
def test_percentages(share, expected):
    assert percent(share) == expected


def test_bars_in_cells_do_not_end_them():
    text = markdown(["bias", "x"], [[short("seat", "mean_abs_effect"), "1"]])
    assert text.splitlines() == ["| bias | x |", "| --- | ---: |", r"| seat \|d\| | 1 |"]
