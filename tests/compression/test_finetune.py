"""Fine-tuning after other steps and before them: zeros, storage, curves of the final product, interruption."""

import json

import pytest
import torch

from stages.common.errors import MethodError, ParamsError
from stages.common.files import sha256_folder
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.int8_weights import quantize_weight
from stages.compression.manifest import read_manifest
from stages.compression.pipeline import compress_in_training, open_subject
from stages.compression.tuning import train_subject
from stages.training import loop
from tests.compression import toy
from tests.compression.toy import TRAINING

NAME = "bert.encoder.layer.1.output.dense.weight"
PRUNE = {"method": "magnitude", "sparsity": 0.6}
ROUND = {"method": "round_to_nearest", "bits": 4}
TUNE = {"method": "finetune", "training": TRAINING | {"steps": 10}}
DISTILL = {"method": "distill", "layers": 2, "training": TRAINING | {"steps": 6, "checkpoints": [100]}}
SPARSE = [f"bert.encoder.layer.{layer}.{name}.weight" for layer in range(3) for name in (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "intermediate.dense", "output.dense")]


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return toy.save_teacher(tmp_path_factory.mktemp("parent"), "masked") / "p100"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return toy.save_corpus(tmp_path_factory.mktemp("texts") / "corpus.parquet", 500)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def product(parent, corpus, tmp_path):
    """Weights by name, manifest and record of a variant's product."""
    def make(variant, name="product"):
        manifest = toy.compress(parent, tmp_path / name, variant, "masked", corpus)
        values = dict(open_model(tmp_path / name, "masked").model.named_parameters())
        return values, manifest, json.loads((tmp_path / name / "checkpoint.json").read_text())

    return make


def test_pruned_weights_stay_pruned_while_the_others_recover(product):
    pruned, _, _ = product(PRUNE, "pruned")
    training = TRAINING | {"steps": 60, "learning_rate": 0.003}
    tuned, manifest, record = product([PRUNE, TUNE | {"training": training}], "tuned")
    for name in SPARSE:
        assert torch.equal(tuned[name] == 0, pruned[name] == 0), name
        assert (tuned[name] != pruned[name])[pruned[name] != 0].all(), name
        assert int((tuned[name] == 0).sum()) == round(0.6 * tuned[name].numel())
        assert manifest.tensors[name]["form"] == "sparse"
    assert manifest.steps[1].config["keep_zeros"] is True
    assert record["initial_heldout_loss"] > record["parent_heldout_loss"] + 0.05  # pruning did harm
    assert record["heldout_loss"] < record["initial_heldout_loss"] - 0.05  # and some of it came back
    assert (record["fraction"], record["step"]) == (1.0, 60)


def test_zeros_move_where_they_are_let(product):
    tuned, manifest, _ = product([PRUNE, TUNE | {"keep_zeros": False}])
    assert int((tuned[NAME] == 0).sum()) < 10
    assert NAME not in manifest.tensors


def test_rounded_weights_are_tuned_as_float32(product):
    rounded, _, _ = product(ROUND, "rounded")
    message = r"finetune: zeros among rounded weights may be pruned .*keep_zeros: true or"
    with pytest.raises(ParamsError, match=message):
        product([ROUND, TUNE], "refused")
    # What a step in between leaves of the grid is seen only in the model.
    with pytest.raises(MethodError, match=message):
        product([ROUND, {"method": "none"}, TUNE], "at the end")
    tuned, manifest, _ = product([ROUND, TUNE | {"keep_zeros": False}], "tuned")
    assert NAME not in manifest.tensors
    assert len(rounded[NAME].unique()) <= 15 * 24 < len(tuned[NAME].unique())
    assert 0 < (tuned[NAME] - rounded[NAME]).abs().max() <= 10 * 0.01 * 1.2  # ten steps of at most 0.01
    _, manifest, _ = product([ROUND, TUNE | {"keep_zeros": False}, ROUND], "again")
    assert manifest.tensors[NAME]["form"] == "integers"


def test_the_curve_is_of_the_final_product(parent, corpus, tmp_path):
    plain = toy.curve(parent, tmp_path / "plain", TUNE, "masked", corpus)
    whole = toy.curve(parent, tmp_path / "whole", [TUNE, {"method": "int8_dynamic"}], "masked", corpus)
    assert list(whole) == ["p050", "p100"]
    for name, folder in whole.items():
        value = dict(open_model(plain[name], "masked").model.named_parameters())[NAME]
        stored = open_model(folder, "masked").model.get_submodule(NAME.removesuffix(".weight")).weight()
        integers, scale = quantize_weight(value.detach())
        assert torch.equal(stored.int_repr(), integers)
        assert stored.q_scale() == float(scale)
        assert read_manifest(folder).method == "finetune+int8_dynamic"
        facts = [json.loads((path / "checkpoint.json").read_text()) for path in (folder, plain[name])]
        assert facts[0] == facts[1]  # training went on from the float32 values, not from the rounded ones


def interrupted(monkeypatch, at):
    """Training that dies at its step number ``at`` (from 0), of the run that is that long."""
    def batch(run, step, real=loop._batch):
        if step == at and run.settings.steps == 10:
            raise KeyboardInterrupt
        return real(run, step)

    monkeypatch.setattr(loop, "_batch", batch)


def test_a_killed_variant_goes_on_to_the_same_bytes(parent, corpus, tmp_path, monkeypatch):
    variant = [DISTILL, PRUNE, TUNE, ROUND]
    whole = toy.curve(parent, tmp_path / "whole", variant, "masked", corpus)
    assert list(whole) == ["p050", "p100"]
    with monkeypatch.context() as patch:
        interrupted(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            toy.curve(parent, tmp_path / "work", variant, "masked", corpus)
    assert [path.name for path in sorted((tmp_path / "work").glob("p*"))] == ["p050"]
    trained = []
    monkeypatch.setattr(loop, "_update", lambda *a, real=loop._update: trained.append(a[-1]) or real(*a))
    again = toy.curve(parent, tmp_path / "work", variant, "masked", corpus)
    assert trained == [5, 6, 7, 8, 9]  # neither the distillation nor the first half of the tuning
    assert {name: sha256_folder(path) for name, path in again.items()} == {
        name: sha256_folder(path) for name, path in whole.items()}


def test_a_floor_that_is_reached_ends_training_no_sooner_than_a_method_allows(parent, corpus, tmp_path):
    (config,) = parse_variant(TUNE | {"stop": {"heldout_loss_ratio": 100}}, "x")
    for not_before, steps in ((0, 5), (5, 5), (6, 10)):
        subject = open_subject(parent, "masked")
        context = Context(0, corpus, work=tmp_path / str(not_before))
        train_subject(subject, config, context, ("parent", subject.model), not_before=not_before)
        assert (subject.facts["step"], subject.facts["floor_reached"]) == (steps, True)


def test_a_step_after_training_that_breaks_a_weight_is_named(parent, corpus, tmp_path):
    variant = [TUNE, {"method": "noise", "relative_norm": 1e42}, ROUND]
    with pytest.raises(MethodError, match=r"weight bert\.\S+ became NaN or infinite in step 2 \(noise\)$"):
        toy.curve(parent, tmp_path / "work", variant, "masked", corpus)
    assert not list((tmp_path / "work").glob("p*"))


def test_only_the_last_training_has_a_curve(parent, corpus, tmp_path):
    work = tmp_path / "work"
    compress_in_training(parent, work, parse_variant([DISTILL, TUNE], "x"), "masked", Context(0, corpus))
    assert sorted(path.relative_to(work).as_posix() for path in work.glob("**/p*")) == ["p050", "p100"]
    assert [step.method for step in read_manifest(work / "p050").steps] == ["distill", "finetune"]


def test_a_control_of_the_same_norm_takes_the_whole_training(parent, corpus, product):
    tuned, _, _ = product(TUNE, "tuned")
    noisy, _, _ = product({"method": "noise", "like": TUNE}, "noisy")
    before = dict(open_model(parent, "masked").model.named_parameters())
    norms = [(values[NAME] - before[NAME]).norm().item() for values in (tuned, noisy)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
