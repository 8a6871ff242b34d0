from __future__ import annotations

import time

import numpy as np
import pytest

from stages.evidence.intervals import estimate
from stages.evidence.resampling import (
    ClusterTotals,
    bootstrap_draws,
    cluster_codes,
    cluster_totals,
    coin_tosses,
    resampled_together,
    sign_patterns,
)
from stages.evidence.seeds import generator


def first(means):
    return means[..., 0]


def test_streams_are_told_apart_by_every_name_and_the_seed():
    keys = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "ab"), (0, "b", "a")]
    drawn = [generator(seed, *names).integers(0, 2**63) for seed, *names in keys]
    assert len(set(drawn)) == len(keys)
    assert drawn[0] == generator(0, "a").integers(0, 2**63)


def test_micro_mean_weighs_items_and_macro_mean_weighs_clusters():
    # a: 1, 0, 1 (mean 2/3); b: 0 (mean 0). Over items 2/4 = 0.5; over clusters (2/3 + 0) / 2 = 1/3.
    clusters, values = np.array(["a", "b", "a", "a"]), np.array([1.0, 0.0, 0.0, 1.0])
    assert cluster_totals(clusters, [values]).means() == pytest.approx([0.5])
    assert cluster_totals(clusters, [values], macro=True).means() == pytest.approx([1 / 3])


def test_weights_make_a_ratio():
    # Losses 6 and 4 over 3 and 1 tokens: 10 / 4, not the mean of 2 and 4.
    totals = cluster_totals(np.array(["a", "b"]), [np.array([6.0, 4.0])], [np.array([3.0, 1.0])])
    assert totals.means() == pytest.approx([2.5])
    assert totals.leave_one_out() == pytest.approx(np.array([[4.0], [2.0]]))


def test_resampled_means_are_those_of_the_items_of_the_drawn_clusters():
    rng = np.random.default_rng(0)
    clusters, values = rng.integers(0, 7, 40).astype(str), rng.normal(size=40)
    draws = bootstrap_draws(len(set(clusters)), 50, 0, "t")
    got = cluster_totals(clusters, [values]).resampled(draws)[:, 0]
    names = sorted(set(clusters))
    for weights, mean in zip(draws, got, strict=True):
        items = np.concatenate([np.tile(values[clusters == name], times)
                                for name, times in zip(names, weights, strict=True)])
        assert mean == pytest.approx(items.mean())


def test_draws_are_a_bootstrap_of_whole_clusters():
    draws = bootstrap_draws(30, 4000, 0, "x")
    assert (draws.sum(axis=1) == 30).all()
    # A cluster's count is binomial(30, 1/30): mean 1, variance 29/30.
    assert draws.mean() == 1
    assert draws.var() == pytest.approx(29 / 30, abs=0.02)
    assert not np.array_equal(draws, bootstrap_draws(30, 4000, 0, "y"))
    with pytest.raises(ValueError, match="read-only"):
        draws[0, 0] = 1


def test_few_clusters_get_every_sign_pattern_once():
    signs = sign_patterns(4, 100, 0)
    assert sorted(map(tuple, signs.tolist())) == sorted({tuple(row) for row in signs.tolist()})
    assert signs.shape == (16, 4)
    assert sign_patterns(20, 100, 0).shape == (100, 20)
    assert set(np.unique(coin_tosses(20, 100, 0))) == {0, 1}


def test_ten_thousand_resamples_of_6392_items_take_under_two_seconds():
    rng = np.random.default_rng(0)
    for clusters in (np.arange(6392), rng.integers(0, 321, 6392)):
        totals = cluster_totals(clusters, [rng.integers(0, 2, 6392)])
        start = time.process_time()
        bootstrap_draws.cache_clear()
        estimate(totals, first, bootstrap_draws(totals.clusters, 10_000, 0, "speed"), 0.95)
        assert time.process_time() - start < 2


def test_a_hundred_models_cost_little_more_than_one():
    rng = np.random.default_rng(0)
    codes = np.concatenate([np.arange(885), rng.integers(0, 885, 623)])
    parts = [cluster_totals(codes, [rng.integers(0, 2, 1508)]) for _ in range(100)]
    draws = bootstrap_draws(885, 10_000, 0, "many")
    start = time.process_time()
    assert len(resampled_together(parts, draws)) == 100
    assert time.process_time() - start < 2


def test_totals_of_one_cluster_are_its_mean():
    assert ClusterTotals(np.array([[3.0]]), np.array([[4.0]])).means() == pytest.approx([0.75])


def test_many_totals_resampled_together_are_each_resampled_alone():
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 12, 90).astype(str)
    shared = rng.normal(size=90)
    parts = [cluster_totals(clusters, [shared, rng.normal(size=90)], [np.ones(90), rng.integers(1, 5, 90)])
             for _ in range(5)]
    draws = bootstrap_draws(12, 300, 0, "t")
    sums = draws.astype(float)
    for part, got in zip(parts, resampled_together(parts, draws), strict=True):
        assert got == pytest.approx((sums @ part.value) / (sums @ part.weight), rel=1e-12)


def test_a_resample_without_anything_that_counts_is_no_number():
    totals = cluster_totals(np.array(["a", "b"]), [np.array([1.0, 0.0])], [np.array([1.0, 0.0])])
    found = totals.resampled(np.array([[1, 1], [0, 2], [2, 0]], dtype=np.uint16))[:, 0]
    assert found.tolist()[::2] == [1.0, 1.0]
    assert np.isnan(found[1])


def test_codes_are_in_the_sorted_order_of_the_labels_as_text():
    assert cluster_codes(np.array(["b", "a", "b", "c"])).tolist() == [1, 0, 1, 2]
    assert cluster_codes(np.array([10, 9, 10])).tolist() == [0, 1, 0]
    assert cluster_totals(np.array([1, 0, 1]), [np.array([1.0, 2.0, 4.0])]).value[:, 0].tolist() == [2.0, 5.0]
