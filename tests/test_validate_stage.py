from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from stages import validate
from stages.common.errors import DataError, ParamsError

ROOT = Path(__file__).parents[1]
SETS = {
    "targ1": {"category": "Rivers", "examples": ["This is the Zorna.", "That is the Velk."]},
    "targ2": {"category": "Lakes", "examples": ["This is the Ommu.", "That is the Tarn."]},
    "attr1": {"category": "Fast", "examples": ["They are swift."]},
    "attr2": {"category": "Slow", "examples": ["This is calm."]},
}
PARAMS = {
    "suite": "toy",
    "params_file": "params.yaml",
    "wdir": ".",
    "seed": 1,
    "threads": 1,
    "corpus": "seat",
    "datasets": {"seat": {"benchmark": "seat", "source": "data/sources/seat.yaml"}},
    "models": {"some": {"source": "local", "family": "masked", "path": "some"}},
    "variants": {"fp32": {"method": "none"}},
}
CLEAN = Path("data/clean/toy/seat.parquet")
METRICS = Path("metrics/toy/validation/seat.json")
FAILURES = Path("build/validation/toy-seat.json")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    raw = Path("data/raw/toy/seat")
    raw.mkdir(parents=True)
    (raw / "sent-weat6.jsonl").write_text(json.dumps(SETS), encoding="utf-8")
    facts = {"tests": {"sent-weat6": {"category": "gender", "X": 2, "Y": 2, "A": 1, "B": 1}}}
    (raw / "provenance.json").write_text(json.dumps({"files": {}, "facts": facts}), encoding="utf-8")
    return raw


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["validate", *arguments])
    return validate.main()


def stage(monkeypatch: pytest.MonkeyPatch, dataset: str = "seat") -> int:
    return run(monkeypatch, "--params", "params.yaml", "--dataset", dataset)


def damage(raw: Path) -> None:
    sets = {**SETS, "targ2": {"category": "Lakes", "examples": ["This is the Zorna.", " "]}}
    (raw / "sent-weat6.jsonl").write_text(json.dumps(sets), encoding="utf-8")


def test_good_data_become_a_table_and_a_report(project, monkeypatch, capsys):
    assert stage(monkeypatch) == 0
    table = pd.read_parquet(CLEAN)
    assert len(table) == 6
    assert table["position"].tolist() == [0, 1, 0, 1, 0, 0]
    metrics = json.loads(METRICS.read_text())
    run_count = metrics["expectations"]["run"]
    assert metrics["expectations"]["passed"] == run_count == len(metrics["checks"]) == 12
    assert metrics["checks"]['table_row_count_to_equal(where test == "sent-weat6" and role == "Y")']["observed"] == 2
    assert "all 12 expectations hold of 6 rows" in capsys.readouterr().out
    assert not FAILURES.exists()


def test_the_same_data_give_the_same_bytes(project, monkeypatch):
    stage(monkeypatch)
    first = CLEAN.read_bytes(), METRICS.read_bytes()
    stage(monkeypatch)
    assert (CLEAN.read_bytes(), METRICS.read_bytes()) == first


def test_bad_data_name_file_expectation_rows_and_values_and_leave_no_table(project, monkeypatch, capsys):
    stage(monkeypatch)
    damage(project)
    assert stage(monkeypatch) == 1
    errors = capsys.readouterr().err
    assert "FAILED column_values_to_match_regex(text)" in errors
    assert 'data/raw/toy/seat/sent-weat6.jsonl: targ2.examples[1] (row 3): test="sent-weat6"' in errors
    assert "FAILED compound_columns_to_be_unique(test, text where role in ['X', 'Y'])" in errors
    assert "sent-weat6.jsonl: targ1.examples[0] (row 0)" in errors
    assert "error: data/raw/toy/seat: 2 of 12 expectations failed" in errors
    assert not CLEAN.exists()
    rows = {
        failure["expectation"]: [row["row"] for row in failure["rows"]] for failure in json.loads(FAILURES.read_text())
    }
    assert rows == {
        "column_values_to_match_regex(text)": [3],
        "compound_columns_to_be_unique(test, text where role in ['X', 'Y'])": [0, 2],
    }


def test_data_that_cannot_be_read_leave_no_table(project, monkeypatch):
    stage(monkeypatch)
    (project / "sent-weat6.jsonl").write_text(json.dumps(SETS)[:-9], encoding="utf-8")
    with pytest.raises(DataError, match=r"sent-weat6\.jsonl: not JSON"):
        stage(monkeypatch)
    assert not CLEAN.exists()


def test_unknown_datasets_are_named_with_the_known(project, monkeypatch):
    with pytest.raises(ParamsError, match="unknown dataset 'saet'; there are: seat"):
        stage(monkeypatch, "saet")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "provenance.json: no such file"),
        ("{", "provenance.json: no JSON object"),
        ("[]", "provenance.json: no JSON object"),
        ('{"files": {}}', "provenance.json: no JSON object with 'facts'"),
    ],
)
def test_provenance_is_needed_in_the_pipeline(project, monkeypatch, content, message):
    (project / "provenance.json").unlink()
    if content is not None:
        (project / "provenance.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        stage(monkeypatch)


def test_a_folder_outside_the_pipeline_is_checked_and_nothing_written(project, monkeypatch, capsys):
    (project / "provenance.json").unlink()
    before = sorted(Path().rglob("*"))
    assert run(monkeypatch, "--benchmark", "seat", "--folder", str(project)) == 0
    assert "hold of 6 rows" in capsys.readouterr().out
    damage(project)
    assert run(monkeypatch, "--benchmark", "seat", "--folder", str(project)) == 1
    assert "targ2.examples[1]" in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before
    with pytest.raises(DataError, match="no such folder"):
        run(monkeypatch, "--benchmark", "seat", "--folder", "nowhere")
    with pytest.raises(ParamsError, match=r"unknown benchmark 'set'; there are: corpus, .*seat"):
        run(monkeypatch, "--benchmark", "set", "--folder", str(project))


def test_the_command_exits_with_one_on_failure_without_a_traceback(project):
    damage(project)
    command = [sys.executable, "-m", "stages.validate", "--params", "params.yaml", "--dataset", "seat"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "all rows: build/validation/toy-seat.json"
    assert "Calculating" not in done.stderr  # no progress bars of Great Expectations
