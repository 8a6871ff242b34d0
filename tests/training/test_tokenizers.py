import pytest
from transformers import AutoTokenizer

from stages.common.params import Tokenizer
from stages.training.tokenizers import train_tokenizer

CORPUS = ["The cat sat.", "the cat ran.", "a dog sat"]


def saved_and_loaded(tokenizer, folder):
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_masked_word_tokenizer_frames_texts_as_bert_does(tmp_path):
    tokenizer = train_tokenizer(CORPUS, Tokenizer(kind="word", vocab_size=32), "masked", 40)
    loaded = saved_and_loaded(tokenizer, tmp_path)
    shown = loaded.convert_ids_to_tokens(loaded.encode("The CAT [MASK] zebra."))
    assert shown == ["[CLS]", "the", "cat", "[MASK]", "[UNK]", ".", "[SEP]"]
    assert loaded.model_max_length == 40
    assert loaded.mask_token == "[MASK]"
    # cat, sat, the and "." occur twice, a, dog and ran once: 7 words and 5 special tokens.
    assert len(loaded) == 12


def test_causal_tokenizer_adds_nothing_and_knows_where_a_text_ends(tmp_path):
    tokenizer = train_tokenizer(CORPUS, Tokenizer(kind="bpe", vocab_size=300, lowercase=False), "causal", 40)
    loaded = saved_and_loaded(tokenizer, tmp_path)
    assert loaded.encode("<|endoftext|>") == [loaded.bos_token_id] == [loaded.eos_token_id] == [0]
    ids = loaded.encode("The Zebra sat – é")
    assert loaded.decode(ids) == "The Zebra sat – é"
    assert 0 not in ids


def test_wordpiece_splits_unknown_words_and_lowercases(tmp_path):
    corpus = ["playing played plays player"] * 5
    tokenizer = train_tokenizer(corpus, Tokenizer(kind="wordpiece", vocab_size=40), "masked", 40)
    loaded = saved_and_loaded(tokenizer, tmp_path)
    shown = loaded.convert_ids_to_tokens(loaded.encode("Played", add_special_tokens=False))
    assert "".join(piece.removeprefix("##") for piece in shown) == "played"
    assert loaded.decode(loaded.encode("PLAYS", add_special_tokens=False)) == "plays"


@pytest.mark.parametrize("kind", ["word", "wordpiece", "bpe"])
def test_the_same_texts_give_the_same_tokenizer(kind):
    texts = [f"w{i % 37} x{i % 53}y z{i % 11}" for i in range(400)]
    spec = Tokenizer(kind=kind, vocab_size=280)
    first, second = (train_tokenizer(iter(texts), spec, "masked", 40) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
