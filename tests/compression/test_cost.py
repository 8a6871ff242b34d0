"""What each checkpoint took."""

import json

from stages.compression import cost
from stages.compression.cost import Cost, Meter


def test_each_lap_is_of_its_own_time_and_memory(monkeypatch, tmp_path):
    clock, peaks, resets = iter([100.0, 102.5, 103.0, 110.25, 111.0]), iter([7_000, 3_000]), []
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(cost, "peak_memory", lambda: next(peaks))
    monkeypatch.setattr(cost, "reset_peak_memory", lambda: resets.append(1))
    meter = Meter(tmp_path / "cost.json")
    assert meter.lap("p050") == Cost(2.5, 7_000)
    assert meter.lap("p100") == Cost(7.25, 3_000)
    assert len(resets) == 3
    assert json.loads((tmp_path / "cost.json").read_text()) == {
        "p050": {"seconds": 2.5, "peak_memory_bytes": 7_000}, "p100": {"seconds": 7.25, "peak_memory_bytes": 3_000}}


def test_laps_before_a_kill_are_kept(tmp_path):
    first = Meter(tmp_path / "cost.json").lap("p050")
    again = Meter(tmp_path / "cost.json")
    again.lap("p100")
    assert list(again.costs) == ["p050", "p100"]
    assert again.costs["p050"] == first


def test_without_a_place_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Meter().lap("p100").seconds >= 0
    assert not any(tmp_path.iterdir())
