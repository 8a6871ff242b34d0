"""int8_dynamic against torch.ao's quantize_dynamic itself."""

import json

import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear

from stages.common.errors import MethodError, ModelError
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.int8_weights import quantize_weight
from stages.compression.pipeline import compress_folder
from stages.models.load import load_model

INT8 = {"method": "int8_dynamic"}
KINDS = ["bert", "bert_untied", "roberta", "gpt_neox", "gpt2", "sentence"]
ENGINES = ["x86", "fbgemm", "onednn", "qnnpack"]


def torch_ao(folder, family, engine="x86"):
    """The model as torch.ao quantizes it."""
    previous = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        model = load_model(folder, family).model
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    finally:
        torch.backends.quantized.engine = previous


def quantized(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, DynamicLinear)}


@pytest.mark.parametrize("kind", KINDS)
def test_integers_scales_and_outputs_are_torch_aos(kind, compress, checkpoints, family, outputs):
    folder, _ = compress(kind, INT8)
    reference, opened = torch_ao(checkpoints / kind, family[kind]), open_model(folder, family[kind]).model
    expected, found = quantized(reference), quantized(opened)
    assert sorted(found) == sorted(expected)
    for name, module in expected.items():
        weight, own = module.weight(), found[name].weight()
        assert torch.equal(own.int_repr(), weight.int_repr()), name
        assert own.q_scale() == weight.q_scale(), name
        assert own.q_zero_point() == weight.q_zero_point() == 0, name
    for ours, theirs in zip(outputs(opened), outputs(reference), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_is_part_of_the_recipe(engine, compress, checkpoints, outputs):
    folder, _ = compress("bert", INT8 | {"engine": engine})
    before = torch.backends.quantized.engine
    opened = open_model(folder, "masked").model
    assert torch.backends.quantized.engine == before
    for ours, theirs in zip(outputs(opened), outputs(torch_ao(checkpoints / "bert", "masked", engine)), strict=True):
        assert torch.equal(ours, theirs)


def test_every_linear_is_quantized_and_nothing_else(compress):
    folder, manifest = compress("bert", INT8)
    model = open_model(folder, "masked").model
    assert not [name for name, module in model.named_modules() if type(module) is nn.Linear]
    # Six in each of three layers, the head's transform and its decoder.
    assert len(quantized(model)) == 3 * 6 + 2
    assert {"cls.predictions.decoder", "cls.predictions.transform.dense"} < set(quantized(model))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert set(manifest.modules) == set(quantized(model))


def test_gpt2_keeps_its_conv1d_and_quantizes_the_head_alone(compress):
    folder, _ = compress("gpt2", INT8)
    assert list(quantized(open_model(folder, "causal").model)) == ["lm_head"]


def test_a_tied_head_is_derived_and_takes_no_room(compress):
    folder, manifest = compress("bert", INT8)
    facts = manifest.tensors["cls.predictions.decoder.weight"]
    assert (facts["form"], facts["source"]) == ("int8_derived", "bert.embeddings.word_embeddings.weight")
    with safe_open(folder / "weights.safetensors", "pt") as file:
        assert not [name for name in file.keys() if name.startswith("cls.predictions.decoder.weight")]  # noqa: SIM118
        assert len(file.metadata()) <= 1


def test_an_untied_head_is_stored(compress):
    folder, manifest = compress("bert_untied", INT8)
    assert manifest.tensors["cls.predictions.decoder.weight"] == {"form": "int8", "per_channel": False}
    with safe_open(folder / "weights.safetensors", "pt") as file:
        assert file.get_tensor("cls.predictions.decoder.weight").dtype == torch.int8


def test_sizes_are_counted(compress, checkpoints):
    _, manifest = compress("bert", INT8)
    hidden, vocabulary, inner, layers, positions = 32, 60, 48, 3, 40
    linear = layers * (4 * hidden**2 + 2 * hidden * inner) + hidden**2
    embeddings = (vocabulary + positions + 2) * hidden
    vectors = layers * (4 * hidden + inner + hidden + 4 * hidden) + 2 * hidden + (hidden + 2 * hidden) + vocabulary
    assert manifest.sizes.parameters == manifest.sizes.parent_parameters == linear + embeddings + vectors
    assert manifest.sizes.compressed_parameters == linear + vocabulary * hidden
    # 8 bits a quantized weight and one float32 scale a matrix; the derived head costs nothing.
    assert manifest.sizes.logical_bits == 8 * linear + 32 * (6 * layers + 1) + 32 * (embeddings + vectors)


def test_a_model_without_linear_is_refused(tmp_path, checkpoints, monkeypatch):
    # GPT-2 without a language-model head has Conv1D only.
    with pytest.raises(MethodError, match=r"no nn\.Linear"):
        compress_folder(checkpoints / "gpt2", tmp_path, parse_variant(INT8, "x"), "sentence", Context())


def test_a_missing_engine_is_one_clear_line(compress, monkeypatch):
    monkeypatch.setattr(type(torch.backends.quantized), "supported_engines", ["none", "fbgemm"])
    with pytest.raises(ModelError, match=r"engine 'x86' is not in this build of torch.*fbgemm"):
        compress("bert", INT8)


def test_derived_integers_are_checked(compress):
    folder, _ = compress("bert", INT8)
    path = folder / "method.json"
    raw = json.loads(path.read_text())
    raw["tensors"]["cls.predictions.decoder.weight"]["sha256"] = "0" * 64
    path.write_text(json.dumps(raw))
    with pytest.raises(ModelError, match=r"integers of cls\.predictions\.decoder\.weight come out otherwise"):
        open_model(folder, "masked")


def test_quantize_weight_by_hand():
    # max |w| = 127.5 / 128, so the scale is 1 / 128; halves go to the even integer, and 128 is held to 127.
    weight = torch.tensor([[-127.5, 5.0, 127.5], [49.5, 126.5, -0.5]]) / 128
    values, scale = quantize_weight(weight)
    assert float(scale) == 1 / 128
    assert values.tolist() == [[-128, 5, 127], [50, 126, 0]]
    # With a scale an output the second is 126.5 / 127.5 / 128: 49.5 is 49.89 of it, and 0.5 is 0.504.
    values, scale = quantize_weight(weight, per_channel=True)
    assert scale.flatten().tolist() == pytest.approx([1 / 128, 126.5 / 127.5 / 128])
    assert values.tolist()[0] == [-128, 5, 127]
    assert values.tolist()[1][0] == 50
    assert values.tolist()[1][2] == -1


def test_no_step_follows_integers():
    with pytest.raises(Exception, match="no step can follow int8_dynamic"):
        parse_variant([INT8, {"method": "cast"}], "variants.x")
