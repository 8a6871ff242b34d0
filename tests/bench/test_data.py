"""Which files are timed, and what is said where they are missing."""

import json
import sys

import pytest

from stages.bench import __main__ as command
from stages.bench.data import _table, read_tables
from stages.common.errors import DataError


def stereoset(target, path):
    labels = {"stereotype": f"{target} is a nurse", "anti-stereotype": f"{target} is kind", "unrelated": f"{target} is"}
    sentences = [{"sentence": text, "gold_label": label, "id": label} for label, text in labels.items()]
    item = {"id": "1", "bias_type": "gender", "target": target, "context": f"{target} is BLANK", "sentences": sentences}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": "1", "data": {"intrasentence": [item], "intersentence": []}}))


def test_the_dev_split_is_timed_wherever_it_lies(tmp_path):
    stereoset("test", tmp_path / "stereoset/test.json")  # what scoring the folder would take
    stereoset("dev", tmp_path / "stereoset/dev.json")
    assert set(_table(tmp_path, "stereoset")["target"]) == {"dev"}
    stereoset("fetched", tmp_path / "stereoset_dev/dev.json")
    assert set(_table(tmp_path, "stereoset")["target"]) == {"fetched"}


def test_the_test_split_alone_is_not_enough(tmp_path):
    stereoset("test", tmp_path / "stereoset/test.json")
    with pytest.raises(DataError, match=r"holds none of stereoset_dev\.parquet, stereoset_dev, stereoset/dev\.json"):
        _table(tmp_path, "stereoset")


def test_data_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench", "--quick"])
    monkeypatch.delenv("BENCHMARK_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"make repro SUITE=mini.*set BENCHMARK_MIRROR"):
        command.main()
    (tmp_path / "data/raw/mini").mkdir(parents=True)
    with pytest.raises(DataError, match=r"data/raw/mini: holds none of crows_pairs\.parquet, crows_pairs"):
        command.main()
    with pytest.raises(DataError, match=r"give --data, or set BENCHMARK_MIRROR"):
        read_tables(tmp_path)
