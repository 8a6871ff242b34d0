import numpy as np
import pandas as pd
import pytest

from stages.common.errors import DataError
from stages.training.data import Corpus, Frame, pack
from tests.training.tiny import make_tokenizer

MASKED = Frame((1,), (2,), ())
CAUSAL = Frame((), (), (0,))
TEXTS = [np.array([10, 11, 12]), np.array([13]), np.array([14, 15, 16, 17])]


def packed(frame, length, packing):
    return [row.tolist() for row in pack(TEXTS, frame, length, packing)]


def test_masked_blocks_join_texts_and_frame_each_block():
    # 8 tokens, 3 of them a block of 5: two blocks, the last two tokens dropped.
    assert packed(MASKED, 5, "blocks") == [[1, 10, 11, 12, 2], [1, 13, 14, 15, 2]]


def test_causal_blocks_put_the_separator_before_every_text():
    assert packed(CAUSAL, 4, "blocks") == [[0, 10, 11, 12], [0, 13, 0, 14]]


def test_lines_start_a_sequence_with_every_text_and_cut_long_ones():
    assert packed(MASKED, 5, "lines") == [[1, 10, 11, 12, 2], [1, 13, 2], [1, 14, 15, 16, 2], [1, 17, 2]]
    assert packed(CAUSAL, 8, "lines") == [[0, 10, 11, 12, 0], [0, 13, 0], [0, 14, 15, 16, 17, 0]]


def test_a_corpus_shorter_than_a_block_is_refused():
    with pytest.raises(DataError, match="8 tokens, fewer than one sequence of 30"):
        pack(TEXTS, MASKED, 32, "blocks")


def write_corpus(path, rows):
    pd.DataFrame(rows, columns=["split", "line", "text"]).to_parquet(path)
    return path


def test_corpus_gives_a_split_in_order_without_blank_lines(tmp_path):
    rows = [("train", 0, "the cat"), ("valid", 0, "the owl ."), ("train", 1, " "), ("train", 2, "the bee .")]
    corpus = Corpus(write_corpus(tmp_path / "corpus.parquet", rows), cache=tmp_path / "cache")
    assert list(corpus.texts("train")) == ["the cat", "the bee ."]
    tokenizer = make_tokenizer()
    encoded = corpus.encode("train", tokenizer)
    assert [tokenizer.decode(ids) for ids in encoded] == ["the cat", "the bee ."]
    assert [tokenizer.decode(ids) for ids in corpus.encode("valid", tokenizer)] == ["the owl ."]


def test_a_changed_corpus_is_read_anew(tmp_path):
    path = tmp_path / "corpus.parquet"
    for text in ("first", "second"):
        corpus = Corpus(write_corpus(path, [("train", 0, text)]), cache=tmp_path / "cache")
        assert list(corpus.texts("train")) == [text]


def test_missing_and_malformed_corpora_are_named(tmp_path):
    with pytest.raises(DataError, match="no such corpus table"):
        Corpus(tmp_path / "none.parquet", cache=tmp_path / "cache")
    pd.DataFrame({"split": ["train"], "text": ["a"]}).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="lacks the columns line"):
        Corpus(tmp_path / "bad.parquet", cache=tmp_path / "cache")
    corpus = Corpus(write_corpus(tmp_path / "ok.parquet", [("train", 0, "the cat")]), cache=tmp_path / "cache")
    with pytest.raises(DataError, match="no text in split 'valid'"):
        corpus.encode("valid", make_tokenizer())
