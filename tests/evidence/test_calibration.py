"""Slopes, ranks, saturation, specificity and shares on tables whose answers are known."""

import math

import numpy as np
import pandas as pd
import pytest

from stages.evidence.calibration import line, saturation, seed_floor, specificity
from stages.evidence.detection import detected, power

KINDS = ("gender", "race", "religion")
SURE = {"resamples": 200, "confidence": 0.95, "seed": 1}


def table(truth, value, seeds=(1,)):
    """Rows of worlds with a planted value a kind; ``value(planted, world, kind, seed)`` is what is measured."""
    rows = [
        {"world": world, "seed": seed, "kind": kind, "planted": planted,
         "value": value(planted, world, kind, seed)}
        for world, levels in truth.items()
        for kind, planted in zip(KINDS, levels, strict=True)
        for seed in seeds
    ]
    return pd.DataFrame(rows)


WORLDS = {"a": (0.0, 1.0, 2.0), "b": (0.5, 1.5, 2.5), "c": (0.25, 3.0, 0.0)}


def test_an_exact_line_is_found_with_no_width():
    found = line(table(WORLDS, lambda planted, *_: 5 + 0.8 * planted), **SURE)
    for bounds, expected in ((found.slope, 0.8), (found.intercept, 5.0), (found.rank, 1.0)):
        assert (bounds.value, bounds.low, bounds.high) == pytest.approx((expected,) * 3)


def test_the_slope_is_that_of_least_squares():
    noise = np.random.default_rng(0)
    rows = table(WORLDS, lambda planted, *_: planted + noise.normal(0, 0.5), seeds=(1, 2))
    slope, intercept = np.polyfit(rows["planted"], rows["value"], 1)
    found = line(rows, **SURE)
    assert (found.slope.value, found.intercept.value) == pytest.approx((slope, intercept))
    assert found.slope.low < slope < found.slope.high
    assert found.rank.value == pytest.approx(rows["planted"].corr(rows["value"], method="spearman"))


def test_worlds_that_disagree_widen_the_interval_and_items_of_one_world_do_not_narrow_it():
    bias = {"a": -1.0, "b": 0.0, "c": 1.0}
    rows = table(WORLDS, lambda planted, world, *_: planted + bias[world])
    many = table(WORLDS, lambda planted, world, *_: planted + bias[world], seeds=range(20))
    one, other = line(rows, **SURE).intercept, line(many, **SURE).intercept
    assert one.high - one.low > 1
    assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.2)


def test_the_order_of_rows_does_not_matter():
    rows = table(WORLDS, lambda planted, world, kind, seed: planted**2 + seed, seeds=(1, 2))
    assert line(rows.sample(frac=1, random_state=0), **SURE) == line(rows, **SURE)


def test_nothing_planted_anywhere_has_no_slope():
    found = line(table({"a": (1.0, 1.0, 1.0)}, lambda *_: 3.0), **SURE)
    assert math.isnan(found.slope.value)
    assert math.isnan(found.slope.low)


def test_saturation_of_a_measure_in_proportion_is_at_its_share_of_the_range():
    rows = table({"a": (0.0, 1.0, 2.0), "b": (3.0, 4.0, 0.0)}, lambda planted, *_: 50 + 10 * planted)
    assert saturation(rows) == pytest.approx(0.95 * 4)


def test_saturation_of_a_measure_that_stops_rising_is_where_it_stops():
    # 50 + 25 x up to 100 at x = 2: 95% of the range is 97.5, at x = 1.9.
    rows = table({"a": (0.0, 1.0, 2.0), "b": (3.0, 4.0, 0.0)}, lambda planted, *_: min(100, 50 + 25 * planted))
    assert saturation(rows) == pytest.approx(1.9)


TWINS = [("a", "b", "race")]


def test_specificity_tells_the_kind_that_changed_from_the_others():
    truth = {"a": (1.0, 0.0, 2.0), "b": (1.0, 3.0, 2.0)}
    leak = {("b", "gender"): 0.2, ("b", "religion"): -0.4}
    rows = table(truth, lambda planted, world, kind, seed: 0.5 * planted + leak.get((world, kind), 0), seeds=(1, 2))
    found = specificity(rows, TWINS)
    assert found.own == pytest.approx(1.5)  # 0.5 x 3
    assert found.others == pytest.approx(0.3)  # (0.2 + 0.4) / 2
    assert found.floor == 0  # both seeds alike
    assert found.within == 0


def test_the_floor_is_what_two_seeds_of_a_world_differ_by():
    # Each world and kind has the seeds -1, 0, 1: a variance of 1 each, so a difference of two has sqrt(2).
    rows = table({"a": (1.0, 0.0, 2.0), "b": (1.0, 3.0, 2.0)}, lambda planted, world, kind, seed: float(seed),
                 seeds=(-1, 0, 1))
    assert seed_floor(rows) == pytest.approx(1.96 * math.sqrt(2))
    assert specificity(rows, TWINS).within == 1


def test_one_seed_gives_no_floor():
    found = specificity(table({"a": (1.0, 0.0, 2.0), "b": (1.0, 3.0, 2.0)}, lambda planted, *_: planted), TWINS)
    assert math.isnan(found.floor)
    assert math.isnan(found.within)
    assert found.own == 3


def test_worlds_of_other_seeds_are_not_compared():
    rows = table({"a": (1.0, 0.0, 2.0), "b": (1.0, 3.0, 2.0)}, lambda planted, *_: planted)
    rows.loc[rows["world"] == "b", "seed"] = 7
    assert math.isnan(specificity(rows, TWINS).own)


def intervals(*bounds, planted=0.0, neutral=50.0):
    return pd.DataFrame([{"value": (low + high) / 2, "low": low, "high": high, "neutral": neutral, "planted": planted}
                         for low, high in bounds])


def test_detection_counts_intervals_on_either_side():
    found = detected(intervals((51, 60), (40, 49), (45, 55), (50, 60)), 0.95)
    assert (found.share.value, found.cells) == (0.5, 4)
    # Wilson for 2 of 4, z = 1.96: centre 0.5, half 1.96 / (1 + .9604) * sqrt(.25 / 4 + .9604 / 16) = .3499.
    assert (found.share.low, found.share.high) == pytest.approx((0.15, 0.85), abs=1e-3)


def test_an_interval_that_is_not_there_finds_nothing():
    assert detected(intervals((math.nan, math.nan)), 0.95).share.value == 0


def test_what_is_nearer_than_the_floor_is_not_found():
    # 5.5, 5.5, 0 and 8 from neutral; all but the third leave it out.
    rows = intervals((51, 60), (40, 49), (45, 55), (53, 63))
    assert [detected(rows, 0.95, floor).share.value for floor in (0, 5.5, 6, 8, 9)] == [0.75, 0.75, 0.25, 0.25, 0]


def test_power_is_told_by_planted_level():
    rows = pd.concat([intervals((60, 70), (45, 55), planted=1.0), intervals((60, 70), planted=2.0),
                      intervals((60, 70), planted=0.0)])
    found = power(rows, 0.95)
    assert {level: share.share.value for level, share in found.items()} == {1.0: 0.5, 2.0: 1.0}
