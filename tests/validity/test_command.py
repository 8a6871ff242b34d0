from __future__ import annotations

import json
import math

import pytest

from stages.validity import __main__ as command
from stages.validity import speed
from stages.validity.large_runs import write_large_run
from stages.validity.rows import Row, table, write

GOOD, BAD = Row("good", 0.95, 0.93, 0.97), Row("bad", 0.5, 0.93, 0.97)


def test_bounds_belong_to_what_holds_and_nan_never_does():
    assert Row("low", 0.93, 0.93, 0.97).holds
    assert Row("high", 0.97, 0.93, 0.97).holds
    assert not Row("below", 0.9299, 0.93, 0.97).holds
    assert not Row("none", math.nan, -math.inf, math.inf).holds


def test_file_and_table(tmp_path):
    write(tmp_path / "found.json", [GOOD, Row("none", math.nan, 0.0, 1.0)])
    assert json.loads((tmp_path / "found.json").read_text()) == [
        {"name": "good", "value": 0.95, "low": 0.93, "high": 0.97, "holds": True},
        {"name": "none", "value": None, "low": 0.0, "high": 1.0, "holds": False}]
    assert [line.endswith("FAILS") for line in table([GOOD, BAD]).splitlines()] == [False, False, True]


@pytest.mark.parametrize(("rows", "code"), [([GOOD], 0), ([GOOD, BAD], 1)])
def test_exit_code(rows, code, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "validate", lambda names: rows)
    assert command.main(["--out", str(tmp_path / "build/validate.json")]) == code
    assert len(json.loads((tmp_path / "build/validate.json").read_text())) == len(rows)
    assert "0.9500" in capsys.readouterr().out


def test_only_named_parts_run(monkeypatch):
    asked = []
    for name in command._SIMULATED:
        monkeypatch.setitem(command._SIMULATED, name, lambda spread, seed, name=name: asked.append(name) or [GOOD])
    monkeypatch.setattr(command, "_trained", lambda names, spread, seed: asked.append("trained") or [BAD])
    monkeypatch.setattr(command.speed, "speed_rows", lambda: asked.append("speed") or [])
    assert command.validate(["power"]) == [GOOD]
    assert asked == ["power"]
    assert command.validate(["speed", "graded"]) == [BAD]
    assert asked == ["power", "trained", "speed"]


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["--only", "everything"])
    assert "coverage" in capsys.readouterr().err


def test_speed_is_of_the_goals_sizes_and_fails_when_slow(monkeypatch):
    monkeypatch.setattr(speed, "_suite", lambda folder, models, variants: [models * variants])
    monkeypatch.setattr(speed, "evidence", lambda cells, grid: None)
    rows = speed.speed_rows()
    assert [row.high for row in rows] == [2.0, 2.0, 60.0]
    assert rows[0].value < 2
    monkeypatch.setattr(speed, "_seconds", lambda work: 61.0)
    assert not any(row.holds for row in speed.speed_rows())


def test_a_large_run_can_be_compared(tmp_path):
    cells = speed._suite(tmp_path, 1, 2)
    found = speed.evidence(cells, speed.Grid(speed.Compare(resamples=100), 0)).table
    child = found[found["variant"] == "00"]
    race = child[(child["dataset"] == "crows_pairs") & (child["category"] == "race") & (child["metric"] == "score")]
    assert race[["items", "clusters"]].to_numpy().tolist() == [[516, 267]]
    overall = child[(child["dataset"] == "stereoset_test") & (child["category"] == "overall")]
    assert set(overall["items"]) == {6392}
    assert child["change"].notna().all()
    write_large_run(tmp_path / "again", 0)
    same = (tmp_path / "again/p100/seat.parquet").read_bytes()
    assert same == (tmp_path / "0-0/p100/seat.parquet").read_bytes()
