"""Ratios of the engine's speed, by hand."""

import pytest

from stages.bench.ratios import ratios


def rows(precision, side, items, rates):
    return [{"model": "m", "precision": precision, "side": side, "benchmark": name, "items": items[name],
             "items_per_s": rate} for name, rate in rates.items()]


def rates(*values):
    return dict(zip(("crows_pairs", "stereoset", "seat"), values, strict=True))


def test_all_is_the_total_of_the_seconds():
    few, many = rates(1, 1, 1), rates(1000, 100, 10)
    found = ratios([
        *rows("fp32", "batch1", few, rates(1, 10, 10)), *rows("fp32", "padded32", few, rates(10, 10, 10)),
        *rows("fp32", "engine", many, rates(10, 100, 10)),
        *rows("int8", "batch1", few, rates(2, 20, 20)), *rows("int8", "padded32", few, rates(20, 20, 20)),
        *rows("int8", "engine", many, rates(40, 100, 10)),
    ])  # fmt: skip
    assert [(r["precision"], r["against"]) for r in found] == [
        ("fp32", "batch1"), ("fp32", "padded32"), ("int8", "batch1"), ("int8", "padded32"), ("int8", "fp32 engine")]
    assert [found[0][name] for name in ("crows_pairs", "stereoset", "seat")] == [10, 10, 1]
    # All items take 1000 / 1 + 100 / 10 + 10 / 10 = 1011 s one by one, and 100 + 1 + 1 = 102 s by the engine.
    assert found[0]["all"] == pytest.approx(1011 / 102)
    # The engine in int8 takes 1000 / 40 + 1 + 1 = 27 s; the mean of the three speedups would say 4/3.
    assert found[4]["all"] == pytest.approx(102 / 27)
    assert found[4]["crows_pairs"] == 4
