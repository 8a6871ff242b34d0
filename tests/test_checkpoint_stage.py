"""The checkpoint stage: whole models or none, settings checked first, and a kill that costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from stages import checkpoint
from stages.common.errors import DataError, ModelError, ParamsError
from stages.common.params import load_params
from stages.models.load import load_model
from tests.training.tiny import SIZES, make_model, make_tokenizer, sentences

ROOT = Path(__file__).parents[1]
TRAINING = {
    "steps": 60, "batch_size": 16, "sequence_length": 16, "learning_rate": 0.02, "warmup_steps": 5,
    "mask_probability": 0.3, "packing": "lines", "checkpoints": [10, 50, 100],
}
TRAINED = {"source": "train", "family": "masked", "architecture": "bert", "config": SIZES,
           "tokenizer": {"kind": "word", "vocab_size": 64}, "training": TRAINING}
CAUSAL = TRAINED | {"family": "causal", "architecture": "gpt_neox", "tokenizer": {"kind": "bpe", "vocab_size": 300},
                    "training": TRAINING | {"packing": "blocks"}}
WHERE = Path("models/tiny/checkpoints")
WORK = Path(".cache/training")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with a corpus; ``project(bert=...)`` gives it models and reads its params."""
    monkeypatch.chdir(tmp_path)
    rows = [(split, text) for split, count, seed in (("train", 200, 1), ("valid", 40, 2), ("test", 40, 3))
            for text in sentences(count, seed)]
    Path("data/clean/tiny").mkdir(parents=True)
    frame = pd.DataFrame(rows, columns=["split", "text"])
    frame.assign(line=range(len(frame))).to_parquet("data/clean/tiny/text.parquet")

    def with_models(**models):
        Path("params.yaml").write_text(yaml.safe_dump({
            "suite": "tiny", "params_file": "params.yaml", "wdir": ".", "seed": 3, "threads": 1, "corpus": "text",
            "datasets": {"text": {"benchmark": "corpus", "source": "data/sources/text.yaml"}},
            "models": models, "variants": {"fp32": {"method": "none"}}}))
        return load_params("params.yaml")

    return with_models


def files(folder):
    """Every file's bytes, but for ``folder`` itself."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def facts(folder):
    return json.loads((folder / "checkpoint.json").read_text())


@pytest.mark.parametrize(("slug", "family"), [("bert", "masked"), ("neox", "causal")])
def test_trained_models_load_whole_and_have_learned(slug, family, project):
    params = project(bert=TRAINED, neox=CAUSAL)
    assert checkpoint.make_checkpoints(params, slug) == WHERE / slug
    found = {path.name: facts(path) for path in sorted((WHERE / slug).iterdir())}
    assert {name: (fact["fraction"], fact["step"]) for name, fact in found.items()} == {
        "p010": (0.1, 6), "p050": (0.5, 30), "p100": (1.0, 60)}
    losses = [fact["heldout_loss"] for fact in found.values()]
    assert losses[2] < losses[1] < losses[0] - 0.5
    for name in found:
        loaded = load_model(WHERE / slug / name, family)
        assert loaded.encoder.context == 32
    if slug == "neox":
        assert found["p100"]["tokens_seen"] == 60 * 16 * 16  # blocks are full
    assert not any(WORK.iterdir())


def test_two_runs_of_the_stage_give_the_same_bytes(project):
    params = project(bert=TRAINED)
    first = files(checkpoint.make_checkpoints(params, "bert"))
    assert {"p100/model.safetensors", "p100/config.json", "p100/tokenizer.json", "p100/checkpoint.json"} <= set(first)
    assert files(checkpoint.make_checkpoints(params, "bert")) == first


def command():
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "stages.checkpoint", "--params", "params.yaml", "--model", "bert"]
    return {"args": arguments, "env": environment, "stderr": subprocess.PIPE, "text": True}


def test_a_killed_training_goes_on_to_the_bytes_of_one_that_was_not(project):
    # Dropout makes every step depend on the random state, and so on what a restart does with it.
    settings = {"steps": 300, "checkpoints": [4, 100]}
    params = project(bert=TRAINED | {"config": SIZES | {"hidden_dropout_prob": 0.1}, "training": TRAINING | settings})
    process = subprocess.Popen(**command())
    give_up = time.monotonic() + 60
    while not (saved := list(WORK.glob("tiny.bert.*/state.safetensors"))):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < give_up
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    early = saved[0].parent / "p004" / "model.safetensors"
    written = early.stat().st_mtime_ns
    assert not (saved[0].parent / "p100").exists()
    assert not WHERE.exists()

    again = subprocess.run(**command(), timeout=60, check=False)
    assert again.returncode == 0, again.stderr
    assert "training: step 300 of 300" in again.stderr
    # It went on from the checkpoint, and did not write it again.
    assert (WHERE / "bert" / "p004" / "model.safetensors").stat().st_mtime_ns == written
    resumed = files(WHERE / "bert")
    assert not any(WORK.iterdir())

    assert files(checkpoint.make_checkpoints(params, "bert")) == resumed


def test_leftovers_of_another_recipe_are_not_taken_up(project):
    params = project(bert=TRAINED)
    stale = WORK / "tiny.bert.0123456789abcdef"
    (stale / "p010").mkdir(parents=True)
    neighbour = WORK / "tiny.bert-other.0123456789abcdef"
    neighbour.mkdir()
    checkpoint.make_checkpoints(params, "bert")
    assert list(WORK.iterdir()) == [neighbour]


def test_an_earlier_result_stays_whole_when_a_training_fails(project):
    checkpoint.make_checkpoints(project(bert=TRAINED), "bert")
    before = files(WHERE)
    params = project(bert=TRAINED | {"training": TRAINING | {"learning_rate": 1e38, "warmup_steps": 0}})
    with pytest.raises(ModelError, match=r"the loss is (nan|inf) at step 2"):
        checkpoint.make_checkpoints(params, "bert")
    assert files(WHERE) == before


@pytest.mark.parametrize(("model", "message"), [
    ({"architecture": "brt"}, "architecture: transformers knows no 'brt'"),
    ({"config": SIZES | {"hiden_size": 16}}, r"config\.hiden_size: unknown key; allowed: .*\bhidden_size\b"),
])
def test_settings_are_checked_before_anything_runs(model, message, project):
    Path("data/clean/tiny/text.parquet").unlink()
    with pytest.raises(ParamsError, match=message):
        checkpoint.make_checkpoints(project(bert=TRAINED | model), "bert")
    assert not Path("models").exists()


def test_unknown_model_lists_those_there_are(project):
    with pytest.raises(ParamsError, match="unknown model 'brt'; there are: bert, neox"):
        checkpoint.make_checkpoints(project(neox=CAUSAL, bert=TRAINED), "brt")


def test_missing_corpus_says_what_to_run(project):
    Path("data/clean/tiny/text.parquet").unlink()
    with pytest.raises(DataError, match=r"text\.parquet: no such corpus table .*dvc repro"):
        checkpoint.make_checkpoints(project(bert=TRAINED), "bert")
    assert not Path("models").exists()


def test_a_local_model_is_taken_as_it_is(project):
    model = make_model("masked", len(make_tokenizer()))
    model.save_pretrained("given")
    make_tokenizer().save_pretrained("given")
    Path("given/pytorch_model.bin").write_bytes(b"never opened")
    params = project(small={"source": "local", "family": "masked", "path": "given"})
    checkpoint.make_checkpoints(params, "small")
    folder = WHERE / "small" / "p100"
    assert facts(folder) == {"fraction": 1.0, "origin": "given"}
    assert not (folder / "pytorch_model.bin").exists()
    assert (folder / "model.safetensors").read_bytes() == Path("given/model.safetensors").read_bytes()
    loaded = dict(load_model(folder, "masked").model.named_parameters())
    assert all(torch.equal(loaded[name], parameter) for name, parameter in model.named_parameters())


def test_a_carried_encoder_is_continued_and_learns(project, tmp_path, monkeypatch):
    torch.manual_seed(0)
    root = tmp_path / "site" / "carried_encoder"
    BertModel(BertConfig(vocab_size=len(make_tokenizer()), **SIZES)).save_pretrained(root / "model")
    make_tokenizer().save_pretrained(root / "model")
    (root / "__init__.py").touch()
    monkeypatch.syspath_prepend(root.parent)
    params = project(continued={
        "source": "train", "family": "masked", "architecture": "bert", "training": TRAINING,
        "initial": {"name": "carried_encoder", "folder": "model"}})
    folder = checkpoint.make_checkpoints(params, "continued")
    assert facts(folder / "p100")["heldout_loss"] < facts(folder / "p010")["heldout_loss"] - 0.5
    assert load_model(folder / "p100", "masked").architecture == "bert"
    # After 6 steps of at most 0.02 the encoder is near what it was, and the head near the identity.
    stored, early = (load_file(path / "model.safetensors") for path in (root / "model", folder / "p010"))
    name = "encoder.layer.0.attention.self.query.weight"
    assert (early[f"bert.{name}"] - stored[name]).abs().max() <= 6 * 0.02
    assert early["cls.predictions.transform.dense.weight"].diagonal().mean().item() == pytest.approx(1.0, abs=0.15)


def test_a_package_that_is_not_installed_is_one_line_with_what_to_do(project, capsys, monkeypatch):
    project(bert={"source": "package", "family": "masked", "package": {"name": "nobody_has_this", "folder": "model"}})
    monkeypatch.setattr(sys, "argv", ["checkpoint", "--params", "params.yaml", "--model", "bert"])
    with pytest.raises(SystemExit) as ended:
        checkpoint.run(checkpoint.main)
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error == "error: the package 'nobody_has_this' is not installed (make setup-mini)\n"
    assert not (WHERE / "bert").exists()
    assert not any(WHERE.iterdir())


def test_a_hub_model_without_network_is_one_clear_line(project, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    params = project(far={"source": "hub", "family": "masked", "repo": "nobody/no-such", "revision": "main"})
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"^nobody/no-such: not to be had from the hub at main: .*HF_HUB_CACHE"):
        checkpoint.make_checkpoints(params, "far")
    assert time.monotonic() - began < 5.0
    assert not any(WHERE.iterdir())
