from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evidence.contrast_levels import Levels, t_test
from stages.evidence.intervals import Estimate, effective_clusters
from stages.evidence.matched import against_match, interpolate, match, matched_fraction, positions
from stages.evidence.resampling import bootstrap_draws, cluster_totals


def levels(values: np.ndarray, resamples: int = 400, name: str = "x") -> Levels:
    """Levels of means over independent units, shape [units, runs]."""
    draws = bootstrap_draws(len(values), resamples, 0, name).astype(float)
    total = values.sum(axis=0)
    return Levels(values.mean(axis=0), draws @ values / len(values), ((total - values) / (len(values) - 1),),
                  (float(len(values)),), len(values), len(values))


@pytest.mark.parametrize(("path", "target", "expected"), [
    ([5, 4, 3], 3.5, 1.5),
    ([5, 4, 3], 4.75, 0.25),
    ([5, 4, 3], 4, 1.0),
    ([5, 4, 3], 3, 2.0),
    ([5, 4, 3], 2.9, 2.0),  # better than the last
    ([5, 4, 3], 5.1, 0.0),  # worse than the first
    ([5, 3, 4, 2], 3.5, 2.25),  # crossed three times: the latest counts
    ([2, 3, 3.5], 3.25, 1.5),  # training made it worse
    ([4, 4, 4], 4, 2.0),
    ([5], 4, 0.0),
])
def test_positions_by_hand(path, target, expected):
    assert positions(np.array([[*path, target]], dtype=float)) == pytest.approx([expected])


def test_interpolation_by_hand():
    values = np.array([[10.0, 20.0, 60.0]])
    assert interpolate(values, np.array([0.0, 0.25, 1.0, 1.5, 2.0])) == pytest.approx([10, 12.5, 20, 40, 60])
    assert interpolate(np.array([[1.0, 2.0], [5.0, 9.0]]), np.array([0.5])) == pytest.approx([1.5, 7.0])
    assert interpolate(np.array([[7.0]]), np.array([0.0])) == pytest.approx([7.0])


def test_the_contrast_by_hand():
    # Losses 5, 4, 3 and 3.25: three quarters of the way from the second checkpoint to the third.
    quality = levels(np.array([[5.2, 4.1, 3.0, 3.2], [4.8, 3.9, 3.0, 3.3]]))
    found = match(quality)
    assert (found.kind, found.position) == ("bracket", pytest.approx(1.75))
    # Biases 50, 54, 62 and 55: the match is 54 + .75 * 8 = 60, the contrast -5.
    bias = levels(np.array([[48.0, 50, 60, 50], [52.0, 58, 64, 60]]), name="bias")
    reference, estimate = against_match(bias, found, 0.95)
    assert (reference, estimate.value) == (pytest.approx(60), pytest.approx(-5))
    fraction = matched_fraction(found, np.array([0.1, 0.4, 1.0]), 0.95)
    assert fraction.value == pytest.approx(0.4 + 0.75 * 0.6)
    assert 0.1 <= fraction.low <= fraction.value <= fraction.high <= 1.0


def test_a_model_better_than_the_last_checkpoint_is_matched_to_it_and_one_worse_than_all_to_none():
    rows = np.random.default_rng(0).normal(0, 0.01, (20, 1))
    assert match(levels(rows + np.array([5.0, 4, 3, 2.5]))).kind == "last"
    assert match(levels(rows + np.array([5.0, 4, 3, 3]))).kind == "last"
    assert match(levels(rows + np.array([5.0, 4, 3, 5.5]))).kind == "none"
    better = match(levels(rows + np.array([5.0, 4, 3, 2.5])))
    reference, estimate = against_match(levels(rows + np.array([50.0, 54, 62, 60]), name="b"), better, 0.95)
    assert (reference, estimate.value) == (pytest.approx(62, abs=0.01), pytest.approx(-2))


@given(checkpoint=st.integers(0, 4), seed=st.integers(0, 50))
def test_a_model_equal_to_a_checkpoint_has_no_contrast_and_its_fraction(checkpoint, seed):
    rng = np.random.default_rng(seed)
    quality = np.linspace(6, 3, 5) + 0.3 * rng.normal(size=(12, 1)) + 0.02 * rng.normal(size=(12, 5))
    bias = rng.normal(50, 5, (15, 5))
    fractions = np.array([0.05, 0.1, 0.3, 0.6, 1.0])
    found = match(levels(np.hstack([quality, quality[:, [checkpoint]]])))
    reference, estimate = against_match(levels(np.hstack([bias, bias[:, [checkpoint]]]), name="b"), found, 0.95)
    assert estimate.value == pytest.approx(0, abs=1e-9)
    assert (estimate.low, estimate.high) == pytest.approx((0, 0), abs=1e-9)
    assert reference == pytest.approx(bias[:, checkpoint].mean())
    assert t_test(estimate) == 1.0
    assert matched_fraction(found, fractions, 0.95).value == pytest.approx(fractions[checkpoint])


def test_intervals_cover_the_true_contrast_and_would_not_without_the_match_in_them():
    """The bias changes steeply with quality, so that error in the match is most of the error."""
    path, slope, effect = np.array([5.0, 4.0, 3.0]), 10.0, 2.0
    quality_now = 3.6
    truth = slope * quality_now + effect  # bias of the compressed model; the match has slope * quality_now
    rng = np.random.default_rng(1)
    covered = fixed = rejected = 0
    simulations = 400
    for _ in range(simulations):
        common = rng.normal(0, 1, (25, 1))
        quality = common + np.append(path, quality_now) + rng.normal(0, 0.5, (25, 4))
        bias = rng.normal(0, 6, (40, 1)) + np.append(slope * path, truth) + rng.normal(0, 3, (40, 4))
        found = match(levels(quality, name="coverage"))
        one = levels(bias, name="coverage bias")
        _, estimate = against_match(one, found, 0.95)
        covered += estimate.low <= effect <= estimate.high
        at = np.full(400, found.position)
        _, naive = against_match(one, type(found)(found.kind, found.position, at, (at[:25], ), (25.0,)), 0.95)
        fixed += naive.low <= effect <= naive.high
        rejected += t_test(Estimate(estimate.value - effect, 0, 0, estimate.method, estimate.standard_error,
                                    estimate.freedom, estimate.clusters)) < 0.05
    assert 0.925 <= covered / simulations <= 0.975
    assert fixed / simulations < 0.85
    assert 0.025 <= rejected / simulations <= 0.075


def test_a_giant_cluster_makes_the_interval_wide_enough():
    """One cluster has three tenths of the items, as in CrowS-Pairs' race; quality is known well."""
    rng = np.random.default_rng(2)
    sizes = np.array([45] + [1] * 60 + [3] * 15)
    losses = rng.normal(0, 0.02, (30, 4)) + np.array([5.0, 4.0, 3.0, 3.5])
    quality = match(levels(losses))
    draws = bootstrap_draws(len(sizes), 400, 0, "giant")
    clusters = np.repeat(np.arange(len(sizes)).astype(str), sizes)
    covered = by_bootstrap = 0
    simulations = 300
    for _ in range(simulations):
        effects = np.repeat(rng.normal(0, 1, (len(sizes), 4)), sizes, axis=0)
        values = effects + rng.normal(0, 1, effects.shape)
        totals = cluster_totals(clusters, list(values.T))
        one = Levels(totals.means(), totals.resampled(draws), (totals.leave_one_out(),),
                     (effective_clusters(totals.weight),), len(clusters), len(sizes))
        _, estimate = against_match(one, quality, 0.95)
        covered += estimate.low <= 0 <= estimate.high
        _, narrow = against_match(replace(one, effective=(float(len(sizes)),)), quality, 0.95)
        by_bootstrap += narrow.low <= 0 <= narrow.high
    assert covered / simulations >= 0.93
    assert by_bootstrap / simulations < 0.9


def test_without_clusters_to_resample_there_is_a_value_and_no_interval():
    quality = levels(np.array([[5.2, 4.1, 3.0, 3.2], [4.8, 3.9, 3.0, 3.3]]))
    alone = Levels(np.array([50.0, 54, 62, 55]), np.tile([50.0, 54, 62, 55], (400, 1)), (), (), 3, 1)
    _, estimate = against_match(alone, match(quality), 0.95)
    assert estimate.value == pytest.approx(-5)
    assert estimate.method == "none"
    assert np.isnan([estimate.low, estimate.high, t_test(estimate)]).all()
