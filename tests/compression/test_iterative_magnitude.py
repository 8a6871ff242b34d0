"""Pruning in rounds with training in between."""

import json

import pytest

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.manifest import read_manifest
from stages.compression.methods.iterative_magnitude import sparsities
from stages.compression.pipeline import compress_folder
from tests.compression import toy
from tests.compression.toy import TRAINING

NAME = "gpt_neox.layers.1.mlp.dense_h_to_4h.weight"
TRAINED = TRAINING | {"steps": 8, "checkpoints": [25, 50, 100]}
PRUNE = {"method": "iterative_magnitude", "sparsity": 0.75, "rounds": 2, "training": TRAINED}


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return toy.save_teacher(tmp_path_factory.mktemp("parent"), "causal", steps=60) / "p100"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return toy.save_corpus(tmp_path_factory.mktemp("texts") / "corpus.parquet", 300)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_round_prunes_the_same_share_of_what_is_left():
    def rising(**settings):
        return sparsities(parse_variant(PRUNE | settings, "x")[0])

    assert rising() == {0: 0.5, 4: 0.75}
    assert rising(sparsity=0.875, rounds=3) == pytest.approx({0: 0.5, 2: 0.75, 5: 0.875})
    assert rising(sparsity=0.3, rounds=1) == {0: 0.3}


def test_sparsity_is_exact_after_every_round_and_what_is_pruned_stays(parent, corpus, tmp_path):
    found = toy.curve(parent, tmp_path / "work", PRUNE, "causal", corpus)
    values = [dict(open_model(folder, "causal").model.named_parameters())[NAME] for folder in found.values()]
    size = values[0].numel()
    # The second round begins with the fifth step, after the checkpoint at half.
    assert [int((value == 0).sum()) for value in values] == [size // 2, size // 2, size * 3 // 4]
    assert ((values[0] == 0) == (values[1] == 0)).all()
    assert (values[2][values[1] == 0] == 0).all()
    assert (values[2] != values[1])[values[2] != 0].all()
    manifest = read_manifest(found["p100"])
    assert manifest.tensors[NAME]["form"] == "sparse"
    # Matrices of the layers alone: 12 of them, and nothing else is zero.
    pruned = [value for name, value in open_model(parent, "causal").model.named_parameters()
              if ".layers." in name and value.dim() > 1]
    assert len(pruned) == 12
    assert manifest.sizes.zeros == sum(round(0.75 * value.numel()) for value in pruned)


def test_weights_are_compared_over_the_model_where_asked(parent, corpus, tmp_path):
    toy.compress(parent, tmp_path / "out", PRUNE | {"granularity": "global"}, "causal", corpus)
    values = [value for name, value in open_model(tmp_path / "out", "causal").model.named_parameters()
              if ".layers." in name and value.dim() > 1]
    assert sum(int((value == 0).sum()) for value in values) == round(0.75 * sum(value.numel() for value in values))
    assert len({round(float((value == 0).float().mean()), 3) for value in values}) > 4


def test_recovery_in_between_is_better_than_pruning_alone(parent, corpus, tmp_path):
    training = TRAINING | {"steps": 40, "learning_rate": 0.003, "checkpoints": [100]}
    for name, variant in (("rounds", PRUNE | {"training": training}),
                          ("once", [{"method": "magnitude", "sparsity": 0.75}, {"method": "finetune", "training":
                           training | {"steps": 1, "warmup_steps": 0, "learning_rate": 1e-30}}])):
        toy.compress(parent, tmp_path / name, variant, "causal", corpus)
    rounds, once = (json.loads((tmp_path / name / "checkpoint.json").read_text())["heldout_loss"]
                    for name in ("rounds", "once"))
    assert rounds < once - 0.1


@pytest.mark.parametrize(("settings", "message"), [
    ({"sparsity": 1.0}, "sparsity: "),
    ({"rounds": 0}, "rounds: "),
    ({"rounds": 9}, "9 rounds do not fit into 8 steps"),
])
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant(PRUNE | settings, "x")


def test_a_sparsity_that_leaves_nothing_is_refused_before_training(parent, tmp_path):
    (tmp_path / "out").mkdir()
    steps = parse_variant(PRUNE | {"sparsity": 0.99999}, "x")
    with pytest.raises(MethodError, match=r"sparsity 0\.99999 removes \d+ of \d+"):
        compress_folder(parent, tmp_path / "out", steps, "causal", Context(0, tmp_path / "no corpus is read"))
