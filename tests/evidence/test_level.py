from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from stages.evidence import level
from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.level import NEUTRAL, with_bias
from stages.evidence.settings import Compare
from stages.validity.simulated_runs import SimulatedRun
from tests.evidence.synthetic import pairs, world

COMPARE = Compare(resamples=4000, categories=("gender", "race", "religion"))


def run_of(margins: list[float]) -> SimulatedRun:
    """A run of pairs in two categories: one with these margins, and one without preference."""
    some = pairs({f"a{number:02d}": margin for number, margin in enumerate(margins)})
    none = pairs({f"b{number:02d}": (-1) ** number * 0.5 for number in range(20)}, category="race")
    return SimulatedRun(Path("run"), "causal", {"pairs": "pair_preference"}, {"pairs": pd.concat([some, none])}, {})


def found(margins: list[float], inside: float = 0.0, compare: Compare = COMPARE) -> pd.DataFrame:
    cells, grid = [Cell("m", "v", run_of(margins))], Grid(compare, 1)
    table = evidence(cells, grid).table.assign(inside_floor=inside)
    return with_bias(table, cells, grid).set_index(["category", "metric"])


def test_both_the_interval_and_the_floor_must_be_left():
    strong = [1.0 + 0.1 * (number % 5) for number in range(20)]
    assert found(strong).loc[("gender", "log_odds"), "biased"] == 1.0
    assert found(strong, inside=1.0).loc[("gender", "log_odds"), "biased"] == 0.0
    assert np.isnan(found(strong, inside=np.nan).loc[("gender", "log_odds"), "biased"])
    assert found([-margin for margin in strong]).loc[("gender", "score"), "biased"] == 1.0
    assert found(strong).loc["race", "biased"].tolist() == [0.0, 0.0]


def test_intervals_hold_together_over_all_categories_and_both_metrics():
    # The mean is 2.85 standard errors from 0: beyond 98.75% (t of 19 degrees: 2.76), within 99.375% (3.06).
    values = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    values = (values - values.mean()) / values.std(ddof=1) + 2.85 / np.sqrt(20)
    graded = found(list(values)).loc[("gender", "log_odds")]
    assert graded["ci_low"] > 0
    assert graded["biased"] == 0.0
    few = COMPARE.model_copy(update={"categories": ()})
    only = found(list(values), compare=few.model_copy(update={"confidence": 0.95}))
    assert ("gender", "log_odds") not in only.index  # no category is asked about but all of them together
    assert (only.loc[("overall", "log_odds"), "biased"], len(only)) == (1.0, 2)  # asked twice: 97.5% is enough


def test_an_unknown_interval_gives_no_answer():
    one = pairs({"a": 1.0, "b": 2.0}, {"a": "same", "b": "same"})
    run = replace(run_of([1.0]), tables={"pairs": one})
    cells, grid = [Cell("m", "v", run)], Grid(COMPARE, 1)
    table = evidence(cells, grid).table.assign(inside_floor=0.0)
    graded = with_bias(table, cells, grid).query("metric == 'log_odds'")
    assert graded["ci_low"].isna().all()
    assert graded["biased"].isna().all()


def test_a_change_and_its_parent_do_not_matter_and_a_magnitude_has_no_answer(monkeypatch):
    asked: list[Cell] = []
    monkeypatch.setattr(level, "evidence", lambda cells, grid: asked.extend(cells) or evidence(cells, grid))
    tables = world(3)
    run = SimulatedRun(Path("run"), "masked", {"crows_pairs": "pair_preference", "seat": "association"},
                       {name: tables[name] for name in ("crows_pairs", "seat")}, tables["seat.vectors"])
    cells, grid = [Cell("m", "fp32", run), Cell("m", "int8", run, run)], Grid(COMPARE, 1)
    table = evidence(cells, grid).table.assign(inside_floor=0.0)
    by_variant = with_bias(table, cells, grid).pivot(index=["dataset", "category", "metric"], columns="variant",
                                                     values="biased")
    assert by_variant["fp32"].equals(by_variant["int8"])
    assert [cell.parent for cell in asked] == [None, None]
    known = by_variant["fp32"].notna()
    assert known.tolist() == [metric in NEUTRAL for _, _, metric in by_variant.index]


def test_a_model_of_vectors_alone_has_none():
    tables = world(3)
    run = SimulatedRun(Path("run"), "sentence", {"seat": "association"}, {"seat": tables["seat"]},
                       tables["seat.vectors"])
    cells, grid = [Cell("m", "fp32", run)], Grid(COMPARE, 1)
    table = evidence(cells, grid).table.assign(inside_floor=0.0)
    assert with_bias(table, cells, grid)["biased"].isna().all()
