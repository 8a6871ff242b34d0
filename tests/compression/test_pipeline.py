"""Several methods in a row."""

import pytest
import torch

from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.int8_weights import quantize_weight
from stages.compression.methods import magnitude
from stages.compression.methods.round_to_nearest import Config, round_weight

NAME = "bert.encoder.layer.1.output.dense.weight"
PRUNE = {"method": "magnitude", "sparsity": 0.5}
ROUND = {"method": "round_to_nearest", "bits": 4}


@pytest.fixture
def pruned_weight(subject):
    bert = subject("bert")
    magnitude.compress(bert, magnitude.Config(**PRUNE), Context())
    return bert.model.get_parameter(NAME).detach()


def test_a_step_works_on_what_the_step_before_left(compress, pruned_weight):
    folder, manifest = compress("bert", [PRUNE, ROUND])
    found = open_model(folder, "masked").model.get_parameter(NAME)
    assert torch.equal(found, round_weight(pruned_weight, Config(**ROUND), "w", False).weight())
    assert (found[pruned_weight == 0] == 0).all()
    assert manifest.tensors[NAME]["form"] == "integers"
    assert [step.method for step in manifest.steps] == ["magnitude", "round_to_nearest"]


def test_the_last_step_says_how_a_weight_is_stored(compress):
    folder, manifest = compress("bert", [ROUND, PRUNE | {"sparsity": 0.7}])
    assert manifest.tensors[NAME]["form"] == "sparse"
    values = open_model(folder, "masked").model.get_parameter(NAME)
    assert int((values == 0).sum()) >= round(0.7 * values.numel())


def test_prune_then_quantize_to_int8(compress, pruned_weight):
    folder, _ = compress("bert", [PRUNE, {"method": "int8_dynamic"}])
    weight = open_model(folder, "masked").model.get_submodule(NAME.removesuffix(".weight")).weight()
    integers, scale = quantize_weight(pruned_weight)
    assert torch.equal(weight.int_repr(), integers)
    assert weight.q_scale() == float(scale)


def test_cast_then_int8_derives_the_head_from_what_is_stored(compress):
    folder, manifest = compress("bert", [{"method": "cast"}, {"method": "int8_dynamic"}])
    head = open_model(folder, "masked").model.get_output_embeddings().weight()
    stored = open_model(folder, "masked").model.get_input_embeddings().weight.detach()
    assert manifest.tensors["cls.predictions.decoder.weight"]["form"] == "int8_derived"
    assert torch.equal(head.int_repr(), quantize_weight(stored)[0])


def test_a_variant_is_one_method_or_a_list():
    assert parse_variant(PRUNE, "x") == parse_variant([PRUNE], "x")
    assert [step.method for step in parse_variant([{"method": "none"}, PRUNE, ROUND], "x")] == [
        "none", "magnitude", "round_to_nearest"]
