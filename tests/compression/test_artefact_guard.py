"""What is damaged, incomplete or of other code, and models that cannot be compressed: one clear line each."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.bert.modeling_bert import BertEmbeddings

from stages.common.errors import MethodError, ModelError
from stages.common.files import sha256_file
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.pipeline import compress_folder

INT8 = {"method": "int8_dynamic"}


def edit(folder, **changes):
    path = folder / "method.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite_weights(folder, change):
    """Change the tensors of an artefact, and its hash with them."""
    tensors = load_file(folder / "weights.safetensors")
    change(tensors)
    save_file(tensors, folder / "weights.safetensors")
    edit(folder, weights_sha256=sha256_file(folder / "weights.safetensors"))


@pytest.mark.parametrize("share", [0.2, 0.98])
def test_a_truncated_weights_file_is_refused(share, compress):
    folder, _ = compress("bert", INT8)
    path = folder / "weights.safetensors"
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ModelError, match=r"weights\.safetensors: not a whole safetensors file"):
        open_model(folder, "masked")


def test_a_flipped_bit_is_refused(compress):
    folder, _ = compress("bert", INT8)
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256 differs"):
        open_model(folder, "masked")


def test_a_missing_weights_file_is_refused(compress):
    folder, _ = compress("bert", INT8)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors: no such file in the artefact"):
        open_model(folder, "masked")


def test_a_missing_tensor_is_named(compress):
    folder, _ = compress("bert", INT8)
    name = "bert.encoder.layer.1.output.dense.weight"
    rewrite_weights(folder, lambda tensors: tensors.pop(name))
    with pytest.raises(ModelError, match=f"lacks the tensor {name}"):
        open_model(folder, "masked")


def test_an_unexpected_tensor_is_named(compress):
    folder, _ = compress("bert", INT8)
    rewrite_weights(folder, lambda tensors: tensors.update(stranger=torch.zeros(2)))
    with pytest.raises(ModelError, match="tensors the model has not: stranger"):
        open_model(folder, "masked")


def test_a_tensor_of_another_shape_is_named(compress):
    folder, _ = compress("bert", INT8)
    name = "bert.encoder.layer.1.output.dense.weight"
    rewrite_weights(folder, lambda tensors: tensors.update({name: tensors[name].T.contiguous()}))
    with pytest.raises(ModelError, match=rf"tensor {name} is torch.int8 \[48, 32\], not torch.int8 \[32, 48\]"):
        open_model(folder, "masked")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "not readable as JSON"),
        ("", "not readable as JSON"),
        ("[]", "not a JSON object"),
        ("{}", "Field required"),
        ('{"format": 99}', "format 99 is newer than 2"),
    ],
)
def test_a_broken_method_json_is_refused(content, message, compress):
    folder, _ = compress("bert", INT8)
    (folder / "method.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        open_model(folder, "masked")


def test_an_unknown_method_is_refused(compress):
    folder, _ = compress("bert", INT8)
    edit(folder, steps=[{"method": "teleport", "version": 1, "config": {}}])
    with pytest.raises(ModelError, match=r"unknown compression method 'teleport'.*newer version of this project"):
        open_model(folder, "masked")


@pytest.mark.parametrize(("version", "age"), [(99, "newer"), (0, "older")])
def test_another_version_of_a_method_is_refused(version, age, compress):
    folder, _ = compress("bert", INT8)
    edit(folder, steps=[{"method": "int8_dynamic", "version": version, "config": {}}])
    with pytest.raises(ModelError, match=f"version {version} of int8_dynamic, {age}"):
        open_model(folder, "masked")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensors": {"no.such.weight": {"form": "int8"}}}, "names what the model has not: no.such.weight"),
        ({"modules": {"bert.nothing": {"kind": "int8_dynamic"}}}, "names what the model has not: bert.nothing"),
        ({"family": "causal"}, "compressed as a causal model, not as masked"),
    ],
)
def test_a_method_json_of_another_model_is_refused(changes, message, compress):
    folder, _ = compress("bert", INT8)
    edit(folder, **changes)
    with pytest.raises(ModelError, match=message):
        open_model(folder, "masked")


def test_what_nobody_gave_a_value_is_named(compress, monkeypatch):
    folder, _ = compress("bert", INT8)
    construct = BertEmbeddings.__init__

    def with_unfilled_buffer(self, config):
        construct(self, config)
        self.register_buffer("scratch", torch.empty(2), persistent=False)

    monkeypatch.setattr(BertEmbeddings, "__init__", with_unfilled_buffer)
    with pytest.raises(ModelError, match=r"has no value for bert\.embeddings\.scratch"):
        open_model(folder, "masked")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named(bad, save, tmp_path):
    save("bert", tmp_path / "parent")
    path = tmp_path / "parent" / "model.safetensors"
    tensors = load_file(path)
    name = "bert.encoder.layer.2.attention.self.query.weight"
    tensors[name][3, 5] = bad
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=name):
        compress_folder(tmp_path / "parent", tmp_path, parse_variant(INT8, "x"), "masked", Context())


def test_a_method_that_breaks_a_weight_is_named(checkpoints, tmp_path):
    # Noise of 1e42 times the weights' norm is beyond float32.
    variant = parse_variant({"method": "noise", "relative_norm": 1e42}, "x")
    with pytest.raises(MethodError, match=r"weight bert\.encoder\.\S+ became NaN or infinite in step 1 \(noise\)$"):
        compress_folder(checkpoints / "bert", tmp_path, variant, "masked", Context())


@pytest.mark.parametrize("after", [[], [{"method": "round_to_nearest", "bits": 4}], [INT8]])
def test_the_step_that_breaks_a_weight_is_named_whatever_follows(after, checkpoints, tmp_path):
    noise = {"method": "noise", "relative_norm": 1e42}
    steps = parse_variant([{"method": "cast"}, noise, noise, *after], "x")
    with pytest.raises(MethodError, match=r"weight bert\.\S+ became NaN or infinite in step 2 \(noise\)$"):
        compress_folder(checkpoints / "bert", tmp_path, steps, "masked", Context())


def test_noise_like_a_step_that_breaks_a_weight_is_refused(checkpoints, tmp_path):
    steps = parse_variant({"method": "noise", "like": {"method": "noise", "relative_norm": 1e42}}, "x")
    with pytest.raises(MethodError, match=r"'like' makes the weight bert\.\S+ NaN or infinite$"):
        compress_folder(checkpoints / "bert", tmp_path, steps, "masked", Context())


@pytest.mark.parametrize("facts", [{"form": "hologram"}, {"form": "same", "as": "x"}, {"form": "int8_derived"}, {}])
def test_a_method_json_that_makes_no_sense_is_refused(facts, compress):
    folder, manifest = compress("bert", INT8)
    edit(folder, tensors=manifest.tensors | {"cls.predictions.decoder.weight": facts})
    with pytest.raises(ModelError, match=r"method\.json: does not describe the weights beside it"):
        open_model(folder, "masked")


def test_an_artefact_is_not_compressed_again(compress, tmp_path):
    folder, _ = compress("bert", {"method": "round_to_nearest", "bits": 4})
    with pytest.raises(ModelError, match=r"is compressed already.*list of methods"):
        compress_folder(folder, tmp_path, parse_variant(INT8, "x"), "masked", Context())
