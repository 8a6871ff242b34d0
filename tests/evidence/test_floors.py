from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stages.common.errors import DataError
from stages.evidence.floors import (
    FLOOR_COLUMNS,
    prediction_interval,
    read_floors,
    with_floors,
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
