from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.common.errors import DataError
from stages.evidence.floors import (
    FLOOR_COLUMNS,
    checkpoint_noise,
    prediction_interval,
    read_floors,
    seed_p,
    with_floors,
    with_noise,
)

CELL = {"dataset": "d", "category": "c", "metric": "ss"}


def test_prediction_interval_by_hand():
    # 48, 50, 52: mean 50, sd 2; t(2, .975) = 4.302653; 4.302653 x 2 x sqrt(1 + 1/3) = 9.936552.
    found = prediction_interval([48.0, 50.0, 52.0], 0.95)
    assert found == pytest.approx((50.0, 2.0, 50 - 9.936552, 50 + 9.936552), rel=1e-6)


def test_prediction_interval_holds_the_next_value():
    rng = np.random.default_rng(0)
    held = 0
    for values in rng.normal(3.0, 2.0, (1000, 6)):
        found = prediction_interval(values[:5], 0.9)
        held += found.low <= values[5] <= found.high
    # The standard error is 0.9%.
    assert held / 1000 == pytest.approx(0.9, abs=0.03)


def test_models_that_differ_by_their_seed_exceed_it_as_often_as_the_level_says():
    rng = np.random.default_rng(1)
    scales = np.arange(1.0, 5.0)
    p_values = []
    for _ in range(1000):
        values = rng.normal(0, scales, (7, 4)).T
        table = pd.DataFrame({"metric": "log_odds", "value": values[:, 5], "parent": values[:, 6]})
        p_values.append(seed_p(table, pd.DataFrame(values[:, :5])))
    assert (np.array(p_values) < 0.1).mean() == pytest.approx(0.1, abs=0.02)


def test_effects_spread_by_factors_over_seeds():
    # Logs of .1, .2, .4 have the spread ln 2; ln(.8 / .1) / (ln 2 * sqrt 2) = 2.1213, Student's t with 2 degrees.
    table = pd.DataFrame({"metric": ["mean_abs_effect"], "value": [0.8], "parent": [0.1]})
    expected = 2 * stats.t.sf(3 / np.sqrt(2), 2)
    assert seed_p(table, pd.DataFrame([[0.1, 0.2, 0.4]])) == pytest.approx([expected])


def test_checkpoint_noise_is_that_of_late_training():
    rows = [{**CELL, "fraction": fraction, "value": value}
            for fraction, value in ((0.05, 10.0), (0.4, 50.0), (0.6, 53.0), (0.8, 49.0), (1.0, 49.0))]
    rows += [{**CELL, "category": "few", "fraction": fraction, "value": 1.0} for fraction in (0.2, 0.4, 1.0)]
    rows += [{**CELL, "metric": metric, "category": "pairs", "fraction": fraction, "value": value}
             for fraction in (0.4, 0.6, 0.8, 1.0)
             for metric, value in (("score", round(50 + fraction)), ("score_unrounded", 50 + fraction))]
    found = checkpoint_noise(rows, 0.95, 0.4)["noise"]
    # Differences 3, -4, 0: root mean square 5 / sqrt(3), times t(3, .975) = 3.182446.
    assert found["d", "c", "ss"] == pytest.approx(3.182446 * 5 / math.sqrt(3), rel=1e-6)
    assert found["d", "pairs", "score"] == pytest.approx(3.182446 * 0.2, rel=1e-6)
    assert ("d", "few", "ss") not in found
    assert checkpoint_noise([], 0.95, 0.4).empty
    assert checkpoint_noise(rows[:3], 0.95, 0.5).empty


def test_noise_stands_beside_the_changes_of_its_model_alone():
    table = pd.DataFrame([{"model": model, **CELL, "change": change}
                          for model, change in (("m", 1.0), ("m", np.nan), ("n", 1.0))])
    noise = checkpoint_noise([{**CELL, "fraction": f, "value": v} for f, v in ((0.5, 1.0), (0.7, 2.0), (1.0, 1.0))],
                             0.95, 0.4)
    found = with_noise(table, {"m": noise, "n": noise.iloc[:0]})["noise"]
    assert found[0] == pytest.approx(stats.t.ppf(0.975, 2))
    assert found[1:].isna().all()


def test_a_value_is_placed_in_the_floor_of_its_model_and_the_null():
    floors = pd.DataFrame(
        [{"model": "m", "null": "random_init", **CELL, "seed": seed, "value": value}
         for seed, value in enumerate((48.0, 50.0, 52.0))]
        + [{"model": "m", "null": "context_free", **CELL, "low": 30.0, "high": 55.0}], columns=list(FLOOR_COLUMNS))
    table = pd.DataFrame([{"model": "m", **CELL, "value": value} for value in (52.0, 60.0, np.nan)]
                         + [{"model": "other", **CELL, "value": 50.0}], index=[7, 3, 5, 9])
    found = with_floors(table, floors, 0.95)
    assert found["floor_high"].iloc[0] == pytest.approx(59.936552)
    assert found["inside_floor"].tolist()[:2] == [1.0, 0.0]
    assert found["inside_null"].tolist()[:2] == [1.0, 0.0]
    assert found["floor_sds"].tolist()[:2] == [1.0, 5.0]
    assert found.loc[[5, 9], ["inside_floor", "inside_null", "floor_sds"]].isna().all(axis=None)
    assert list(found.index) == [7, 3, 5, 9]


def test_random_networks_that_all_agree_have_no_standard_deviation_to_count_in():
    floors = pd.DataFrame([{"model": "m", "null": "random_init", **CELL, "seed": seed, "value": 50.0}
                           for seed in range(3)], columns=list(FLOOR_COLUMNS))
    found = with_floors(pd.DataFrame([{"model": "m", **CELL, "value": 51.0}]), floors, 0.95).iloc[0]
    assert (found["floor_low"], found["floor_high"], found["inside_floor"]) == (50.0, 50.0, 0.0)
    assert np.isnan(found["floor_sds"])


def test_the_floor_of_a_magnitude_is_not_negative():
    about = {**CELL, "metric": "mean_abs_effect"}
    floors = pd.DataFrame([{"model": "m", "null": "random_init", **about, "seed": seed, "value": value}
                           for seed, value in enumerate((0.1, 0.3, 0.5))], columns=list(FLOOR_COLUMNS))
    found = with_floors(pd.DataFrame([{"model": "m", **about, "value": 0.0}]), floors, 0.95).iloc[0]
    assert (found["floor_low"], found["inside_floor"]) == (0.0, 1.0)


def test_missing_floors_name_what_to_run(tmp_path):
    with pytest.raises(DataError, match=r"bert\.parquet: no such file \(dvc repro floor@bert\)"):
        read_floors(tmp_path, "bert")
