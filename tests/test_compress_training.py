"""The compress stage where a step trains: which checkpoint it begins with, what it leaves, and a kill half-way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from stages import compress
from stages.common.errors import ModelError, ParamsError
from stages.common.files import sha256_folder
from stages.common.params import load_params
from stages.compression.artefact import open_model
from stages.compression.manifest import read_manifest
from stages.scoring.facts import model_facts
from tests.compression import toy

ROOT = Path(__file__).parents[1]
TRAINING = toy.TRAINING | {"steps": 300, "checkpoints": [4, 50, 100]}
LOCAL = {"source": "local", "path": "somewhere"}
PARAMS = {
    "suite": "tiny", "params_file": "params.yaml", "wdir": ".", "seed": 3, "threads": 1, "corpus": "text",
    "datasets": {"text": {"benchmark": "corpus", "source": "data/sources/text.yaml"}},
    "models": {"small": LOCAL | {"family": "causal"}, "words": LOCAL | {"family": "sentence"}},
    "variants": {
        "fp32": {"method": "none"},
        "distilled": {"method": "distill", "depth": 0.5, "training": TRAINING, "only": ["small"]},
        "early": {"method": "early", "percent": 60, "only": ["small"]},
        "wild": {"method": "finetune", "only": ["small"],
                 "training": TRAINING | {"learning_rate": 1e38, "warmup_steps": 0}},
    },
}
WHERE, WORK = Path("models/tiny/compressed/small"), Path(".cache/compression")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return toy.save_teacher(tmp_path_factory.mktemp("trained"), "causal", steps=30, checkpoints=(40, 60, 100))


@pytest.fixture
def suite(tmp_path, monkeypatch, trained):
    """A project folder with a trained model of three checkpoints and a corpus."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
    Path("models/tiny/checkpoints").mkdir(parents=True)
    Path("models/tiny/checkpoints/small").symlink_to(trained)
    Path("data/clean/tiny").mkdir(parents=True)
    toy.save_corpus("data/clean/tiny/text.parquet", 200)


def run(variant):
    return compress.main(["--params", "params.yaml", "--model", "small", "--variant", variant])


def command():
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = ["--params", "params.yaml", "--model", "small", "--variant", "distilled"]
    return {"args": [sys.executable, "-m", "stages.compress", *arguments], "env": environment,
            "stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}


@pytest.mark.usefixtures("suite")
def test_a_killed_distillation_goes_on_to_the_bytes_of_one_that_was_not(capsys):
    process = subprocess.Popen(**command())
    give_up = time.monotonic() + 60
    while not (saved := list(WORK.glob("tiny.small.distilled.*/state.safetensors"))):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < give_up
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    written = (saved[0].parent / "p004" / "weights.safetensors").stat().st_mtime_ns
    first = json.loads((saved[0].parent / "cost.json").read_text())["p004"]
    assert not (saved[0].parent / "p100").exists()
    assert not WHERE.exists()

    run("distilled")
    capsys.readouterr()
    folder = WHERE / "distilled"
    assert sorted(path.name for path in folder.iterdir()) == ["p004", "p050", "p100"]
    # It went on from the first checkpoint, and did not write it again.
    assert (folder / "p004" / "weights.safetensors").stat().st_mtime_ns == written
    assert [path.name for path in WORK.iterdir()] == ["tiny"]  # what it cost, and no work folder
    costs = json.loads((WORK / "tiny/small/distilled.json").read_text())
    assert list(costs) == ["p004", "p050", "p100"]
    assert costs["p004"] == first  # taken before the kill
    assert all(cost["seconds"] > 0 for cost in costs.values())

    resumed = sha256_folder(folder)
    run("distilled")
    assert sha256_folder(folder) == resumed
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        *(f"small distilled {name} ({at}/3)" for at, name in enumerate(("p004", "p050", "p100"), 1)),
        "small distilled"]
    # The teacher is the last checkpoint, and its own record of its loss is of other text.
    parent = json.loads(Path("models/tiny/checkpoints/small/p100/checkpoint.json").read_text())
    fact = json.loads((folder / "p050" / "checkpoint.json").read_text())
    assert (fact["fraction"], fact["step"], fact["steps"]) == (0.5, 150, 300)
    assert fact["teacher_heldout_loss"] == pytest.approx(parent["heldout_loss"], abs=0.1)
    student = open_model(folder / "p100", "causal")
    assert student.model.config.num_hidden_layers == 2
    # Metrics are set beside how well the student itself predicts, and its teacher.
    about, fact = model_facts(student), json.loads((folder / "p100" / "checkpoint.json").read_text())
    losses = ("heldout_loss", "teacher_heldout_loss", "initial_heldout_loss")
    assert {key: about[key] for key in losses} == {key: fact[key] for key in losses}
    assert read_manifest(folder / "p004").parent == sha256_folder("models/tiny/checkpoints/small/p100")


@pytest.mark.usefixtures("suite")
def test_an_early_checkpoint_stands_in_for_the_last():
    run("early")
    assert [path.name for path in (WHERE / "early").iterdir()] == ["p100"]
    assert read_manifest(WHERE / "early" / "p100").steps[0].config["checkpoint"] == "p060"
    taken = json.loads(Path("models/tiny/checkpoints/small/p060/checkpoint.json").read_text())
    assert model_facts(open_model(WHERE / "early" / "p100", "causal"))["heldout_loss"] == taken["heldout_loss"]


@pytest.mark.usefixtures("suite")
def test_noise_like_an_early_checkpoint_is_of_the_last_alone_and_claims_no_loss(tmp_path):
    early = {"method": "early", "percent": 60}
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | {"variants": {
        "fp32": {"method": "none"}, "noisy": {"method": "noise", "like": early, "only": ["small"]}}}))
    run("noisy")
    assert [path.name for path in (WHERE / "noisy").iterdir()] == ["p100"]
    assert not any("loss" in key for key in model_facts(open_model(WHERE / "noisy" / "p100", "causal")))


@pytest.mark.usefixtures("suite")
def test_a_training_that_diverges_leaves_the_earlier_artefacts_alone():
    (WHERE / "wild").mkdir(parents=True)
    (WHERE / "wild" / "before").touch()
    with pytest.raises(ModelError, match=r"the loss is (nan|inf) at step 2"):
        run("wild")
    assert [path.name for path in (WHERE / "wild").iterdir()] == ["before"]


@pytest.mark.parametrize(("slug", "change", "message"), [
    ("early", {"checkpoints": "all"}, r"variants\.early\.checkpoints: early is applied to .* last checkpoint alone"),
    ("wild", {"checkpoints": "all"}, r"variants\.wild\.checkpoints: finetune is applied to"),
    ("wild", {"only": ["words"]}, r"variants\.wild: words is a sentence encoder, .*e\.g\. only: \[small\]"),
    ("distilled", {"only": None}, r"variants\.distilled: words is a sentence encoder"),
])
def test_variants_that_no_model_serves_are_refused_with_the_params(slug, change, message, tmp_path):
    variants = PARAMS["variants"] | {slug: PARAMS["variants"][slug] | change}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"variants": variants}))
    with pytest.raises(ParamsError, match=message):
        load_params(tmp_path / "params.yaml")


def test_saying_last_is_allowed(tmp_path):
    variants = PARAMS["variants"] | {"early": PARAMS["variants"]["early"] | {"checkpoints": "last"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"variants": variants}))
    assert load_params(tmp_path / "params.yaml").variants["early"].checkpoints == "last"
