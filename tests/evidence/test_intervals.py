from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from stages.evidence.effective import effective_items
from stages.evidence.intervals import estimate, interval
from stages.evidence.resampling import ClusterTotals, bootstrap_draws, cluster_totals
from stages.evidence.shares import wilson


def first(means):
    return means[..., 0]


def singles(values, resamples=4000):
    totals = cluster_totals(np.arange(len(values)).astype(str), [np.asarray(values, dtype=float)])
    return totals, bootstrap_draws(totals.clusters, resamples, 0, "t")


def test_interval_of_independent_normal_values_is_the_t_interval():
    values = np.random.default_rng(1).normal(3.0, 2.0, 60)
    found = estimate(*singles(values, 20_000)[:1], first, singles(values, 20_000)[1], 0.95)
    error = values.std(ddof=1) / math.sqrt(60)
    low, high = stats.t.interval(0.95, 59, values.mean(), error)
    assert found.standard_error == pytest.approx(error)  # the jackknife of a mean is its standard error
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.08)
    assert found.method == "bca"


def test_bca_agrees_with_scipy_up_to_the_widening_for_few_clusters():
    values = np.random.default_rng(2).exponential(1.0, 400)
    totals, draws = singles(values, 20_000)
    found = estimate(totals, first, draws, 0.9)
    reference = stats.bootstrap((values,), np.mean, n_resamples=20_000, confidence_level=0.9, method="BCa",
                                rng=np.random.default_rng(0)).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(reference), abs=0.006)  # the interval is 0.17 wide


def test_duplicating_every_item_within_its_cluster_changes_nothing():
    values = np.random.default_rng(3).normal(size=40)
    clusters = np.arange(40).astype(str)
    draws = bootstrap_draws(40, 2000, 0, "t")
    once = estimate(cluster_totals(clusters, [values]), first, draws, 0.95)
    tenfold = estimate(cluster_totals(np.tile(clusters, 10), [np.tile(values, 10)]), first, draws, 0.95)
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))


def test_one_cluster_has_no_interval():
    found = estimate(ClusterTotals(np.array([[30.0]]), np.array([[40.0]])), first, bootstrap_draws(1, 100, 0), 0.95)
    assert found.value == 0.75
    assert found.method == "none"
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.standard_error)


def test_values_that_are_all_the_same_are_said_to_be_constant():
    totals, draws = singles([100.0] * 20)
    found = estimate(totals, first, draws, 0.95)
    assert (found.value, found.low, found.high, found.method) == (100.0, 100.0, 100.0, "constant")


def test_few_clusters_get_student():
    # Cluster means 1, 2, 6: mean 3, standard error sqrt(7/3); t(2, .975) = 4.302653.
    found = estimate(ClusterTotals(np.array([[1.0], [2.0], [6.0]]), np.ones((3, 1))), first,
                     bootstrap_draws(3, 500, 0), 0.95)
    assert found.method == "student"
    assert found.high - found.value == pytest.approx(4.302653 * math.sqrt(7 / 3), rel=1e-6)


def test_two_samples_get_welchs_interval():
    # Means of 3 and 4 values: the interval of their difference is scipy's for unequal variances.
    rng = np.random.default_rng(4)
    one, other = rng.normal(0, 1, 3), rng.normal(0, 3, 4)
    value = one.mean() - other.mean()
    jackknife = [np.array([np.delete(one, i).mean() - other.mean() for i in range(3)]),
                 np.array([one.mean() - np.delete(other, i).mean() for i in range(4)])]
    found = interval(value, value + rng.normal(0, 1, 500), jackknife, 0.9)
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.9)
    assert found.method == "student"
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_replicates_on_one_side_do_not_leave_the_value_outside_its_interval():
    replicates = 1.0 + np.abs(np.random.default_rng(0).normal(0.5, 0.1, 2000))
    jackknife = [np.random.default_rng(1).normal(1.0, 0.01, 50)]
    assert interval(1.0, replicates, jackknife, 0.95).low < 1.0
    folded = interval(1.0, replicates, jackknife, 0.95, folded=True)
    assert folded.method == "basic"
    assert 0 <= folded.low < folded.high == 1.0


def test_effective_items_of_repeated_answers_is_the_number_of_clusters():
    # 50 clusters of 8 equal answers carry 50 answers; the two variance estimates differ by 399/400 x 49/50.
    answers = np.random.default_rng(0).integers(0, 2, 50).astype(float)
    totals = cluster_totals(np.repeat(np.arange(50), 8).astype(str), [np.repeat(answers, 8)])
    found = estimate(totals, first, bootstrap_draws(50, 200, 0), 0.95)
    assert effective_items(np.repeat(answers, 8), found.standard_error, 50) == pytest.approx(50, rel=0.03)


def test_effective_items_of_independent_items_is_their_number():
    values = np.random.default_rng(0).normal(size=200)
    assert effective_items(values, float(values.std(ddof=1) / math.sqrt(200)), 200) == pytest.approx(200)


def test_effective_items_where_nothing_varies():
    assert effective_items(np.ones(40), 0.0, 7) == 7
    assert effective_items(np.array([0.0, 1.0] * 5), 0.0, 5) == 10
    assert effective_items(np.array([0.0, 1.0]), math.nan, 1) == 1


@pytest.mark.parametrize("macro", [False, True])
def test_clustered_intervals_cover_and_unclustered_ones_do_not(macro):
    # 40 clusters of 1 to 25 items; each cluster has its own preference, so items are far from independent.
    # With 500 simulations 95% has a standard error of 1%: coverage must lie within three of them.
    rng = np.random.default_rng(5)
    truth = stats.norm.expect(expit, loc=0.4, scale=1.0)
    held = naive = 0
    for number in range(500):
        sizes = rng.integers(1, 26, 40)
        preferred = rng.binomial(sizes, expit(rng.normal(0.4, 1.0, 40)))
        totals = (ClusterTotals((preferred / sizes)[:, None], np.ones((40, 1))) if macro
                  else ClusterTotals(preferred[:, None].astype(float), sizes[:, None].astype(float)))
        found = estimate(totals, first, bootstrap_draws(40, 1000, number), 0.95)
        held += found.low <= truth <= found.high
        low, high = wilson(preferred.sum() / sizes.sum(), sizes.sum(), 0.95)
        naive += low <= truth <= high
    assert 0.92 <= held / 500 <= 0.98
    assert naive / 500 < 0.80
