"""The texts that methods are calibrated on."""

import pytest
import torch

from stages.common.errors import DataError, MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.calibration import calibration_ids, calibration_inputs
from stages.compression.layerwise import input_sums, walk_layers
from stages.compression.methods import wanda

LAST_WORD = 59  # only in the corpus's test split


def test_sequences_have_the_tokenizers_special_tokens_and_training_text(subject, corpus):
    ids = calibration_ids(subject("bert"), Context(0, corpus), 12, 20)
    assert ids.shape == (12, 20)
    assert (ids[:, 0] == 2).all()
    assert (ids[:, -1] == 3).all()
    assert ((ids[:, 1:-1] >= 5) & (ids[:, 1:-1] < LAST_WORD)).all()


def test_the_seed_decides_which(subject, corpus):
    bert = subject("bert")
    first, again, other = (calibration_ids(bert, Context(seed, corpus), 8, 16) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_corpus_that_is_too_short_is_refused(subject, corpus):
    # 200 lines of 12 words are 2,400 tokens, or 171 sequences of 14 and two special ones.
    assert len(calibration_ids(subject("bert"), Context(0, corpus), 171, 16)) == 171
    with pytest.raises(MethodError, match=r"corpus\.parquet: gives 171 sequences of 16 tokens, 172 are asked for"):
        calibration_ids(subject("bert"), Context(0, corpus), 172, 16)


def test_sequences_longer_than_the_model_reads_are_refused(subject, corpus):
    with pytest.raises(MethodError, match=r"sequences of 41 tokens do not fit.*3 to 40"):
        calibration_ids(subject("bert"), Context(0, corpus), 1, 41)


def test_no_corpus_is_refused(subject, tmp_path):
    with pytest.raises(MethodError, match="needs texts to calibrate on"):
        calibration_ids(subject("bert"), Context(), 1, 16)
    with pytest.raises(DataError, match="no such file"):
        calibration_ids(subject("bert"), Context(0, tmp_path / "gone.parquet"), 1, 16)


def test_a_masked_model_finds_words_replaced_by_the_mask_token(subject, corpus):
    bert, context = subject("bert"), Context(0, corpus)
    plain = calibration_ids(bert, context, 100, 20)
    found = calibration_inputs(bert, context, 100, 20, 0.15)
    hidden = found != plain
    assert (found[hidden] == 4).all()
    assert not hidden[:, [0, -1]].any()
    # 1,800 words at 15%: 270, give or take 15.
    assert 225 < int(hidden.sum()) < 315
    assert torch.equal(found, calibration_inputs(bert, context, 100, 20, 0.15))
    assert torch.equal(plain, calibration_inputs(bert, context, 100, 20, 0.0))


@pytest.mark.parametrize("kind", ["gpt_neox", "sentence"])
def test_others_read_plain_text(kind, subject, corpus):
    model, context = subject(kind), Context(0, corpus)
    assert torch.equal(calibration_inputs(model, context, 8, 16, 0.5), calibration_ids(model, context, 8, 16))


@pytest.mark.parametrize("variant", [
    {"method": "wanda", "sparsity": 0.5}, {"method": "gptq", "bits": 3}, {"method": "sparsegpt", "sparsity": 0.5},
    {"method": "awq", "bits": 3}], ids=str)
def test_what_is_masked_is_a_setting_that_shows(variant, compress):
    settings = variant | {"sequences": 8, "length": 16}
    plain, _ = compress("bert", settings | {"mask_probability": 0.0}, "plain")
    masked, _ = compress("bert", settings, "masked")
    assert (plain / "weights.safetensors").read_bytes() != (masked / "weights.safetensors").read_bytes()
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ParamsError, match="mask_probability"):
            parse_variant(settings | {"mask_probability": share}, "x")


def test_inputs_that_are_no_numbers_are_named(subject, corpus):
    bert = subject("bert")
    visit = next(walk_layers(bert, calibration_ids(bert, Context(0, corpus), 2, 16)))
    with pytest.raises(MethodError, match=r"layer\.0\.\S+: its inputs on the calibration texts are NaN or infinite"):
        input_sums(visit, lambda inputs: inputs.sum(dim=0) / 0)


@pytest.mark.parametrize(("sparsity", "block", "count"), [(0.07, 100, 7), (0.29, 100, 29), (0.5, 4, 2)])
def test_a_share_of_a_block_may_miss_its_whole_number_by_a_rounding(sparsity, block, count):
    (config,) = parse_variant({"method": "wanda", "sparsity": sparsity, "block": block}, "x")
    mask = wanda.mask(torch.arange(400.0).view(2, 200), torch.ones(200), config, "w")
    assert (mask.view(-1, block).sum(dim=1) == count).all()


@pytest.mark.parametrize(("sparsity", "block"), [(0.071, 100), (1e-12, 100), (1 - 1e-12, 100)])
def test_a_share_of_a_block_that_is_no_whole_number_or_none_or_all_is_refused(sparsity, block):
    with pytest.raises(ParamsError, match="is no whole number between 1 and 99"):
        parse_variant({"method": "wanda", "sparsity": sparsity, "block": block}, "x")
