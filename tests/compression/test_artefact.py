"""The artefact folder: what is in it, what comes back, and what is refused."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file
from transformers.models.bert.modeling_bert import BertEmbeddings

from stages.common.files import sha256_file, sha256_folder
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.pipeline import compress_folder
from stages.models.load import load_model

RTN4 = {"method": "round_to_nearest", "bits": 4}
INT8 = {"method": "int8_dynamic"}


@pytest.mark.parametrize("variant", [INT8, RTN4, {"method": "random_init"}], ids=str)
def test_the_same_inputs_give_the_same_bytes(variant, compress):
    first, _ = compress("bert", variant, "first")
    second, _ = compress("bert", variant, "second")
    assert sha256_folder(first) == sha256_folder(second)


def test_files_of_an_artefact(compress, checkpoints):
    folder, manifest = compress("bert", INT8)
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.json", "config.json", "method.json", "tokenizer.json", "tokenizer_config.json",
        "weights.safetensors"]
    for name in ("checkpoint.json", "config.json", "tokenizer.json"):
        assert (folder / name).read_bytes() == (checkpoints / "bert" / name).read_bytes()
    text = (folder / "method.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert manifest.parent == sha256_folder(checkpoints / "bert")
    assert manifest.sizes.stored_bytes == (folder / "weights.safetensors").stat().st_size
    assert manifest.steps[0].config == {"method": "int8_dynamic", "engine": "x86"}


def test_none_links_the_checkpoints_files(compress, checkpoints, outputs):
    folder, manifest = compress("bert", {"method": "none"})
    assert os.path.samefile(folder / "model.safetensors", checkpoints / "bert" / "model.safetensors")
    parent = load_model(checkpoints / "bert", "masked")
    assert manifest.sizes.parameters == parent.parameters
    assert manifest.sizes.logical_bits == 32 * parent.parameters
    assert manifest.sizes.stored_bytes == (checkpoints / "bert" / "model.safetensors").stat().st_size
    for ours, theirs in zip(outputs(open_model(folder, "masked").model), outputs(parent.model), strict=True):
        assert torch.equal(ours, theirs)


def test_none_copies_where_links_are_refused(compress, checkpoints, monkeypatch):
    def refuse(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    folder, _ = compress("bert", {"method": "none"})
    copy, original = folder / "model.safetensors", checkpoints / "bert" / "model.safetensors"
    assert not os.path.samefile(copy, original)
    assert copy.read_bytes() == original.read_bytes()


def test_a_folder_without_method_json_opens_as_a_model(checkpoints, outputs):
    opened = open_model(checkpoints / "bert", "masked").model
    expected = load_model(checkpoints / "bert", "masked").model
    for ours, theirs in zip(outputs(opened), outputs(expected), strict=True):
        assert torch.equal(ours, theirs)


def test_ties_outlive_storage(compress):
    folder, manifest = compress("bert", RTN4)
    assert manifest.tensors["cls.predictions.decoder.weight"] == {
        "form": "same", "as": "bert.embeddings.word_embeddings.weight"}
    model = open_model(folder, "masked").model
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_a_sparse_model_is_stored_sparse(compress, checkpoints):
    folder, manifest = compress("bert", {"method": "magnitude", "sparsity": 0.75})
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    assert manifest.tensors[name] == {"form": "sparse"}
    tensors = load_file(folder / "weights.safetensors")
    # 48 x 32 weights, a quarter of them left; one bit each.
    assert tensors[f"{name}.values"].numel() == 48 * 32 // 4
    assert tensors[f"{name}.bitmap"].numel() == 48 * 32 // 8


def test_weights_that_came_in_float16_are_stored_so(save, tmp_path, outputs):
    parent = tmp_path / "parent"
    save("gpt_neox", parent).half().save_pretrained(parent)
    whole = load_model(parent, "causal")
    for variant in ({"method": "none"}, INT8):
        target = tmp_path / variant["method"]
        target.mkdir()
        manifest = compress_folder(parent, target, parse_variant(variant, "x"), "causal", Context())
        assert manifest.sizes.parameters == whole.parameters
        if variant == INT8:
            assert manifest.tensors["gpt_neox.embed_in.weight"] == {"form": "cast", "dtype": "float16"}
            model = open_model(target, "causal").model
            assert torch.equal(model.get_input_embeddings().weight, whole.model.get_input_embeddings().weight)
        else:
            assert manifest.sizes.logical_bits == 16 * whole.parameters


def test_persistent_buffers_are_part_of_the_model(save, tmp_path, monkeypatch):
    construct = BertEmbeddings.__init__

    def with_buffer(self, config):
        construct(self, config)
        self.register_buffer("seen", torch.empty(2, dtype=torch.int64).fill_(0))

    monkeypatch.setattr(BertEmbeddings, "__init__", with_buffer)
    model = save("bert", tmp_path / "parent")
    model.bert.embeddings.seen.copy_(torch.tensor([3, 4]))
    model.save_pretrained(tmp_path / "parent")
    (tmp_path / "artefact").mkdir()
    compress_folder(tmp_path / "parent", tmp_path / "artefact", parse_variant(INT8, "x"), "masked", Context())
    assert open_model(tmp_path / "artefact", "masked").model.bert.embeddings.seen.tolist() == [3, 4]


def test_what_none_wrote_can_be_compressed(compress, tmp_path, outputs):
    folder, _ = compress("bert", {"method": "none"})
    direct, _ = compress("bert", INT8, "direct")
    (tmp_path / "twice").mkdir()
    compress_folder(folder, tmp_path / "twice", parse_variant(INT8, "x"), "masked", Context())
    assert sha256_file(tmp_path / "twice" / "weights.safetensors") == sha256_file(direct / "weights.safetensors")
