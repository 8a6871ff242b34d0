"""The stages calibrate and calibration from a params file to text, numbers and figure."""

import json

import pandas as pd
import pytest
import yaml

from stages import calibrate, calibration
from stages.common.errors import DataError, ParamsError
from stages.common.files import sha256_folder
from stages.common.params import load_params
from tests.evidence.planted_cells import cell

MODEL = {
    "source": "train", "family": "causal", "architecture": "gpt_neox",
    "config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
               "max_position_embeddings": 32},
    "tokenizer": {"kind": "word", "vocab_size": 512},
    "training": {"steps": 3, "batch_size": 8, "sequence_length": 24, "learning_rate": 0.01, "warmup_steps": 1,
                 "packing": "lines"},
}
GRID = {
    "resamples": 100,
    "common": {"seed": 1, "sentences": {"train": 300, "valid": 20, "test": 40},
               "items": {"crows_pairs": 8, "stereoset": 8, "controls": 8}},
    "worlds": {"weak": {}, "strong": {"associations": {"gender": {"strength": 0.9}}}},
    "learners": {"neox": {"model": MODEL}},
    "variants": {"fp32": {"method": "none"}, "pruned": {"method": "magnitude", "sparsity": 0.5}},
}


def suite(tmp_path, monkeypatch, grid):
    monkeypatch.chdir(tmp_path)
    params = {
        "suite": "toy", "params_file": "params.yaml", "wdir": ".", "seed": 1, "threads": 1, "corpus": "corpus",
        "worlds": {"main": {"seed": 1}},
        "datasets": {"corpus": {"benchmark": "corpus", "source": "lab:main"}},
        "models": {"neox": MODEL}, "variants": {"fp32": {"method": "none"}}, "calibration": {"small": grid},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return load_params("params.yaml")


@pytest.fixture
def params(tmp_path, monkeypatch):
    return suite(tmp_path, monkeypatch, GRID)


@pytest.fixture
def trained(params, monkeypatch):
    """A grid whose cells were made up in place of training them."""
    def stand_in(cells, workers):
        assert workers == 1
        return [cell(wanted.world, wanted.name, variants={"pruned": 0.5}).result for wanted in cells]

    monkeypatch.setattr(calibrate, "run_cells", stand_in)
    calibrate.calibrate(params, "small")
    return params


def test_every_cell_is_trained_and_measured(params, tmp_path):
    folder = calibrate.calibrate(params, "small")
    assert sorted(path.name for path in folder.iterdir()) == ["strong.neox.1", "weak.neox.1"]
    calibration.analyse(params, "small")
    summary = json.loads((tmp_path / "metrics/toy/calibration/small.json").read_text())
    assert set(summary) == {"neox"}
    assert summary["neox"]["measures"]["crows_pairs"]["score"]["detected"]["control"]["cells"] == 6


def test_numbers_text_and_figure_tell_the_same(trained, tmp_path):
    rows, *_ = calibration.analyse(trained, "small")
    levels = pd.read_parquet(rows)
    folder = tmp_path / "metrics/toy/calibration"
    summary = json.loads((folder / "small.json").read_text())["neox"]
    assert summary["measures"]["crows_pairs"]["log_odds"]["slope"]["value"] == pytest.approx(0.8)
    assert set(levels["world"]) == {"weak", "strong"}
    text = (folder / "small.md").read_text()
    assert "2 models were trained on 2 worlds" in text.replace("\n", " ")
    assert "| pairs: log-odds (nats a pair) | 0.80 [0.80, 0.80] | 0.00 [0.00, 0.00] | 1.00 [1.00, 1.00] |" in text
    assert "| pruned | 0.50 [0.50, 0.50] | 1.00 | 0% | 0.50 | +0.50 | 1.65 | shrunk with confidence |" in text
    svg = (folder / "small.svg").read_text()
    assert svg.startswith("<?xml")


def test_the_same_records_give_the_same_bytes(trained, tmp_path):
    calibration.analyse(trained, "small")
    before = sha256_folder(tmp_path / "metrics"), sha256_folder(tmp_path / "data/evidence")
    calibration.analyse(trained, "small")
    assert (sha256_folder(tmp_path / "metrics"), sha256_folder(tmp_path / "data/evidence")) == before


def test_a_cell_that_is_missing_is_named(trained, tmp_path):
    (tmp_path / "data/calibration/toy/small/weak.neox.1/records.parquet").unlink()
    with pytest.raises(DataError, match=r"weak.neox.1/records.parquet: no such file"):
        calibration.analyse(trained, "small")


def test_a_grid_that_is_not_there_is_refused(params):
    for stage in (calibrate.calibrate, calibration.analyse):
        with pytest.raises(ParamsError, match="unknown calibration grid 'large'; there are: small"):
            stage(params, "large")


def test_a_mistake_in_a_grid_is_found_with_the_params(tmp_path, monkeypatch):
    with pytest.raises(ParamsError, match=r"calibration.small: worlds.weak.seeds: unknown key"):
        suite(tmp_path, monkeypatch, {**GRID, "worlds": {"weak": {"seeds": 1}}})
