"""Loading: every parameter comes from the checkpoint, or the model is refused with one clear line."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
)

from stages.common.errors import ModelError, ParamsError
from stages.models.guard import load_whole
from stages.models.load import load_model

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 20,
    "max_position_embeddings": 40,
}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 20, "max_position_embeddings": 40}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "he", "she", "is", "a", "nurse"]


def word_tokenizer(mask=True):
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    special = {"mask_token": "[MASK]"} if mask else {"eos_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", **special)


def byte_tokenizer():
    alphabet = sorted(ByteLevel.alphabet())[:15]
    tokenizer = Tokenizer(BPE({piece: i for i, piece in enumerate([*alphabet, "<mask>"])}, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="<mask>")


def save(folder, model, tokenizer=None):
    model.save_pretrained(folder)
    (tokenizer or word_tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture
def bert(tmp_path):
    torch.manual_seed(0)
    return save(tmp_path / "bert", BertForMaskedLM(BertConfig(**SIZES)))


@pytest.fixture
def distilbert(tmp_path):
    torch.manual_seed(0)
    return save(tmp_path / "distilbert", DistilBertForMaskedLM(DistilBertConfig(**DISTIL)))


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(folder, family="masked"):
    with pytest.raises(ModelError) as caught:
        load_model(folder, family)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_masked_model_is_loaded_whole(bert):
    loaded = load_model(bert, "masked")
    stored = load_file(bert / "model.safetensors")
    weights = dict(loaded.model.named_parameters())
    assert all(torch.equal(weights[name], stored[name]) for name in weights)
    assert not loaded.model.training
    assert (loaded.architecture, loaded.family) == ("bert", "masked")
    assert (loaded.encoder.context, loaded.encoder.vocabulary, loaded.encoder.leading_space) == (40, 20, False)


def test_parameters_count_tied_ones_once(bert):
    # Embeddings: (20 + 40 + 2) * 16 + LayerNorm 32 = 1024. A layer: 4 * (16*16+16) + (16*32+32) + (32*16+16) + 2*32
    # = 1088 + 544 + 528 + 64 = 2224, twice. Head: 16*16+16 + 32 + bias 20 = 324; its matrix is the embeddings'.
    assert load_model(bert, "masked").parameters == 1024 + 2 * 2224 + 324


def test_half_precision_checkpoint_is_loaded_in_float32(tmp_path):
    model = GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)).half()
    loaded = load_model(save(tmp_path / "half", model, word_tokenizer(mask=False)), "causal")
    assert {tensor.dtype for tensor in loaded.model.parameters()} == {torch.float32}


def test_distilbert_in_the_class_of_bert_is_refused_as_the_paper_called_it(distilbert):
    """Defect of arXiv 2312.05662: this call returned a random 12-layer BERT and a warning."""
    with pytest.raises(ModelError, match=r"204 tensors missing from the checkpoint: bert\.embeddings.* and 201 more"):
        load_whole(BertForMaskedLM, distilbert)


def test_distilbert_with_a_config_that_says_bert_is_refused(distilbert):
    BertConfig(**SIZES).save_pretrained(distilbert)
    message = refusal(distilbert)
    assert "not a checkpoint of BertForMaskedLM" in message
    assert "in the checkpoint but not in the model: distilbert.embeddings.LayerNorm.bias" in message
    assert "not a checkpoint of BertModel" in refusal(distilbert, "sentence")


def test_distilbert_itself_is_loaded(distilbert):
    assert load_model(distilbert, "masked").architecture == "distilbert"


def test_encoder_without_a_head_is_no_masked_model(tmp_path):
    folder = save(tmp_path / "headless", BertModel(BertConfig(**SIZES)))
    assert "missing from the checkpoint: cls.predictions" in refusal(folder)


def test_pretraining_checkpoint_serves_both_forms(tmp_path):
    folder = save(tmp_path / "pretraining", BertForPreTraining(BertConfig(**SIZES)))
    assert load_model(folder, "masked").family == "masked"
    assert load_model(folder, "sentence").model.pooler is None


def test_sentence_encoder_of_a_masked_checkpoint_leaves_the_head(bert):
    loaded = load_model(bert, "sentence")
    assert type(loaded.model) is BertModel
    assert not any("pooler" in name for name, _ in loaded.model.named_parameters())


@pytest.mark.parametrize(("edit", "message"), [
    (lambda w: w.pop("bert.encoder.layer.1.output.dense.weight"), "1 tensor missing from the checkpoint: "
     r"bert\.encoder\.layer\.1\.output\.dense\.weight"),
    (lambda w: w.update({"bert.extra.weight": torch.zeros(2)}), r"not in the model: bert\.extra\.weight"),
    (lambda w: w.update({"cls.predictions.bias": torch.zeros(7)}), r"another shape in the checkpoint: .*bias"),
    (lambda w: w["bert.encoder.layer.0.output.dense.bias"].fill_(torch.nan), "NaN or infinite values: bert.encoder"),
    (lambda w: w["bert.encoder.layer.0.output.dense.bias"].view(-1)[0].fill_(-torch.inf), "NaN or infinite values"),
])
def test_a_tensor_amiss_is_named(bert, edit, message):
    weights = load_file(bert / "model.safetensors")
    edit(weights)
    save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=message):
        load_model(bert, "masked")


def test_unused_buffers_of_old_releases_are_allowed(bert):
    weights = load_file(bert / "model.safetensors")
    weights["bert.embeddings.position_ids"] = torch.arange(40)[None]
    save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    assert load_model(bert, "masked").parameters > 0


def test_family_without_a_head_is_refused(bert, tmp_path):
    assert "architecture 'bert' has no causal form (it can be scored as masked or sentence)" in refusal(bert, "causal")
    folder = save(tmp_path / "neox", GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)))
    assert "architecture 'gpt_neox' has no masked form (it can be scored as causal or sentence)" in refusal(folder)


@pytest.mark.parametrize("family", ["masked", "causal", "sentence"])
def test_encoder_decoders_are_refused_by_name(bert, family):
    T5Config(d_model=16, num_layers=1, vocab_size=20).save_pretrained(bert)
    message = refusal(bert, family)
    assert "architecture 't5' is an encoder-decoder, which is not supported" in message
    assert message.endswith("(use an encoder (family masked or sentence) or a decoder (family causal))")


def test_masked_model_needs_a_mask(tmp_path):
    folder = save(tmp_path / "maskless", BertForMaskedLM(BertConfig(**SIZES)), word_tokenizer(mask=False))
    assert "no mask token" in refusal(folder)


def test_unknown_family_lists_the_families(bert):
    with pytest.raises(ParamsError, match="causal, masked, sentence"):
        load_model(bert, "encoder")


def test_folder_without_tokenizer(bert):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bert / name).unlink()
    assert "no tokenizer in the model folder" in refusal(bert)


def test_pickled_weights_only(bert):
    torch.save({}, bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    assert "only pickled weights" in refusal(bert)


def test_no_weights(bert):
    (bert / "model.safetensors").unlink()
    assert "no weights in the model folder" in refusal(bert)


def test_half_written_weights(bert):
    path = bert / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a whole safetensors file" in refusal(bert)


def test_config_that_is_not_json(bert):
    (bert / "config.json").write_text('{"model_type": "bert"')
    assert "config.json: not valid JSON" in refusal(bert)


@pytest.mark.parametrize("name", [None, "word2vec"])
def test_unsupported_architecture(bert, name):
    edit_config(bert, model_type=name)
    assert f"unsupported architecture: model_type {name!r}" in refusal(bert)


def test_config_that_does_not_fit_itself(bert):
    edit_config(bert, num_attention_heads=3)
    assert "cannot be loaded as BertForMaskedLM" in refusal(bert)


def test_config_with_a_value_of_the_wrong_type(bert):
    edit_config(bert, hidden_size="many")
    assert "config.json: Validation error for field 'hidden_size'" in refusal(bert)


def test_no_config(bert):
    (bert / "config.json").unlink()
    assert "no config.json" in refusal(bert)


def test_no_such_folder_and_no_network(tmp_path):
    assert "no such model folder" in refusal(tmp_path / "nowhere")
    assert "not to be had from the hub" in refusal("nobody/no-such-model")


def test_roberta_counts_positions_from_behind_its_padding(tmp_path):
    folder = save(tmp_path / "roberta", RobertaForMaskedLM(RobertaConfig(**SIZES)), byte_tokenizer())
    encoder = load_model(folder, "masked").encoder
    assert encoder.context == 40 - 1 - 1  # max_position_embeddings - pad_token_id - 1
    assert encoder.leading_space


def test_leading_space_is_decided_by_the_tokenizer_not_by_a_name(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "roberta-base")
    assert not load_model(tmp_path / "roberta-base", "masked").encoder.leading_space
