"""Models that exist already: which files are taken, and what is refused, from a folder, a package and the hub."""

import json
import sys
import time

import pytest
import torch
from huggingface_hub import constants

from stages.common.errors import ModelError
from stages.common.params import HubModel, LocalModel, Package, PackagedModel
from stages.training.sources import package_folder, take
from tests.training.tiny import make_model, make_tokenizer


def save(folder, seed=0):
    model = make_model("masked")
    with torch.no_grad():
        model.cls.predictions.bias.fill_(seed)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def local(folder):
    return LocalModel(source="local", family="masked", path=str(folder))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folders_config_weights_and_tokenizer_are_taken_and_nothing_else(tmp_path):
    source = save(tmp_path / "source")
    safe = content(source)
    for name in ("pytorch_model.bin", "optimizer.pt", "training_args.bin", "modeling_own.py", "model.ckpt.index",
                 "vocab.pkl", "README.md"):
        (source / name).write_bytes(b"never opened")
    (source / "onnx").mkdir()
    assert take(local(source), tmp_path / "target") == {"p100": str(source)}
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["p100"]
    taken = content(tmp_path / "target" / "p100")
    assert taken == {name: safe[name] for name in ("config.json", "model.safetensors", "tokenizer.json",
                                                   "tokenizer_config.json")}


def test_shards_and_vocabularies_are_taken(tmp_path):
    source = save(tmp_path / "source")
    (source / "model.safetensors").rename(source / "model-00001-of-00001.safetensors")
    names = ["model.safetensors.index.json", "vocab.txt", "merges.txt", "spiece.model", "special_tokens_map.json"]
    for name in names:
        (source / name).write_text("{}")
    take(local(source), tmp_path / "target")
    assert {"model-00001-of-00001.safetensors", *names} <= set(content(tmp_path / "target" / "p100"))


def test_pickled_weights_alone_are_refused(tmp_path):
    source = save(tmp_path / "source")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no safetensors weights in the model folder .*convert them"):
        take(local(source), tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="absent: no such model folder"):
        take(local(tmp_path / "absent"), tmp_path / "target")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty: no config\.json in the model folder"):
        take(local(tmp_path / "empty"), tmp_path / "target")


def test_a_packages_model_is_taken_without_importing_it(package, encoder, tmp_path):
    folder = package(encoder)
    spec = PackagedModel(source="package", family="sentence", package=Package(name="carried_model", folder="model"))
    assert take(spec, tmp_path / "target") == {"p100": "carried_model/model"}
    assert content(tmp_path / "target" / "p100") == content(folder)
    assert "carried_model" not in sys.modules


def test_a_package_that_is_not_there_says_what_to_do():
    with pytest.raises(ModelError, match=r"the package 'nobody_has_this' is not installed \(make setup-mini\)"):
        package_folder(Package(name="nobody_has_this", folder="model"))
    with pytest.raises(ModelError, match="the package 'json' has no folder 'model'"):
        package_folder(Package(name="json", folder="model"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub cache that holds two revisions of one repository, the early one without a tokenizer."""
    root = tmp_path / "hub" / "models--nobody--tiny"
    for index, revision in enumerate(("early", "final")):
        commit = str(index) * 40
        save(root / "snapshots" / commit, seed=index)
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / revision).write_text(commit)
    for path in (root / "snapshots" / ("0" * 40)).glob("tokenizer*"):
        path.unlink()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root.parent))
    return root / "snapshots"


def hub_model(repo="nobody/tiny", **checkpoints):
    return HubModel(source="hub", family="masked", repo=repo, revision="final", checkpoints=checkpoints)


def test_checkpoints_of_the_hub_have_their_own_weights_and_one_tokenizer(hub, tmp_path):
    target = tmp_path / "target"
    assert take(hub_model(p010="early", p100="final"), target) == {
        "p010": "nobody/tiny@early", "p100": "nobody/tiny@final"}
    early, final = (content(hub / (digit * 40)) for digit in "01")
    assert early["model.safetensors"] != final["model.safetensors"]
    assert content(target / "p100") == final
    assert content(target / "p010") == final | early
    assert json.loads((target / "p010" / "config.json").read_text())["model_type"] == "bert"


def test_a_hub_model_without_checkpoints_is_its_revision(hub, tmp_path):
    assert take(hub_model(), tmp_path / "target") == {"p100": "nobody/tiny@final"}
    assert content(tmp_path / "target" / "p100") == content(hub / ("1" * 40))


def refusal(spec, target):
    began = time.monotonic()
    with pytest.raises(ModelError) as caught:
        take(spec, target)
    assert time.monotonic() - began < 5.0
    message = str(caught.value)
    assert "\n" not in message
    assert "without network, fill the hub cache (HF_HUB_CACHE) or set HF_ENDPOINT to a mirror" in message
    assert not target.exists()
    return message


def test_a_hub_model_offline_is_one_clear_line_at_once(hub, tmp_path):
    message = refusal(hub_model("nobody/no-such-model"), tmp_path / "target")
    assert message.startswith("nobody/no-such-model: not to be had from the hub at final: ")


def test_a_revision_not_in_the_cache_is_not_replaced_by_another(hub, tmp_path):
    assert "at middle" in refusal(hub_model(p050="middle", p100="final"), tmp_path / "target")

