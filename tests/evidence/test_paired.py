from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stages.evidence.multiplicity import benjamini_hochberg, holm
from stages.evidence.paired import (
    equivalence,
    equivalence_unmoved,
    flips,
    mcnemar,
    minimum_detectable,
    sign_flip,
    sign_flips,
)
from stages.evidence.resampling import sign_patterns


def test_flips_are_counted_each_way():
    # items 0 and 3 turn to the stereotype, item 1 turns away; net +1 hides 3 flips.
    assert flips(np.array([0, 1, 1, 0, 0]), np.array([1, 0, 1, 1, 0])) == (2, 1)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(more, less):
    expected = stats.binomtest(more, more + less, 0.5).pvalue if more + less else 1.0
    assert mcnemar(more, less) == pytest.approx(expected, rel=1e-9)


def test_sign_flip_is_exact_for_few_clusters():
    # Of the 2^4 signed sums of 1, 2, 3, 4 those of magnitude 10 are 2: p = 2/16.
    assert sign_flip(np.array([1.0, 2.0, 3.0, 4.0]), sign_patterns(4, 1000, 0)) == pytest.approx(2 / 16)
    differences = np.array([1.5, -0.5, 2.0, 0.3, -2.9])
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((-1, 1), repeat=5)]
    expected = np.mean([total >= abs(differences.sum()) - 1e-12 for total in sums])
    assert sign_flip(differences, sign_patterns(5, 1000, 0)) == pytest.approx(expected)


def test_patterns_that_tie_with_the_observed_one_count_half():
    # Of the 32 signed sums of 1, 1, 1, 1, -1 two are 5 and ten are 3, as observed: (2 + 2 + 8 / 2) / 32.
    differences = np.array([1.0, 1.0, 1.0, 1.0, -1.0])
    assert sign_flip(differences, sign_patterns(5, 1000, 0)) == pytest.approx(8 / 32)
    assert sign_flip(np.array([1.0, -1.0, 2.0, -2.0]), sign_patterns(4, 1000, 0)) == 1.0


def test_sampled_sign_flip_agrees_with_the_t_test_and_is_never_zero():
    differences = np.random.default_rng(0).normal(0.25, 1.0, 80)
    signs = sign_patterns(80, 20_000, 0)
    assert sign_flip(differences, signs) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert sign_flip(np.ones(80), signs) == pytest.approx(1 / 20_001)


def test_no_difference_at_all_is_p_one():
    assert sign_flip(np.zeros(30), sign_patterns(30, 100, 0)) == 1.0
    assert mcnemar(0, 0) == 1.0


def test_sign_flip_holds_its_level_where_mcnemar_does_not():
    # No change on average, but whole clusters of 10 items flip together.
    rng = np.random.default_rng(1)
    signs = sign_patterns(25, 1000, 0)
    clustered = independent = 0
    for _ in range(400):
        moved = rng.choice([-1, 0, 1], size=25, p=[0.25, 0.5, 0.25])
        clustered += sign_flip(10.0 * moved, signs) < 0.05
        independent += mcnemar(10 * int((moved > 0).sum()), 10 * int((moved < 0).sum())) < 0.05
    assert clustered / 400 <= 0.08  # 5% with a standard error of 1.1%
    assert independent / 400 > 0.3


def test_equivalence_is_two_one_sided_tests():
    values = np.random.default_rng(0).normal(0.3, 1.0, 50)
    error = float(values.std(ddof=1) / math.sqrt(50))
    expected = max(stats.ttest_1samp(values, -1.0, alternative="greater").pvalue,
                   stats.ttest_1samp(values, 1.0, alternative="less").pvalue)
    assert equivalence(float(values.mean()), error, 49, 1.0) == pytest.approx(expected)
    assert equivalence(2.0, 0.1, 50, 1.0) > 0.99
    assert equivalence(0.0, 0.0, 50, 1.0) == 0.0
    assert equivalence(1.0, 0.0, 50, 1.0) == 1.0
    assert math.isnan(equivalence(0.0, math.nan, 0, 1.0))


def test_minimum_detectable_change_is_found_with_the_power_asked_for():
    # 400 studies of 60 clusters whose true change is the MDC of their standard error (1/sqrt(60)).
    change = minimum_detectable(1 / math.sqrt(60), 59, alpha=0.05, power=0.8)
    rng = np.random.default_rng(2)
    p = stats.ttest_1samp(rng.normal(change, 1.0, (400, 60)), 0, axis=1).pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.06)  # three standard errors of 2%
    assert math.isnan(minimum_detectable(math.nan, 0, 0.05, 0.8))


def test_corrections_by_hand():
    # p sorted .01 .02 .04 .9, n = 4. BH: .01x4/1, .02x4/2, .04x4/3, .9x4/4 = .04 .04 .0533 .9 (minima from the right).
    # Holm: .01x4, .02x3, .04x2, .9x1 = .04 .06 .08 .9 (maxima from the left).
    p = np.array([0.04, 0.01, 0.9, 0.02])
    assert benjamini_hochberg(p) == pytest.approx([0.16 / 3, 0.04, 0.9, 0.04])
    assert holm(p) == pytest.approx([0.08, 0.04, 0.9, 0.06])
    assert len(benjamini_hochberg(np.array([]))) == len(holm(np.array([]))) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrections_agree_with_scipy_and_order(p):
    adjusted = benjamini_hochberg(np.array(p))
    assert adjusted == pytest.approx(stats.false_discovery_control(p))
    assert np.all(adjusted <= holm(np.array(p)) + 1e-12)


@pytest.mark.parametrize("clusters", [5, 30])
def test_sign_flips_of_many_are_those_of_each(clusters):
    differences = np.random.default_rng(0).normal(0.2, 1.0, (clusters, 4))
    differences[:, 2] = 0.0
    signs = sign_patterns(clusters, 500, 0)
    sums = np.abs(signs.astype(float) @ differences)
    extreme = (sums >= np.abs(differences.sum(axis=0)) - 1e-9).sum(axis=0)
    expected = extreme / 32 if clusters == 5 else (1 + extreme) / 501
    assert sign_flips(differences, signs) == pytest.approx(expected)
    assert sign_flips(differences, signs)[2] == 1.0


def test_no_flips_are_equivalence_only_of_many_clusters():
    # A change of 3 points would leave none of 98 clusters flipped with probability .97^98 = .0505, of 99 with .0490.
    assert equivalence_unmoved(98, 3.0) > 0.05 > equivalence_unmoved(99, 3.0)
    assert equivalence_unmoved(5, 250.0) == 0.0
