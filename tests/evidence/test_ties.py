"""Ties that are left out: the change is of a share whose items differ between parent and child."""

from __future__ import annotations

import numpy as np
import pytest

from stages import measures
from stages.common.errors import DataError
from stages.evidence.change import change
from stages.evidence.entropy import entropy_bins
from stages.evidence.metrics import measured
from stages.evidence.paired import contributions, sign_flip
from stages.evidence.resampling import ClusterTotals, cluster_totals, sign_patterns
from stages.evidence.settings import Compare
from tests.evidence.synthetic import pairs

COMPARE = Compare(resamples=300)


def rule(ties):
    return measured("pair_preference", measures.get("pair_preference").Options(ties=ties), "masked")


def changed(before, after, ties="exclude", clusters=None, compare=COMPARE):
    """The change of the share, of pairs given by their margins."""
    names = [f"i{n:03d}" for n in range(len(before))]
    labels = dict(zip(names, names if clusters is None else map(str, clusters), strict=True))
    parent, child = (rule(ties).items(pairs(dict(zip(names, margins, strict=True)), labels))
                     for margins in (before, after))
    return change(rule(ties).metrics[0], parent, child, compare, 0, "crows", "race")


def test_flips_are_of_items_that_are_a_tie_on_neither_side():
    # Of six items 0 turns away and 1 turns to the stereotype; 2 becomes a tie, 3 was one; 4 and 5 stay.
    before, after = (0.1, -0.1, 0.1, 0.0, 0.1, -0.1), (-0.1, 0.1, 0.0, 0.1, 0.1, -0.1)
    found = changed(before, after)
    assert (found["flips_more"], found["flips_less"], found["p_mcnemar"]) == (1, 1, 1.0)
    assert (found["parent"], found["value"], found["change"]) == pytest.approx((60.0, 60.0, 0.0))  # 3 of 5, 3 of 5
    counted = changed(before, after, "non_stereotype")
    assert (counted["flips_more"], counted["flips_less"]) == (2, 2)  # a tie is then no stereotype


def test_bins_hold_no_ties_where_they_are_left_out():
    names = [f"i{n}" for n in range(4)]
    parent, child = (rule("exclude").items(pairs(dict(zip(names, margins, strict=True))))
                     for margins in ((0.1, 0.1, 0.1, -0.1), (0.1, 0.0, -0.1, -0.1)))
    (found,) = entropy_bins(rule("exclude").metrics[0], parent, child, 1, {})
    assert (found["items"], found["flips_more"], found["flips_less"]) == (3, 0, 1)


def test_a_clusters_part_of_a_change_by_hand():
    # Parent 3 of 4 (clusters 2/2, 1/2), child 2 of 3 (2/2, 0/1). Both together 5/7:
    # first (2 - 5/7 x 2) / 3 - (2 - 5/7 x 2) / 4, second (0 - 5/7) / 3 - (1 - 5/7 x 2) / 4.
    pair = ClusterTotals(np.array([[2.0, 2.0], [1.0, 0.0]]), np.array([[2.0, 2.0], [2.0, 1.0]]))
    found = contributions(pair)
    assert found == pytest.approx([4 / 21 - 4 / 28, -5 / 21 + 3 / 28])
    assert found.sum() == pytest.approx(2 / 3 - 3 / 4)


@pytest.mark.parametrize("ties", ["non_stereotype", "half"])
def test_ties_that_count_leave_the_test_that_of_plain_differences(ties):
    rng = np.random.default_rng(5)
    before, after = rng.choice([-0.1, 0.0, 0.1], (2, 90), p=[0.3, 0.2, 0.5])
    clusters = rng.integers(0, 25, 90)
    worth = {0.1: 100.0, 0.0: 50.0 if ties == "half" else 0.0, -0.1: 0.0}
    moved = np.array([worth[a] - worth[b] for a, b in zip(after, before, strict=True)])
    totals = cluster_totals(clusters.astype(str), [moved]).value[:, 0]
    expected = sign_flip(totals, sign_patterns(len(totals), COMPARE.resamples, 0, "crows", "race"))
    assert changed(before, after, ties, clusters)["p_value"] == expected


def test_items_that_become_ties_at_random_are_no_change():
    # 4 of 10 of the child's items become ties, whatever was preferred; the others stay as they were.
    rng = np.random.default_rng(0)
    before = rng.choice([-0.1, 0.1], 300, p=[0.4, 0.6])
    found = changed(before, np.where(rng.random(300) < 0.4, 0.0, before), clusters=rng.integers(0, 90, 300))
    assert found["p_value"] > 0.05
    assert found["change_low"] < 0 < found["change_high"]
    assert (found["flips_more"], found["flips_less"], found["p_mcnemar"]) == (0, 0, 1.0)


def test_the_test_holds_its_level_where_ties_come_at_random():
    # Clusters of 1 to 6 items with preferences of their own; the child flips some and sees a third as ties.
    rng = np.random.default_rng(11)
    p_values = []
    for _ in range(500):
        clusters = np.repeat(np.arange(40), rng.integers(1, 7, 40))
        lean = rng.uniform(0.2, 0.9, 40)[clusters]
        before, after = (np.where(rng.random(len(clusters)) < lean, 0.1, -0.1) for _ in range(2))
        after = np.where(rng.random(len(clusters)) < 0.35, 0.0, after)
        p_values.append(changed(before, after, clusters=clusters, compare=Compare(resamples=200))["p_value"])
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.08  # 5% with a standard error of 1%
    assert 0.42 <= np.mean(np.array(p_values) < 0.5) <= 0.58


def test_a_true_change_is_found_beside_ties():
    rng = np.random.default_rng(2)
    before = rng.choice([-0.1, 0.1], 300, p=[0.5, 0.5])
    after = np.where(rng.random(300) < 0.2, 0.1, before)
    assert changed(before, np.where(rng.random(300) < 0.3, 0.0, after), clusters=np.arange(300) // 3)["p_value"] < 0.01


def test_a_side_of_ties_alone_is_refused_by_dataset_and_category():
    some, none = (0.1, -0.1, 0.1), (0.0, 0.0, 0.0)
    for side, margins in (("child", (some, none)), ("parent", (none, some))):
        with pytest.raises(DataError, match=f"crows/race: score has .*: all 3 items are ties in the {side}"):
            changed(*margins)
    assert changed(some, none, "half")["value"] == 50.0


def test_a_child_that_scored_nothing_is_refused():
    records = pairs({"a": 0.1, "b": -0.1})
    of = rule("non_stereotype")
    parent, child = of.items(records), of.items(records.assign(scored=0))
    with pytest.raises(DataError, match="crows/race: the child scored no item"):
        change(of.metrics[0], parent, child, COMPARE, 0, "crows", "race")


def test_where_all_that_counts_prefers_the_same_nothing_is_left_to_permute():
    # Of 20 clusters some items are ties, more in the child; what is none prefers the stereotype in both.
    rng = np.random.default_rng(4)
    before, after = (rng.random(60) < share for share in (0.2, 0.4))
    clusters = np.repeat(np.arange(20), 3)
    weight = np.stack([np.bincount(clusters, ~ties) for ties in (before, after)], axis=1).astype(float)
    parts = contributions(ClusterTotals(100.0 * weight, weight))
    assert parts.tolist() == [0.0] * 20
