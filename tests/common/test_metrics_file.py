"""Metrics files: what may be in them, and the same bytes for the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.errors import DataError
from stages.common.metrics_file import clean, dumps, flatten, write_metrics, write_rows


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, np.float32("nan")])
def test_what_is_no_number_is_refused_with_its_key(bad: object) -> None:
    with pytest.raises(DataError, match=r"crows\.gender\.score"):
        dumps({"crows": {"gender": {"score": bad}}})


def test_numpy_scalars_rounding_and_minus_zero() -> None:
    value = {"b": np.float64(1.23456789), "a": np.int64(3), "z": -1e-9, "t": True}
    assert json.loads(dumps(value)) == {"a": 3, "b": 1.234568, "t": True, "z": 0.0}
    assert "-0.0" not in dumps(value)


def test_keys_are_sorted_and_lists_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_metrics(path, {"b": 1, "a": {"y": 2, "x": 3}})
    assert path.read_text() == '{\n  "a": {\n    "x": 3,\n    "y": 2\n  },\n  "b": 1\n}\n'
    with pytest.raises(DataError, match=r"a\.ci"):
        write_metrics(path, {"a": {"ci": [1, 2]}})
    assert json.loads(path.read_text())["b"] == 1
    write_rows(path, [{"x": 1, "y": 0.5}])
    assert json.loads(path.read_text()) == [{"x": 1, "y": 0.5}]


@given(st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False, allow_infinity=False, width=32)))
def test_same_numbers_in_any_order_give_the_same_bytes(value: dict[str, float]) -> None:
    assert dumps(value) == dumps(dict(reversed(value.items())))
    assert clean(clean(value)) == clean(value)


def test_flatten() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}
