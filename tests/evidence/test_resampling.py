from __future__ import annotations

import time

import numpy as np
import pytest

from stages.evidence.intervals import estimate
from stages.evidence.resampling import ClusterTotals, bootstrap_draws, cluster_totals, coin_tosses, sign_patterns
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


def test_totals_of_one_cluster_are_its_mean():
    assert ClusterTotals(np.array([[3.0]]), np.array([[4.0]])).means() == pytest.approx([0.75])
