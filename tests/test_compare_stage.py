from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from stages.common.errors import DataError, ParamsError
from stages.common.metrics_file import flatten
from stages.common.records import read_records, write_records
from stages.compare import LEAVES, compare_suite, main
from stages.measure import measure_suite
from tests.evidence.synthetic import world, write_run

ROOT = Path(__file__).parents[1]
PARAMS = {
    "suite": "toy", "params_file": "params.yaml", "wdir": ".", "seed": 0, "threads": 1, "corpus": "corpus",
    "datasets": {slug: {"benchmark": benchmark, "source": f"data/sources/{benchmark}.yaml"} for slug, benchmark in
                 (("crows_pairs", "crows_pairs"), ("stereoset_dev", "stereoset"), ("seat", "seat"),
                  ("corpus", "corpus"))},
    "models": {"bert": {"source": "local", "family": "masked", "path": "x"},
               "sbert": {"source": "local", "family": "sentence", "path": "y"}},
    "variants": {"fp32": {"method": "none"}, "int8": {"method": "int8_dynamic"}},
    "measures": {"association": {"samples": 200}},
    "compare": {"resamples": 300},
}


def build(root: Path) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    for model in PARAMS["models"]:
        for variant, shrink in (("fp32", 1.0), ("int8", 0.6)):
            records = world(3, shrink)
            if model == "sbert":
                records = {name: part for name, part in records.items() if name.startswith("seat")}
            write_run(root / "data/records/toy" / model / variant, records,
                      "sentence" if model == "sbert" else "masked")
            measure_suite("params.yaml", model, variant)


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build(tmp_path)
    return tmp_path


def test_summary_is_nested_numbers_of_about_a_dozen_leaves(suite):
    compare_suite("params.yaml")
    summary = json.loads(Path("metrics/toy/summary.json").read_text())
    assert set(summary) == {"bert", "sbert"}
    assert set(summary["bert"]) == {"fp32", "int8"}
    assert set(summary["sbert"]["int8"]) == {"seat"}
    assert all(isinstance(leaf, (int, float)) for leaf in flatten(summary).values())
    cell = summary["bert"]["int8"]["crows_pairs"]["gender"]
    assert set(cell) == {*LEAVES, "log_odds_change", "log_odds_p_adjusted"}
    assert cell["value"] == pytest.approx(cell["parent"] + cell["change"], abs=2e-6)
    assert "change" not in summary["bert"]["fp32"]["crows_pairs"]["gender"]
    assert {"lm", "lm_change"} < set(summary["bert"]["int8"]["stereoset_dev"]["overall"])


def test_the_summary_prints_the_measures_numbers(suite):
    compare_suite("params.yaml")
    summary = json.loads(Path("metrics/toy/summary.json").read_text())["bert"]["int8"]
    printed = json.loads(Path("metrics/toy/models/bert/int8.json").read_text())
    assert round(summary["crows_pairs"]["race"]["value"], 2) == printed["crows_pairs"]["race"]["score"]
    assert summary["stereoset_dev"]["race"]["value"] == printed["stereoset_dev"]["race"]["ss"]
    assert summary["stereoset_dev"]["overall"]["lm"] == printed["stereoset_dev"]["overall"]["lm"]
    assert summary["seat"]["gender"]["value"] == printed["seat"]["gender"]["mean_abs_effect"]
    assert summary["corpus"]["test"]["value"] == printed["corpus"]["test"]["perplexity"]


def test_the_table_is_tidy_and_the_same_bytes_in_another_process(suite):
    compare_suite("params.yaml")
    files = [Path("data/evidence/toy.parquet"), Path("metrics/toy/summary.json")]
    before = [path.read_bytes() for path in files]
    table = pd.read_parquet(files[0])
    assert not table.duplicated(["model", "variant", "dataset", "category", "metric"]).any()
    subprocess.run([sys.executable, "-m", "stages.compare", "--params", "params.yaml"], check=True,
                   env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"})
    assert [path.read_bytes() for path in files] == before


def test_metrics_of_other_records_are_refused(suite):
    path = suite / "data/records/toy/bert/int8/p100/crows_pairs.parquet"
    records = read_records(path)
    write_records(path, records.assign(score=-records["score"], logprob=-records["logprob"]))
    with pytest.raises(DataError, match=r"bert/int8\.json: crows_pairs gender: (score|log_odds) is"):
        compare_suite("params.yaml")
    assert not Path("metrics/toy/summary.json").exists()


def test_missing_records_name_the_file_and_what_to_run(suite):
    (suite / "data/records/toy/sbert/int8/run.json").unlink()
    with pytest.raises(DataError, match=r"sbert/int8/run\.json: no such file"):
        compare_suite("params.yaml")


def test_any_two_folders_can_be_compared(suite, capsys):
    folders = ["data/records/toy/bert/fp32", "data/records/toy/bert/int8"]
    assert main([*folders, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(row["model"], row["variant"]) for row in rows} == {("fp32", "int8")}
    pairs = next(row for row in rows if (row["metric"], row["category"]) == ("score", "overall"))
    assert pairs["flips_more"] == int(pairs["flips_more"])
    assert pairs["paired_items"] == 300
    assert main(folders) == 0
    assert "crows_pairs" in capsys.readouterr().out


@pytest.mark.parametrize(("key", "value", "message"), [
    ("equivalence", {"scores": 3.0}, "'score', 'ss'"),
    ("categories", ["gender", "relgion"], "no dataset has the category 'relgion'"),
    ("power", 1.2, "compare: power"),
])
def test_mistakes_in_params_are_named(suite, key, value, message):
    Path("params.yaml").write_text(yaml.safe_dump({**PARAMS, "compare": {**PARAMS["compare"], key: value}}))
    with pytest.raises(ParamsError, match=message):
        compare_suite("params.yaml")


@pytest.mark.parametrize("arguments", [[], ["one"], ["a", "b", "c"], ["--params", "params.yaml", "--json"]])
def test_wrong_arguments_end_with_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_comparing_imports_no_torch():
    code = "import stages.compare, stages.report, sys; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)})
