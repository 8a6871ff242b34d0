"""What a training starts from: random weights by the seed, or a carried encoder under a fresh head."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DistilBertConfig, DistilBertModel

from stages.common.errors import ModelError, ParamsError
from stages.common.params import TrainedModel
from stages.training.building import build, check_trained
from tests.training.tiny import SIZES, sentences

TRAINING = {"steps": 2, "batch_size": 4, "sequence_length": 16, "learning_rate": 0.01, "warmup_steps": 1}
CARRIED = {"name": "carried_model", "folder": "model"}


def scratch(family, architecture, **config):
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32} if architecture == "gpt2" else SIZES
    return TrainedModel.model_validate({
        "source": "train", "family": family, "architecture": architecture, "config": sizes | config,
        "tokenizer": {"kind": "word", "vocab_size": 64}, "training": TRAINING})


def continued(family="masked", architecture="bert", initial=CARRIED, **config):
    return TrainedModel.model_validate({
        "source": "train", "family": family, "architecture": architecture, "config": config, "initial": initial,
        "training": TRAINING})


def start(spec, seed=0):
    check_trained(spec)
    return build(spec, iter(sentences(50, 1)), seed)


def test_unknown_architecture_is_refused():
    with pytest.raises(ParamsError, match=r"architecture: transformers knows no 'bart-like' \(e\.g\. bert, gpt_neox\)"):
        check_trained(scratch("masked", "bart-like"))


def test_unknown_config_key_names_those_there_are():
    with pytest.raises(ParamsError) as caught:
        check_trained(scratch("masked", "bert", hiden_size=16))
    message = str(caught.value)
    assert message.startswith("config.hiden_size: unknown key; allowed: ")
    assert {"hidden_size", "num_hidden_layers", "vocab_size"} <= set(message.split("allowed: ")[1].split(", "))


@pytest.mark.parametrize(("family", "architecture", "config", "message"), [
    ("masked", "gpt_neox", {}, "'gpt_neox' is no masked language model"),
    ("causal", "bert", {}, "'bert' is no causal language model"),
    ("causal", "t5", {}, "'t5' is no causal language model"),
    ("masked", "bert", {"num_attention_heads": 3}, r"config: .*16.*not a multiple .*heads \(3\)"),
    ("masked", "bert", {"hidden_size": "wide"}, "config: .*'hidden_size' expected int"),
    ("masked", "bert", {"max_position_embeddings": 8}, r"training\.sequence_length: \d+ is more than .*, 8"),
])
def test_what_does_not_fit_together_is_a_params_error(family, architecture, config, message):
    with pytest.raises(ParamsError, match=message):
        start(scratch(family, architecture, **config))


@pytest.mark.parametrize(("family", "architecture", "kind"), [
    ("masked", "bert", "BertForMaskedLM"), ("causal", "gpt_neox", "GPTNeoXForCausalLM"),
    ("causal", "gpt2", "GPT2LMHeadModel"),
])
def test_model_from_scratch_fits_its_tokenizer(family, architecture, kind):
    tokenizer, model = start(scratch(family, architecture))
    assert type(model).__name__ == kind
    assert model.get_input_embeddings().weight.shape == (len(tokenizer), 16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert (model.config.vocab_size, tokenizer.model_max_length) == (len(tokenizer), 32)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    # A causal model's padding is its end of text, which it must learn like any other token.
    assert model.config.pad_token_id == (tokenizer.pad_token_id if family == "masked" else None)


def test_weights_come_from_the_seed():
    one, again, other = (start(scratch("masked", "bert"), seed)[1].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in one.items())
    name = "bert.encoder.layer.0.output.dense.weight"
    assert not torch.equal(one[name], other[name])


def test_carried_encoder_is_continued_under_a_head_that_reads_its_space(package, encoder):
    folder = package(encoder)
    tokenizer, model = start(continued())
    stored = load_file(folder / "model.safetensors")
    loaded = model.bert.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items() if not name.startswith("pooler."))
    assert any(name.startswith("pooler.") for name in stored)  # the encoder had one
    assert not any("pooler" in name for name, _ in model.named_parameters())
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    # Noise of standard deviation 0.02 on the identity: 256 draws give 0.02 within 4 * 0.02 / sqrt(512).
    noise = model.cls.predictions.transform.dense.weight.detach() - torch.eye(16)
    assert noise.std().item() == pytest.approx(0.02, abs=0.0036)
    assert noise.mean().item() == pytest.approx(0.0, abs=4 * 0.02 / 16)
    assert tokenizer("the cat")["input_ids"][0] == tokenizer.cls_token_id
    assert len(tokenizer) == model.config.vocab_size


def test_config_of_a_continued_model_overrides_the_encoders(package, encoder):
    package(encoder)
    assert encoder.config.hidden_dropout_prob == 0.1
    _, model = start(continued(hidden_dropout_prob=0.0))
    assert model.config.hidden_dropout_prob == 0.0
    assert model.bert.embeddings.dropout.p == 0.0


def test_the_head_comes_from_the_seed(package, encoder):
    package(encoder)
    heads = [start(continued(), seed)[1].cls.predictions.transform.dense.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_encoder_of_another_architecture_is_refused(package):
    package(DistilBertModel(DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=32, vocab_size=25)))
    with pytest.raises(ModelError, match="only a bert encoder can be continued, as a masked model; this is masked "
                                         "'bert' from 'distilbert'"):
        start(continued())


@pytest.mark.parametrize(("family", "architecture"), [("causal", "gpt_neox"), ("masked", "distilbert")])
def test_other_families_and_architectures_are_not_continued(family, architecture, package, encoder):
    package(encoder)
    with pytest.raises(ModelError, match=f"this is {family} '{architecture}' from 'bert'"):
        start(continued(family, architecture))


@pytest.mark.parametrize(("edit", "message"), [
    (lambda w: w.pop("encoder.layer.0.output.dense.bias"), r"missing \['encoder\.layer\.0\.output\.dense\.bias'\]"),
    (lambda w: w.update({"encoder.layer.1.extra": torch.zeros(2)}), r"unexpected \['encoder\.layer\.1\.extra'\]"),
])
def test_weights_that_do_not_fit_are_named(edit, message, package, encoder):
    path = package(encoder) / "model.safetensors"
    stored = load_file(path)
    edit(stored)
    save_file(stored, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"model.safetensors: the encoder's weights do not fit: .*{message}"):
        start(continued())


def test_missing_package_says_what_to_do():
    with pytest.raises(ModelError, match=r"the package 'nobody_has_this' is not installed \(make setup-mini\)"):
        start(continued(initial={"name": "nobody_has_this", "folder": "model"}))
