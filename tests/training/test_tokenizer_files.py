"""Trained tokenizers of the three kinds, read again by AutoTokenizer as they were."""

import pytest
from transformers import AutoTokenizer

from tests.training.tiny import make_tokenizer, sentences

KINDS = {"word": 64, "wordpiece": 90, "bpe": 290}  # bytes alone are 256
TEXTS = [*sentences(5, 9), "The CAT eats nectar, doesn't it?"]
MASKED = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
CAUSAL = dict.fromkeys(("pad_token", "bos_token", "eos_token"), "<|endoftext|>")


@pytest.mark.parametrize("family", ["masked", "causal"])
@pytest.mark.parametrize("kind", KINDS)
def test_auto_tokenizer_reads_it_as_it_was(kind, family, tmp_path):
    trained = make_tokenizer(family, kind, KINDS[kind])
    trained.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.is_fast
    assert again(TEXTS)["input_ids"] == trained(TEXTS)["input_ids"]
    assert again.get_vocab() == trained.get_vocab()
    assert again.model_max_length == 32
    wanted = (MASKED if family == "masked" else CAUSAL) | ({} if kind == "bpe" else {"unk_token": "[UNK]"})
    assert again.special_tokens_map == wanted
    assert sorted(again.all_special_ids) == list(range(len(set(wanted.values()))))


@pytest.mark.parametrize("kind", KINDS)
def test_masked_tokenizers_frame_one_text_and_two(kind):
    tokenizer = make_tokenizer("masked", kind, KINDS[kind])
    inner = tokenizer("the cat", add_special_tokens=False)["input_ids"]
    other = tokenizer("the owl", add_special_tokens=False)["input_ids"]
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert tokenizer("the cat")["input_ids"] == [start, *inner, end]
    assert tokenizer("the cat", "the owl")["input_ids"] == [start, *inner, end, *other, end]


def test_pieces_written_out_in_a_text_are_not_special():
    tokenizer = make_tokenizer("masked", "wordpiece", 90)
    assert "##a" in tokenizer.get_vocab()
    assert "##a" not in tokenizer.tokenize("x ##a")
    assert len(tokenizer.get_added_vocab()) == 5


def test_letter_case_is_kept_where_asked():
    kept = make_tokenizer("masked", "word", lowercase=False)
    assert kept.tokenize("The cat") == ["[UNK]", "cat"]
