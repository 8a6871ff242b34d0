from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from stages.common.errors import DataError, ParamsError
from stages.common.metrics_file import flatten
from stages.common.params import load_params
from stages.common.records import read_table
from stages.contrast import along_training, contrast_suite, controls
from stages.evidence.contrast import COLUMNS, NAMES, contrast_table
from stages.evidence.contrast_summary import summary
from stages.evidence.trends_best import CEILING
from stages.evidence.trends_size import MIXED
from tests.suite_with_training import INT8, PARAMS, contrasted

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return contrasted(tmp_path_factory)


@pytest.fixture
def inside(suite, tmp_path, monkeypatch):
    """A copy to change."""
    shutil.copytree(suite, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def table(root: Path) -> pd.DataFrame:
    return pd.read_parquet(root / "data/contrast/toy.parquet")


def test_the_table_is_tidy_and_has_every_analysis(suite):
    found = table(suite)
    assert list(found.columns) == list(COLUMNS)
    assert not found.duplicated(list(NAMES)).any()
    assert set(found["analysis"]) == {"matched", "noise", "agreement", "agreement_changes", "trend", "best",
                                      "best_difference"}
    kept = found[found["low"].notna() & ~found["analysis"].isin(["best", "best_difference"])]
    assert ((kept["low"] <= kept["estimate"] + 1e-9) & (kept["estimate"] <= kept["high"] + 1e-9)).all()


def test_every_compressed_cell_is_matched_or_said_not_to_be(suite):
    found = table(suite)
    matched = found[found["analysis"] == "matched"]
    assert set(zip(matched["model"], matched["variant"], strict=True)) == {
        ("bert", "int8"), ("bert", "noise-a"), ("bert", "noise-b"), ("gpt", "int8"), ("gpt", "noise-a"),
        ("sbert", "int8")}
    assert set(matched.loc[matched["model"] == "sbert", "note"]) == {"no measure of quality"}
    others = matched[matched["model"] != "sbert"]
    assert others["estimate"].notna().all()
    # The loss of the corpus falls linearly with strength: .8 lies at .2 + .8 f = .8 of training.
    int8 = others[(others["variant"] == "int8") & (others["model"] == "bert")].iloc[0]
    assert int8["against"] == "p040-p100"
    assert int8["fraction"] == pytest.approx(0.75, abs=0.01)


def test_noise_controls_are_those_of_the_same_recipe(suite):
    noise = table(suite).query("analysis == 'noise'")
    assert set(zip(noise["model"], noise["variant"], noise["against"], noise["seeds"], strict=True)) == {
        ("bert", "int8", "noise-a+noise-b", 2.0), ("gpt", "int8", "noise-a", 1.0)}


def test_controls_are_found_by_typed_settings_and_not_by_spelling(inside):
    raw = {**PARAMS, "variants": {
        "fp32": {"method": "none"}, "int8": INT8, "wanda": {"method": "wanda", "sparsity": 0.5},
        "same": {"method": "noise", "like": {"method": "wanda", "sparsity": 0.50}},
        "list": {"method": "noise", "like": [{"method": "wanda", "sparsity": 0.5}]},
        "other": {"method": "noise", "like": {"method": "wanda", "sparsity": 0.6}},
        "size": {"method": "noise", "relative_norm": 0.1},
        "twice": [{"method": "noise", "like": INT8}, INT8],
    }}
    Path("other.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    assert controls(load_params("other.yaml")) == {"wanda": ("same", "list")}


def test_variants_with_a_training_of_their_own_are_not_along_their_parents(inside):
    training = {"steps": 4, "batch_size": 2, "sequence_length": 8, "learning_rate": 0.1, "warmup_steps": 0,
                "checkpoints": [10, 40, 100]}
    raw = {**PARAMS, "variants": {
        "fp32": {"method": "none"}, "int8": INT8,
        "tuned": {"steps": [{"method": "finetune", "training": training}, INT8], "only": ["bert"]},
        "early": {"method": "early", "percent": 40, "only": ["bert"]}, "last": {**INT8, "checkpoints": "last"}}}
    Path("other.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    assert along_training(load_params("other.yaml")) == ["fp32", "int8"]


def test_models_of_different_kinds_give_a_size_trend_that_is_only_described(suite):
    found = table(suite).query("analysis == 'trend' and against.str.startswith('parameters')")
    assert set(found["dataset"]) == {"seat"}  # the one dataset that three models have
    assert set(found["against"]) == {"parameters"}
    assert set(found["note"]) == {MIXED}
    assert found["p_value"].isna().all()
    assert found["estimate"].notna().all()


def test_a_best_checkpoint_at_the_ceiling_is_said_in_the_metrics():
    rows = [{"analysis": "best", "dataset": "ss", "metric": "lm", "model": "m", "variant": variant, "estimate": 0.4,
             "note": note} for variant, note in (("fp32", CEILING), ("int8", "not as claimed"))]
    found = summary(contrast_table(rows))["best"]["ss"]["lm"]["m"]
    assert found == {"fp32": {"fraction": 0.4, "ceiling": 1}, "int8": {"fraction": 0.4}}


def test_metrics_are_nested_numbers(suite):
    found = json.loads((suite / "metrics/toy/contrast.json").read_text())
    assert all(isinstance(leaf, (int, float)) for leaf in flatten(found).values())
    cell = found["matched"]["bert"]["int8"]["crows_pairs"]["gender"]
    assert cell["low"] <= cell["estimate"] <= cell["high"]
    table = read_table(suite / "data/contrast/toy.parquet", list(COLUMNS)).set_index(list(NAMES))
    graded = table.xs(("matched", "bert", "int8", "crows_pairs", "gender", "log_odds"), level=list(range(6)))
    assert cell["log_odds_estimate"] == pytest.approx(graded["estimate"].item(), abs=1e-6)
    assert set(found["match"]["bert"]["int8"]) == {"fraction", "fraction_low", "fraction_high"}
    assert set(found["match"]) == {"bert", "gpt"}
    assert found["noise"]["bert"]["int8"]["crows_pairs"]["overall"]["seeds"] == 2
    pair = found["agreement"]["overall"]["crows_pairs/score"]["crows_pairs/log_odds"]
    assert -1 <= pair["low"] <= pair["rho"] <= pair["high"] <= 1
    assert pair["cells"] == 7
    assert found["trend"]["all"]["stereoset_dev"]["overall"]["ss with lm"]["runs"] == 2
    best = found["best_difference"]["stereoset_dev"]["lm"]["mean of models"]["int8"]
    assert best["claimed"] == pytest.approx(0.6)


def test_the_same_inputs_give_the_same_bytes_in_another_process(inside):
    files = [inside / "data/contrast/toy.parquet", inside / "metrics/toy/contrast.json"]
    before = [path.read_bytes() for path in files]
    subprocess.run([sys.executable, "-m", "stages.contrast", "--params", "params.yaml"], check=True, cwd=inside,
                   env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "5"})
    assert [path.read_bytes() for path in files] == before


def test_quality_may_be_the_lm_score(inside):
    raw = {**PARAMS, "contrast": {"quality": "lm", "resamples": 200}}
    Path("params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    cell = "analysis == 'matched' and model == 'bert' and variant == 'int8'"
    by_perplexity = table(inside).query(cell)
    contrast_suite("params.yaml")
    by_lm = table(inside).query(cell)
    assert by_lm["fraction"].notna().all()
    assert by_lm["fraction"].iloc[0] != pytest.approx(by_perplexity["fraction"].iloc[0], abs=1e-3)


def test_mistakes_and_missing_inputs_are_named(inside):
    Path("wrong.yaml").write_text(yaml.safe_dump({**PARAMS, "contrast": {"qualty": "lm"}}))
    with pytest.raises(ParamsError, match=r"contrast: qualty: unknown key; allowed: quality, resamples"):
        contrast_suite("wrong.yaml")
    Path("gone.yaml").write_text(yaml.safe_dump({**PARAMS, "suite": "gone"}))
    with pytest.raises(DataError, match=r"data/evidence/gone\.parquet: no such file"):
        contrast_suite("gone.yaml")


def test_contrasting_imports_no_torch():
    code = "import stages.contrast, sys; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)})
