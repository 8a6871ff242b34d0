"""Packing for any texts and lengths: nothing lost, nothing too long; and what frames a text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.training.data import Frame, frame_of, pack
from tests.training.tiny import make_tokenizer

MASKED = Frame((101,), (102,), ())
CAUSAL = Frame((), (), (0,))


def packed(texts, frame, length, packing):
    rows = pack([np.array(text, dtype=np.int64) for text in texts], frame, length, packing)
    assert {row.dtype for row in rows} == {np.dtype(np.int64)}
    return [row.tolist() for row in rows]


def test_a_line_that_is_cut_keeps_its_separators_at_its_ends():
    # 0 1 2 3 4 5 0 is cut after six, so that the last separator is a sequence of its own.
    expected = [[0, 1, 2, 3, 4, 5], [0], [0, 6, 0]]
    assert packed([[1, 2, 3, 4, 5], [6]], CAUSAL, 6, "lines") == expected


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=30), min_size=1, max_size=8), st.integers(4, 20))
def test_lines_lose_no_token(texts, length):
    for frame in (MASKED, CAUSAL):
        rows = packed(texts, frame, length, "lines")
        assert all(len(row) <= length for row in rows)
        assert [token for row in rows for token in row if 0 < token < 101] == [x for text in texts for x in text]


@given(st.lists(st.lists(st.integers(1, 99), min_size=20, max_size=30), min_size=1, max_size=8), st.integers(4, 20))
def test_blocks_are_full_and_lose_less_than_one(texts, length):
    rows = packed(texts, MASKED, length, "blocks")
    assert {len(row) for row in rows} == {length}
    joined = [x for text in texts for x in text]
    found = [token for row in rows for token in row[1:-1]]
    assert found == joined[: len(found)]
    assert len(joined) - len(found) < length - 2


def test_frames_are_the_tokenizers():
    masked, causal = make_tokenizer("masked"), make_tokenizer("causal")
    assert frame_of(masked, "masked") == Frame((masked.cls_token_id,), (masked.sep_token_id,), ())
    assert frame_of(causal, "causal") == Frame((), (), (causal.eos_token_id,))
