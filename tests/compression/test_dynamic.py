"""dynamic: each switch against torch.ao's quantize_dynamic."""

import pytest
import torch
from torch import nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.ao.quantization.qconfig import default_dynamic_qconfig, per_channel_dynamic_qconfig

from stages.common.files import sha256_file
from stages.compression.artefact import open_model
from stages.models.load import load_model


def opened(compress, kind, family, **settings):
    folder, manifest = compress(kind, {"method": "dynamic"} | settings, name="-".join(["x", *settings]))
    return open_model(folder, family[kind]).model, manifest, folder


@pytest.mark.parametrize("kind", ["bert", "gpt_neox", "sentence"])
@pytest.mark.parametrize("engine", ["x86", "fbgemm", "onednn"])
def test_per_channel_is_torch_aos(kind, engine, compress, checkpoints, family, outputs, monkeypatch):
    ours, _, _ = opened(compress, kind, family, weights="channel", engine=engine)
    monkeypatch.setattr(torch.backends.quantized, "engine", engine)
    reference = torch.ao.quantization.quantize_dynamic(
        load_model(checkpoints / kind, family[kind]).model, {nn.Linear: per_channel_dynamic_qconfig})
    for name, module in reference.named_modules():
        if isinstance(module, DynamicLinear):
            weight, own = module.weight(), ours.get_submodule(name).weight()
            assert torch.equal(own.int_repr(), weight.int_repr()), name
            assert torch.equal(own.q_per_channel_scales(), weight.q_per_channel_scales()), name
    for found, expected in zip(outputs(ours), outputs(reference), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("engine", ["x86", "onednn"])
def test_full_range_uses_all_eight_bits(engine, compress, family, monkeypatch):
    ours, _, _ = opened(compress, "bert", family, activations="full", engine=engine)
    reduced, _, _ = opened(compress, "bert", family, engine=engine)
    name = "bert.encoder.layer.0.attention.self.query"
    linear, other = ours.get_submodule(name), reduced.get_submodule(name)
    inputs = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    weight = linear.weight().dequantize()
    # Inputs on a grid of 256 steps, weights as they are, products without rounding.
    low, high = min(float(inputs.min()), 0.0), max(float(inputs.max()), 0.0)
    for module, steps in ((linear, 255), (other, 127)):
        scale = (high - low) / steps
        zero = round(-low / scale)
        rounded = (torch.clamp(torch.round(inputs / scale) + zero, 0, steps) - zero) * scale
        torch.testing.assert_close(module(inputs), rounded @ weight.T + module.bias(), rtol=1e-4, atol=1e-4)


def test_by_default_it_is_int8_dynamic(compress, family):
    _, _, folder = opened(compress, "bert", family)
    same, _ = compress("bert", {"method": "int8_dynamic"}, "same")
    assert sha256_file(folder / "weights.safetensors") == sha256_file(same / "weights.safetensors")


@pytest.mark.parametrize("kind", ["bert", "gpt_neox"])
def test_the_head_can_be_left_out(kind, compress, checkpoints, family, outputs):
    ours, _, _ = opened(compress, kind, family, head=False)
    assert type(ours.get_output_embeddings()) is nn.Linear
    reference = load_model(checkpoints / kind, family[kind]).model
    names = {name for name, module in reference.named_modules()
             if type(module) is nn.Linear and module is not reference.get_output_embeddings()}
    reference = torch.ao.quantization.quantize_dynamic(reference, dict.fromkeys(names, default_dynamic_qconfig))
    for found, expected in zip(outputs(ours), outputs(reference), strict=True):
        assert torch.equal(found, expected)


def test_embeddings_can_be_included(compress, checkpoints, family):
    ours, manifest, _ = opened(compress, "bert", family, embeddings=True)
    plain, _, _ = opened(compress, "bert", family)
    before = load_model(checkpoints / "bert", "masked").model.get_input_embeddings().weight.detach()
    after = ours.get_input_embeddings().weight.detach()
    steps = (before.amax(dim=1).clamp(min=0) - before.amin(dim=1).clamp(max=0)) / 255
    assert ((after - before).abs().amax(dim=1) <= 0.501 * steps).all()
    assert not torch.equal(after, before)
    # The head's integers are those of the float32 weights all the same, and are stored.
    heads = [model.get_output_embeddings().weight().int_repr() for model in (ours, plain)]
    assert torch.equal(*heads)
    assert manifest.tensors["cls.predictions.decoder.weight"]["form"] == "int8"
    assert manifest.tensors["bert.embeddings.word_embeddings.weight"]["form"] == "integers"


SWITCHES = [{"weights": "channel"}, {"activations": "full"}, {"head": False}, {"embeddings": True}]


@pytest.mark.parametrize("kind", ["bert", "gpt_neox"])
@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_each_choice_is_switched_by_itself_and_shows(switch, kind, compress, family, outputs):
    switched, manifest, _ = opened(compress, kind, family, **switch)
    plain, before, _ = opened(compress, kind, family)
    for ours, theirs in zip(outputs(switched), outputs(plain), strict=True):
        assert not torch.equal(ours, theirs)
    head = next(name for name, module in plain.named_modules() if module is plain.get_output_embeddings())
    if "head" in switch:
        assert set(before.modules) - set(manifest.modules) == {head}
        assert not isinstance(switched.get_output_embeddings(), DynamicLinear)
    else:
        assert set(before.modules) == set(manifest.modules)
    ranges = {facts["reduce_range"] for facts in manifest.modules.values()}
    assert ranges == {"activations" not in switch}
    scales = {manifest.tensors[f"{name}.weight"]["per_channel"] for name in manifest.modules}
    assert scales == {"weights" in switch}
    rounded = {name for name, facts in manifest.tensors.items() if facts["form"] == "integers"}
    embeddings = {f"{name}.weight" for name, module in switched.named_modules() if type(module) is nn.Embedding}
    assert rounded == (embeddings if "embeddings" in switch else set())
