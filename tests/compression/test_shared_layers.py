"""ALBERT, whose layers are one set of weights used over and over: no layer can be compressed by itself."""

import pytest
import torch
from transformers import AlbertConfig, AlbertForMaskedLM

from stages.common.errors import MethodError
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.pipeline import compress_folder


@pytest.fixture
def albert(save, tmp_path):
    """Folder of an ALBERT of three layers."""
    folder = tmp_path / "albert"
    save("bert", folder)  # for its tokenizer
    torch.manual_seed(0)
    AlbertForMaskedLM(AlbertConfig(
        vocab_size=60, embedding_size=16, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=40)).save_pretrained(folder)
    return folder


def compressed(folder, target, corpus, **variant):
    target.mkdir()
    compress_folder(folder, target, parse_variant(variant, "x"), "masked", Context(0, corpus))
    return open_model(target, "masked").model


@pytest.mark.parametrize("variant", [
    {"method": "round_to_nearest", "bits": 4}, {"method": "magnitude", "sparsity": 0.5},
    {"method": "wanda", "sparsity": 0.5, "sequences": 2, "length": 16},
    {"method": "gptq", "bits": 4, "sequences": 2, "length": 16},
    {"method": "sparsegpt", "sparsity": 0.5, "sequences": 2, "length": 16},
    {"method": "awq", "bits": 4, "sequences": 2, "length": 16}, {"method": "drop_layers", "count": 1}])
def test_what_goes_layer_by_layer_is_refused(variant, albert, tmp_path, corpus):
    with pytest.raises(MethodError, match=r"'albert' keeps its layers in no one list.*scope: linear or all"):
        compressed(albert, tmp_path / "artefact", corpus, **variant)


def test_the_shared_weights_are_compressed_once_with_every_linear_map(albert, tmp_path, corpus, outputs):
    name = "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
    before = open_model(albert, "masked").model.get_parameter(name)
    after = compressed(albert, tmp_path / "artefact", corpus, method="magnitude", sparsity=0.5, scope="linear")
    gone = after.get_parameter(name) == 0
    assert int(gone.sum()) == 32 * 48 // 2
    assert before.abs()[gone].max() <= before.abs()[~gone].min()
    assert all(torch.isfinite(logits).all() for logits in outputs(after))
