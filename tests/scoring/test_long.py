"""What changes with a sequence's length: windows of attention and rotary frequencies, set in whatever way."""

import numpy as np
import pytest

from stages.common.query import Query
from stages.scoring import attention, length
from stages.scoring.engine import Scorer
from stages.scoring.grouped import GroupedRunner
from stages.scoring.packed import PackedRunner
from tests.scoring.tiny import VOCABULARY, assert_answers, make, make_int8, one_by_one

LIMITED = ["qwen2_moe", "phimoe", "mistral", "llama4_text", "phi3"]


def long_and_short(seed=0):
    generator = np.random.default_rng(seed)
    sequences = [tuple(generator.integers(3, VOCABULARY, size).tolist()) for size in (3, 8, 11, 12, 13, 30, 60)]
    return [Query(ids, tuple(range(len(ids) - 1)), ids[1:]) for ids in sequences]


@pytest.mark.parametrize("architecture", LIMITED)
def test_long_texts_get_the_numbers_of_the_plain_forward_pass(architecture):
    loaded = make(architecture, "causal")
    queries = long_and_short()
    assert_answers(loaded, queries, Scorer(loaded, token_budget=256).read(queries), 5e-5)


@pytest.mark.parametrize("architecture", LIMITED[:4])
def test_the_limit_changes_the_numbers_of_long_texts_alone(architecture):
    """Otherwise the test above would show nothing."""
    whole = {"attention_chunk_size": 64} if architecture == "llama4_text" else {"sliding_window": 64}
    limited, free = make(architecture, "causal"), make(architecture, "causal", **whole)
    differences = [
        np.abs(one_by_one(limited, query)[0] - one_by_one(free, query)[0]).max() for query in long_and_short()
    ]
    assert differences[0] < 1e-5
    assert differences[-1] > 0.1


@pytest.mark.parametrize("architecture", ["qwen2_moe", "phimoe", "llama4_text"])
def test_the_long_trial_finds_a_window_that_nothing_announced(architecture, monkeypatch):
    """An architecture might set its window in a way that no rule sees; then the numbers tell."""
    unseen = {"local_size": None, "use_vmap": False}
    monkeypatch.setitem(
        attention.AttentionMaskInterface._global_mapping, attention.NAME,
        lambda *given, **options: attention._no_mask(*given, **{**options, **unseen}),
    )  # fmt: skip
    monkeypatch.setitem(
        attention.AttentionInterface._global_mapping, attention.NAME,
        lambda *given, **options: attention.packed_attention(*given, **{**options, "sliding_window": None}),
    )  # fmt: skip
    assert isinstance(Scorer(make(architecture, "causal"))._runner, GroupedRunner)
    monkeypatch.setattr(length, "_WINDOWS", ())
    assert isinstance(Scorer(make(architecture, "causal"))._runner, PackedRunner)


def test_a_window_that_is_named_and_not_used_is_packed():
    loaded = make("qwen2", "causal")
    assert length.longest_window(loaded.model.config, 64) == 20
    scorer = Scorer(loaded, token_budget=64)
    assert isinstance(scorer._runner, PackedRunner)
    assert_answers(loaded, long_and_short(), scorer.read(long_and_short()), 5e-5)


def test_int8_with_a_window_equals_one_sentence_at_a_time():
    loaded = make_int8("qwen2_moe", "causal")
    queries = long_and_short()
    assert_answers(loaded, queries, Scorer(loaded).read(queries), 1e-5)


def test_windows_named_in_a_config():
    class Config:
        def to_dict(self):
            return {
                "sliding_window": 12, "hidden_size": 50, "use_sliding_window": True, "attention_window": [16, 32],
                "text_config": {"attention_chunk_size": 40, "local_attention": 8}, "window_size": None,
            }

    assert length.longest_window(Config(), 64) == 40
    assert length.longest_window(Config(), 40) == 32
    assert length.longest_window(Config(), 8) is None
