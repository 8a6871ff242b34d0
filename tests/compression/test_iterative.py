"""Pruning in rounds with training in between."""

import json

import pytest

from stages.common.errors import MethodError, ParamsError
from stages.common.files import sha256_folder
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.manifest import read_manifest
from stages.compression.methods.iterative import schedule
from stages.compression.pipeline import compress_folder
from stages.compression.pruning import lowest
from stages.training import loop
from tests.compression import toy
from tests.compression.toy import TRAINING

NAME = "gpt_neox.layers.1.mlp.dense_h_to_4h.weight"
TRAINED = TRAINING | {"steps": 8, "checkpoints": [25, 50, 100]}
LAST = {"method": "magnitude", "sparsity": 0.75}
PRUNE = {"method": "iterative", "prune": LAST, "rounds": 2, "training": TRAINED}
CALIBRATED = {"sequences": 4, "length": 12}


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return toy.save_teacher(tmp_path_factory.mktemp("parent"), "causal", steps=60) / "p100"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return toy.save_corpus(tmp_path_factory.mktemp("texts") / "corpus.parquet", 300)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def matrices(folder, family="causal"):
    return {name: value.detach() for name, value in open_model(folder, family).model.named_parameters()
            if ".layer" in name and value.dim() > 1}


def test_every_round_prunes_the_same_share_of_what_is_left():
    def rising(rounds=2, **settings):
        steps = schedule(parse_variant(PRUNE | {"rounds": rounds, "prune": LAST | settings}, "x")[0])
        return {step: prune.sparsity for step, prune in steps.items()}

    assert rising() == {0: 0.5, 4: 0.75}
    assert rising(sparsity=0.875, rounds=3) == pytest.approx({0: 0.5, 2: 0.75, 5: 0.875})
    assert rising(sparsity=0.3, rounds=1) == {0: 0.3}


@pytest.mark.parametrize(("prune", "key", "expected"), [
    ({"method": "random_prune", "sparsity": 0.488}, "sparsity", [0.2, 0.36, 0.488]),
    ({"method": "wanda", "sparsity": 0.488}, "sparsity", [0.2, 0.36, 0.488]),
    ({"method": "wanda", "sparsity": 0.5, "block": 8}, "sparsity", [0.125, 0.25, 0.5]),
    ({"method": "semi_structured", "pruned": 5, "block": 8}, "pruned", [1, 3, 5]),
    ({"method": "heads", "count": 4}, "count", [1, 2, 4]),
    ({"method": "heads", "share": 0.6}, "share", [0.2, 0.4, 0.6]),
])
def test_every_method_of_pruning_rises_to_what_is_asked_for(prune, key, expected):
    steps = schedule(parse_variant(PRUNE | {"prune": prune, "rounds": 3}, "x")[0]).values()
    assert [getattr(step, key) for step in steps] == pytest.approx(expected)
    assert list(steps)[-1] == parse_variant(prune, "x")[0]


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
    prune = LAST | {"granularity": "global"}
    toy.compress(parent, tmp_path / "out", PRUNE | {"prune": prune}, "causal", corpus)
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
    ({"prune": LAST | {"sparsity": 1.0}}, r"sparsity: "),
    ({"prune": {"method": "cast"}}, r"prune: .*'cast'.*'magnitude'"),
    ({"prune": {"method": "heads", "count": 1}}, "1 cannot be pruned in 2 rounds: each takes one at least"),
    ({"prune": {"method": "wanda", "sparsity": 0.5, "block": 2}}, "1 cannot be pruned in 2 rounds"),
    ({"rewind": "half"}, "rewind: "),
    ({"rounds": 0}, "rounds: "),
    ({"rounds": 9}, "9 rounds do not fit into 8 steps"),
])
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant(PRUNE | settings, "x")


def test_a_sparsity_that_leaves_nothing_is_refused_before_training(parent, tmp_path):
    (tmp_path / "out").mkdir()
    steps = parse_variant(PRUNE | {"prune": LAST | {"sparsity": 0.99999}}, "x")
    with pytest.raises(MethodError, match=r"sparsity 0\.99999 removes \d+ of \d+"):
        compress_folder(parent, tmp_path / "out", steps, "causal", Context(0, tmp_path / "no corpus is read"))


@pytest.mark.parametrize(("prune", "shares", "of"), [
    ({"method": "random_prune", "sparsity": 0.75}, (0.5, 0.75), "matrix"),
    ({"method": "wanda", "sparsity": 0.75, **CALIBRATED}, (0.5, 0.75), "row"),
    ({"method": "semi_structured"}, (0.25, 0.5), "block"),
], ids=str)
def test_any_method_prunes_more_and_more_of_the_same(prune, shares, of, parent, corpus, tmp_path):
    found = toy.curve(parent, tmp_path / "work", PRUNE | {"prune": prune}, "causal", corpus)
    half, last = (matrices(found[name]) for name in ("p050", "p100"))
    for values, share in zip((half, last), shares, strict=True):
        assert len(values) == 12
        for value in values.values():
            pieces = {"matrix": value.view(1, -1), "row": value, "block": value.view(-1, 4)}[of]
            assert ((pieces == 0).sum(dim=1) == share * pieces.shape[1]).all()
    assert all((last[name][half[name] == 0] == 0).all() for name in half)


def test_heads_go_one_after_the_other(parent, corpus, tmp_path):
    prune = {"method": "heads", "share": 0.34, **CALIBRATED}
    found = toy.curve(parent, tmp_path / "work", PRUNE | {"prune": prune}, "causal", corpus)
    gone = []
    for folder in (found["p050"], found["p100"]):
        outputs = [value for name, value in matrices(folder).items() if name.endswith("attention.dense.weight")]
        gone.append({(layer, head) for layer, value in enumerate(outputs) for head in range(2)
                     if (value[:, 12 * head : 12 * head + 12] == 0).all()})
    # Of 3 layers of 2 heads: 0.17 and then 0.34 of 6.
    assert [len(heads) for heads in gone] == [1, 2]
    assert gone[0] < gone[1]


def test_rewound_weights_are_a_step_from_where_they_were_and_chosen_by_training(parent, corpus, tmp_path):
    training = TRAINED | {"steps": 6, "warmup_steps": 0, "learning_rate": 0.006, "weight_decay": 0.0,
                          "checkpoints": [100]}
    before = matrices(parent)
    moved, masks = {}, {}
    for rewind in ("none", "initial"):
        variant = PRUNE | {"training": training, "rounds": 6, "rewind": rewind}
        toy.compress(parent, tmp_path / rewind, variant, "causal", corpus)
        after = matrices(tmp_path / rewind)
        moved[rewind] = max(float((after[name] - old)[after[name] != 0].abs().max()) for name, old in before.items())
        masks[rewind] = {name: value == 0 for name, value in after.items()}
        assert all(int(mask.sum()) == round(0.75 * mask.numel()) for mask in masks[rewind].values())
    # The last of six steps has a sixth of the rate, and Adam's step is seldom more than the rate.
    assert moved["initial"] < 0.002
    assert moved["none"] > 0.01
    at_once = {name: lowest(old.abs(), round(0.75 * old.numel())) for name, old in before.items()}
    assert any(not mask.equal(at_once[name]) for name, mask in masks["initial"].items())


def test_a_killed_pruning_goes_on_to_the_same_bytes(parent, corpus, tmp_path, monkeypatch):
    variant = PRUNE | {"rewind": "initial", "rounds": 4, "prune": {"method": "wanda", "sparsity": 0.75, **CALIBRATED}}
    whole = toy.curve(parent, tmp_path / "whole", variant, "causal", corpus)

    def batch(run, step, real=loop._batch):
        if step == 7:  # two prunings after the checkpoint at step 4
            raise KeyboardInterrupt
        return real(run, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "_batch", batch)
        toy.curve(parent, tmp_path / "work", variant, "causal", corpus)
    assert not (tmp_path / "work" / "p100").exists()
    again = toy.curve(parent, tmp_path / "work", variant, "causal", corpus)
    assert {name: sha256_folder(path) for name, path in again.items()} == {
        name: sha256_folder(path) for name, path in whole.items()}


def test_a_floor_ends_no_training_before_the_last_pruning(parent, corpus, tmp_path):
    stop = {"heldout_loss_ratio": 1000.0}
    training = TRAINED | {"checkpoints": [25, 50, 63, 100]}
    found = toy.curve(parent, tmp_path / "work", PRUNE | {"stop": stop, "training": training}, "causal", corpus)
    # Two rounds of four steps; 63% is the step after the second pruning.
    assert sorted(found) == ["p025", "p050", "p063"]
    assert all(int((value == 0).sum()) == round(0.75 * value.numel()) for value in matrices(found["p063"]).values())


def test_a_tied_head_is_pruned_and_trained_as_a_copy(corpus, tmp_path):
    masked = toy.save_teacher(tmp_path / "teacher", "masked", steps=22) / "p100"
    prune = LAST | {"scope": "linear"}
    toy.compress(masked, tmp_path / "out", PRUNE | {"prune": prune, "rewind": "initial"}, "masked", corpus)
    values = dict(open_model(tmp_path / "out", "masked").model.named_parameters())
    head, embeddings = values["cls.predictions.decoder.weight"], values["bert.embeddings.word_embeddings.weight"]
    assert int((head == 0).sum()) == round(0.75 * head.numel())
    assert int((embeddings == 0).sum()) <= embeddings.shape[1]  # the row of the padding token alone
    assert (head != embeddings)[head != 0].float().mean() > 0.9


def test_what_is_pruned_beside_matrices_stays_pruned_too(parent, corpus, tmp_path):
    prune = {"method": "random_prune", "sparsity": 0.5, "scope": "attention", "embeddings": True, "norms": True}
    toy.compress(parent, tmp_path / "out", PRUNE | {"prune": prune}, "causal", corpus)
    pruned = {name: value for name, value in open_model(tmp_path / "out", "causal").model.named_parameters()
              if name.endswith(("norm.weight", "embed_in.weight", "query_key_value.weight"))}
    assert len(pruned) == 2 * 3 + 1 + 1 + 3  # GPT-NeoX has two norms a layer and one behind the last
    assert all(int((value == 0).sum()) == round(0.5 * value.numel()) for value in pruned.values())


def test_method_json_says_the_whole_pruning_step(parent, corpus, tmp_path):
    toy.compress(parent, tmp_path / "out", PRUNE, "causal", corpus)
    step = read_manifest(tmp_path / "out").steps[0]
    assert step.config["prune"] == parse_variant(LAST, "x")[0].model_dump(mode="json")
    assert parse_variant(step.config, "x") == parse_variant(PRUNE, "x")
