"""The record format: sorted, checked, byte-stable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.common import records
from stages.common.errors import DataError


def frame(**changes: object) -> pd.DataFrame:
    rows = {
        "dataset": "crows_pairs", "item": ["1", "0", "0"], "category": "race", "cluster": "a|b",
        "role": ["stereo", "stereo", "anti"], "direction": "stereo", "text_sha": ["x", "y", "z"], "tokens": 7,
        "words": 5, "scored": [0, 1, 1], "score": [np.nan, -1.5, -2.0], "logprob": [0.0, -1.5, -2.0],
        "entropy": [0.0, 2.0, 2.5],
        "ids": [[], [3, 4], [5]],
    }
    return pd.DataFrame({**rows, **changes})


def test_order_of_rows_does_not_change_the_bytes(tmp_path: Path) -> None:
    table = frame()
    records.write_records(tmp_path / "a", table)
    records.write_records(tmp_path / "b", table.iloc[::-1])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    back = records.read_records(tmp_path / "a")
    assert list(back["item"]) == ["0", "0", "1"]
    assert list(back["role"]) == ["anti", "stereo", "stereo"]
    assert back["score"].tolist()[:2] == [-2.0, -1.5]
    assert np.isnan(back["score"][2])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_scored_position_without_a_finite_score_is_refused(tmp_path: Path, bad: float) -> None:
    with pytest.raises(DataError, match="item '0'"):
        records.write_records(tmp_path / "a", frame(score=[np.nan, bad, -2.0]))
    assert not (tmp_path / "a").exists()


def test_duplicates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="duplicate"):
        records.write_records(tmp_path / "a", frame(item="0", role="stereo", text_sha="x"))


def test_vectors_come_back_exactly(tmp_path: Path) -> None:
    vectors = {"b": np.array([1.5, -2.25], np.float32), "a": np.array([0.1, 3.0], np.float32)}
    records.write_vectors(tmp_path / "v", vectors)
    back = records.read_vectors(tmp_path / "v")
    assert list(back) == ["a", "b"]
    for key, vector in vectors.items():
        assert back[key].dtype == np.float32
        assert np.array_equal(back[key], vector)
    with pytest.raises(DataError, match="text a"):
        records.write_vectors(tmp_path / "w", {"a": np.array([np.nan], np.float32)})


def test_missing_truncated_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        records.read_records(tmp_path / "none")
    records.write_records(tmp_path / "a", frame())
    (tmp_path / "cut").write_bytes((tmp_path / "a").read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable parquet"):
        records.read_records(tmp_path / "cut")
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "other")
    with pytest.raises(DataError, match="lacks the columns dataset, item"):
        records.read_records(tmp_path / "other")
