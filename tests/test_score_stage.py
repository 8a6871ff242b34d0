"""The score stage: from clean tables and model folders to records, whole or not at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
)

from stages import benchmarks
from stages.common.errors import DataError, ModelError, ParamsError
from stages.common.files import sha256_folder, sha256_text
from stages.common.records import read_records, read_vectors
from stages.compression import Context, parse_variant
from stages.compression.pipeline import compress_folder
from stages.measure import measure_suite
from stages.score import score_suite
from stages.scoring.engine import Scorer
from tests.scored_suite import WORDS, build, save_model

ROOT = Path(__file__).parents[1]


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build()
    return tmp_path


def test_records_of_a_masked_model(suite):
    folder = score_suite("params.yaml", "small", "fp32")
    assert folder == Path("data/records/tiny/small/fp32")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == [
        *(f"{name}/{file}.parquet" for name in ("p010", "p100")
          for file in ("crows", "seat", "seat.vectors", "text")),
        "run.json",
    ]  # fmt: skip
    run = json.loads((folder / "run.json").read_text())
    assert run["family"] == "masked"
    assert run["checkpoints"] == {"p010": {"fraction": 0.1, "step": 10}, "p100": {"fraction": 1.0, "step": 100}}
    assert run["datasets"]["crows"] == {"benchmark": "crows_pairs", "measure": "pair_preference"}
    assert run["datasets"]["seat"] == {"benchmark": "seat", "measure": "association"}
    weights = Path("models/tiny/compressed/small/fp32/p100/model.safetensors")
    assert run["model"]["architecture"] == "bert"
    assert run["model"]["stored_bytes"] == weights.stat().st_size
    model = AutoModelForMaskedLM.from_pretrained(weights.parent)
    assert run["model"]["parameters"] == model.num_parameters()

    records = read_records(folder / "p100" / "crows.parquet").set_index(["item", "role"])
    # "she is a nurse ." with "she" hidden: one position.
    ids = [WORDS.index(word) for word in ["[MASK]", "is", "a", "nurse", "."]]
    logits = model(input_ids=torch.tensor([ids])).logits[0, 0].double().log_softmax(0).detach()
    row = records.loc[("0", "stereo")]
    assert row["score"] == pytest.approx(float(logits[WORDS.index("she")]), abs=5e-5)
    assert row["logprob"] == row["score"]
    assert row["entropy"] == pytest.approx(float(-(logits.exp() * logits).sum()), abs=5e-5)
    assert (row["tokens"], row["words"], row["scored"], row["direction"]) == (5, 5, 1, "stereo")
    assert row["text_sha"] == sha256_text("she is a nurse .")
    skipped = records.loc["2"]
    assert (skipped["scored"] == 0).all()
    assert skipped[["score", "logprob", "entropy"]].isna().all(axis=None)

    vectors = read_vectors(folder / "p100" / "seat.vectors.parquet")
    ids = [WORDS.index(word) for word in ["John", "is", "tall"]]
    states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
    np.testing.assert_allclose(vectors[sha256_text("John is tall")], states.mean(0).detach().numpy(), atol=1e-5)
    assert set(read_records(folder / "p100" / "seat.parquet")["scored"]) == {0}
    assert len(vectors) == 4
    # Held-out lines are those of the test split; each of their words is hidden once.
    assert sorted(read_records(folder / "p100" / "text.parquet")["scored"]) == [3, 5]


@pytest.mark.parametrize(("variant", "facts"), [
    ({"method": "none"}, {"sparsity": 0.0, "logical_bits": 32, "heldout_loss": 4.5}),
    # Of another model's weights, what the parent's training tells of its loss says nothing.
    ({"method": "cast"}, {"sparsity": 0.0, "logical_bits": 16}),
    ([{"method": "none"}, {"method": "magnitude", "sparsity": 0.75}], {"sparsity": 0.75, "logical_bits": None}),
])
def test_a_models_metrics_stand_beside_its_size_and_held_out_loss(variant, facts, suite):
    parent = save_model(Path("parent"))
    (parent / "checkpoint.json").write_text(json.dumps({"fraction": 1.0, "step": 9, "heldout_loss": 4.5}))
    folder = Path("models/tiny/compressed/small/fp32/p100")
    shutil.rmtree(folder)
    folder.mkdir()
    sizes = compress_folder(parent, folder, parse_variant(variant, "x"), "masked", Context()).sizes
    score_suite("params.yaml", "small", "fp32")
    measure_suite("params.yaml", "small", "fp32")
    found = json.loads(Path("metrics/tiny/models/small/fp32.json").read_text())["model"]
    bits = sizes.logical_bits if facts["logical_bits"] is None else facts["logical_bits"] * sizes.parameters
    assert found == facts | {
        "architecture": "bert", "family": "masked", "parameters": sizes.parameters, "logical_bits": bits,
        "stored_bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
    }


def test_checkpoints_differ_and_runs_do_not(suite):
    folder = score_suite("params.yaml", "small", "fp32")
    first = sha256_folder(folder)
    scores = [read_records(folder / name / "crows.parquet")["score"].dropna().tolist() for name in ("p010", "p100")]
    assert scores[0] != scores[1]
    assert sha256_folder(score_suite("params.yaml", "small", "fp32")) == first


def test_a_causal_model_scores_what_offers_its_family(suite):
    folder = score_suite("params.yaml", "neox", "fp32")
    records = read_records(folder / "p100" / "crows.parquet")
    assert (records["scored"] == records["tokens"]).all()  # every token, the pair that masked models skip too
    assert ((records["score"] > 0) & (records["score"] < 1)).all()


def test_plans_are_made_once_for_checkpoints_of_one_tokenizer(suite, monkeypatch):
    made = []
    module = benchmarks.get("crows_pairs")
    plan = module.plan
    monkeypatch.setattr(module, "plan", lambda *given: made.append(1) or plan(*given))
    score_suite("params.yaml", "small", "fp32")
    assert len(made) == 1


def test_a_failure_leaves_the_earlier_records(suite, monkeypatch):
    folder = score_suite("params.yaml", "small", "fp32")
    before = sha256_folder(folder)
    read, calls = Scorer.read, []

    def fail_in_the_second_checkpoint(self, queries, progress):
        calls.append(1)
        if len(calls) > 2:
            raise ModelError("stopped")
        return read(self, queries, progress)

    monkeypatch.setattr(Scorer, "read", fail_in_the_second_checkpoint)
    with pytest.raises(ModelError, match="stopped"):
        score_suite("params.yaml", "small", "fp32")
    assert sha256_folder(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["fp32"]


@pytest.mark.parametrize(("model", "variant", "error", "message"), [
    ("smal", "fp32", ParamsError, "unknown model 'smal'; there are: encoder, neox, small"),
    ("small", "int4", ParamsError, "unknown variant 'int4'; there are: fp32"),
    ("encoder", "fp32", ModelError, "models/tiny/compressed/encoder/fp32: holds no checkpoint"),
])
def test_names_that_are_not_there(suite, model, variant, error, message):
    with pytest.raises(error, match=message):
        score_suite("params.yaml", model, variant)


def test_a_missing_table_is_named(suite):
    Path("data/clean/tiny/seat.parquet").unlink()
    with pytest.raises(DataError, match=r"data/clean/tiny/seat\.parquet: no such file"):
        score_suite("params.yaml", "small", "fp32")
