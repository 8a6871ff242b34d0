"""The rows that say how fast compressing is."""

import pytest

from stages.bench import compressing
from stages.bench.subjects import Subject
from stages.compression.pipeline import open_subject

TINY = Subject("tiny", "bert", "masked", {
    "vocab_size": 8192, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128})


def test_rows_of_every_goal(monkeypatch):
    monkeypatch.setattr(compressing, "_QUICK", TINY)
    monkeypatch.setattr(compressing, "_QUICK_CALIBRATED", TINY)
    monkeypatch.setattr(compressing, "_QUICK_SEQUENCES", 2)
    rows = compressing.compare_methods(quick=True, threads=1)
    assert [row["method"] for row in rows] == ["int8_dynamic", "round_to_nearest", "wanda", "gptq"]
    for row in rows:
        assert set(row) == {"model", "method", "seconds", "against", "against_seconds", "ratio", "goal", "holds"}
        assert row["model"] == "tiny"
        assert row["seconds"] > 0
        assert row["ratio"] == pytest.approx(row["seconds"] / row["against_seconds"])
        assert row["holds"] == (row["ratio"] <= row["goal"])
    assert [row["goal"] for row in rows] == [1.5, 1.0, 1.0, 1.0]


def test_packing_is_part_of_what_is_timed(tmp_path):
    model, context = compressing._prepare(TINY, tmp_path)
    timed = compressing._method(open_subject(model, "masked"), compressing._FOUR_BITS, context)()
    packed = [parts[".packed"] for parts in timed()]
    # Half a byte a weight of both layers: four 64 x 64, and two 64 x 128.
    assert sorted(part.numel() for part in packed) == sorted(2 * ([64 * 64 // 2] * 4 + [64 * 128 // 2] * 2))


def test_the_goal_in_seconds_shrinks_with_the_work():
    # 2 of 12 layers, a quarter of the weights in each, a quarter of the texts.
    assert pytest.approx(1 / 96) == compressing._QUICK_SHARE
