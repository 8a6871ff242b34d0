from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stages.evidence import change, intervals, table
from stages.validity import false_positives
from stages.validity.coverage import COVERAGE, coverage_rows
from stages.validity.designs import CHANGE_SPREAD, DESIGNS, ITEM_CHANGE, MEAN, Design
from stages.validity.false_positives import same_model_rows
from stages.validity.pool import here, processes
from stages.validity.power import power_rows
from stages.validity.simulated_runs import truth

EVEN = DESIGNS[0]


def test_designs_state_the_truth_of_what_they_draw():
    design = Design("large", "pair_preference", (2,) * 100_000, 1.0)
    parent, child = design.draw(np.random.default_rng(0), -0.5)
    share = 100 * np.mean(parent["score_stereo"] > 0)
    assert share == pytest.approx(design.share(), abs=0.6)
    assert 100 * np.mean(child["score_stereo"] > 0) == pytest.approx(design.share(-0.5), abs=0.6)
    assert parent["log_stereo"].mean() == pytest.approx(MEAN, abs=0.02)
    change_of_clusters = (child["log_stereo"] - parent["log_stereo"]).to_numpy().reshape(-1, 2).mean(axis=1)
    assert change_of_clusters.mean() == pytest.approx(-0.5, abs=0.01)
    assert change_of_clusters.std() == pytest.approx(np.sqrt(CHANGE_SPREAD**2 + ITEM_CHANGE**2 / 2), rel=0.01)


def test_a_shift_changes_the_share_by_what_was_asked():
    shift = EVEN.shift_for("share", -7.0)
    assert EVEN.share(shift) - EVEN.share() == pytest.approx(-7.0)
    assert EVEN.shift_for("log-odds", -0.3) == -0.3


def test_unequal_clusters_weigh_as_those_of_crows_pairs_race():
    sizes = np.array(DESIGNS[1].sizes)
    assert (len(sizes), sizes.sum(), sizes.max()) == (267, 516, 158)
    assert sizes.sum() ** 2 / (sizes**2).sum() == pytest.approx(10.3, abs=0.05)


def test_coverage_has_a_row_a_design_and_quantity_and_shows_the_unclustered_interval_to_fail():
    rows = coverage_rows(here, 1, simulations=40)
    assert len(rows) == len(DESIGNS) * 5
    clustered = [row.value for row in rows if "unclustered" not in row.name]
    naive = [row.value for row in rows if "unclustered" in row.name]
    assert all(row.low == 0 and row.high == COVERAGE[0] for row in rows if "unclustered" in row.name)
    assert np.mean(naive) < 0.8 < 0.9 < np.mean(clustered)


def test_coverage_fails_with_intervals_half_as_wide(monkeypatch):
    honest = intervals.estimate_from

    def halved(*arguments):
        found = honest(*arguments)
        return replace(found, low=(found.low + found.value) / 2, high=(found.high + found.value) / 2)

    monkeypatch.setattr(change, "estimate_from", halved)
    rows = coverage_rows(here, 1, simulations=40)
    assert not any(row.holds for row in rows if "unclustered" not in row.name)


def test_coverage_fails_with_intervals_twice_as_wide(monkeypatch):
    honest = intervals.estimate_from

    def doubled(*arguments):
        found = honest(*arguments)
        return replace(found, low=2 * found.low - found.value, high=2 * found.high - found.value)

    monkeypatch.setattr(change, "estimate_from", doubled)
    rows = coverage_rows(here, 1, simulations=40)
    assert not any(row.holds for row in rows if "change" in row.name)


def test_two_readings_of_a_model_differ_by_noise_on_the_same_items():
    rng = np.random.default_rng(0)
    model = truth(rng)
    one, other = model.read("one", rng), model.read("other", rng)
    for dataset in ("crows_pairs", "stereoset"):
        left, right = one.records(dataset), other.records(dataset)
        assert list(left["text_sha"]) == list(right["text_sha"])
        noise = left["logprob"] - right["logprob"]
        assert noise.std() == pytest.approx(np.sqrt(2 * (0.15**2 + 0.3**2)), rel=0.1)
        assert noise.groupby([left["category"], left["cluster"], left["role"]]).mean().std() > 0.2


@pytest.fixture
def one_child(monkeypatch):
    monkeypatch.setattr(false_positives, "_CHILDREN", 1)


@pytest.mark.usefixtures("one_child")
def test_grids_of_one_model_hold_no_more_findings_than_allowed():
    rows = same_model_rows(here, 1, grids=10)
    assert [row.high for row in rows] == [0.05, 0.05]
    assert sum(row.value for row in rows) <= 0.2


@pytest.mark.usefixtures("one_child")
def test_uncorrected_tests_are_shown_to_find_too_much(monkeypatch):
    monkeypatch.setattr(table, "benjamini_hochberg", lambda p_values: p_values)
    rows = same_model_rows(here, 1, grids=10)
    assert rows[0].value >= 0.2
    assert not rows[0].holds


def test_power_falls_short_if_the_change_is_smaller_than_named(monkeypatch):
    monkeypatch.setattr(change, "minimum_detectable", lambda error, *_: 0.5 * error)
    rows = power_rows(here, 1, simulations=20)
    assert len(rows) == 2 * len(DESIGNS)
    assert not any(row.holds for row in rows)
    assert np.mean([row.value for row in rows]) < 0.3


def test_results_do_not_depend_on_processes():
    with processes(2) as spread:
        assert power_rows(spread, 3, simulations=4) == power_rows(here, 3, simulations=4)
