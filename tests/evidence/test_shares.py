from __future__ import annotations

import math

import pytest
from scipy import stats

from stages.evidence.intervals import Estimate
from stages.evidence.paired import equivalence_unmoved
from stages.evidence.shares import percentage, same_change, wilson


def found(value, low=math.nan, high=math.nan, method="bca"):
    return Estimate(value, low, high, method, 0.0, 9.0, 10)


def test_wilson_is_textbook():
    # Newcombe (1998), table I: 81 of 263 gives .2553 to .3662.
    assert wilson(81 / 263, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0.0, 10, 0.95)[0] == 0.0
    assert 0.65 < wilson(1.0, 10, 0.95)[0] < 0.75


def test_a_percentage_stays_within_its_range():
    kept = percentage(found(97.0, 92.0, 103.5, "student"), 10, 0.95)
    assert (kept.low, kept.high, kept.method) == (92.0, 100.0, "student")
    assert math.isnan(percentage(found(97.0, method="none"), 1, 0.95).low)


def test_a_constant_percentage_gets_wilsons_interval_of_its_effective_clusters():
    # 4.5 of 4.5 at z = 1.959964: 4.5 / (4.5 + 3.841459).
    low, high = (percentage(found(value, value, value, "constant"), 4.5, 0.95) for value in (0.0, 100.0))
    assert (high.low, high.high) == pytest.approx((100 * 4.5 / 8.341459, 100.0), abs=1e-5)
    assert (low.low, low.high) == pytest.approx((0.0, 100 * 3.841459 / 8.341459), abs=1e-5)
    assert low.method == high.method == "wilson"


@pytest.mark.parametrize("clusters", [5, 60])
def test_what_none_of_n_saw_is_the_exact_binomial_bound(clusters):
    # Clopper and Pearson's one-sided bound of 0 of n.
    bound = same_change(found(0.0, 0.0, 0.0, "constant"), clusters, 0.95)
    exact = stats.binomtest(0, clusters, alternative="less").proportion_ci(0.95, method="exact").high
    assert bound.high == -bound.low == pytest.approx(100 * exact)
    assert (bound.value, bound.method) == (0.0, "unmoved")


def test_the_bound_of_no_flips_and_its_equivalence_agree():
    bound = same_change(found(0.0, 0.0, 0.0, "constant"), 17.9, 0.95)
    assert equivalence_unmoved(17.9, bound.high) == pytest.approx(0.05)
    assert equivalence_unmoved(17.9, bound.high + 0.1) < 0.05 < equivalence_unmoved(17.9, bound.high - 0.1)


def test_where_every_preference_flips_some_might_not_have():
    # 1 - 0.05^(1/4) = 0.5271 of all clusters might change by -100 instead of 100: 100 - 200 x 0.5271.
    bound = same_change(found(100.0, 100.0, 100.0, "constant"), 4.0, 0.95)
    assert (bound.low, bound.high) == pytest.approx((100 - 200 * 0.527129, 100.0), abs=1e-3)
