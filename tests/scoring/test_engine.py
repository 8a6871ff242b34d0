"""The engine against the model's own forward pass over one sequence at a time."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.errors import ModelError
from stages.common.query import Query
from stages.scoring import choose
from stages.scoring.engine import Scorer
from stages.scoring.grouped import GroupedRunner
from stages.scoring.packed import PackedRunner
from tests.scoring.tiny import VOCABULARY, assert_answers, make, make_int8, mean_state

FP32 = 5e-5
INT8 = 1e-5
PACKED = [
    ("bert", "masked"), ("roberta", "masked"), ("distilbert", "masked"), ("albert", "masked"), ("electra", "masked"),
    ("gpt_neox", "causal"), ("gpt2", "causal"), ("opt", "causal"), ("llama", "causal"),
]  # fmt: skip
NOT_PACKED = [("deberta-v2", "masked"), ("bloom", "causal"), ("gemma2", "causal"), ("mistral", "causal")]


def queries_for(family, seed=0, count=40):
    """Queries with shared prefixes, repeated sequences, and one to twenty tokens."""
    generator = np.random.default_rng(seed)
    prefixes = [tuple(generator.integers(3, VOCABULARY, 3).tolist()) for _ in range(4)]
    queries = []
    for k in range(count):
        ids = prefixes[k % 4] * (k % 3 > 0) + tuple(generator.integers(3, VOCABULARY, 1 + k % 17).tolist())
        if family == "causal":
            positions = tuple(range(max(1, len(ids) - 1)))
        else:
            positions = tuple(sorted(set(generator.integers(0, len(ids), 1 + k % 2).tolist())))
        queries.append(Query(ids, positions, tuple(generator.integers(0, VOCABULARY, len(positions)).tolist())))
    return queries + queries[:3]


@pytest.mark.parametrize(("architecture", "family"), PACKED + NOT_PACKED)
def test_every_architecture_gives_its_own_numbers(architecture, family):
    loaded = make(architecture, family)
    queries = queries_for(family)
    scorer = Scorer(loaded, token_budget=64)
    assert_answers(loaded, queries, scorer.read(queries), FP32)
    vectors = scorer.embed([query.ids for query in queries])
    expected = np.stack([mean_state(loaded, query.ids) for query in queries])
    np.testing.assert_allclose(vectors, expected, atol=2e-5 * np.abs(expected).max(), rtol=0)
    assert vectors.dtype == np.float32


@pytest.mark.parametrize(("architecture", "family"), PACKED)
def test_reading_few_positions_leaves_out_work_and_changes_nothing(architecture, family):
    loaded = make(architecture, family)
    queries = [Query((5, 6, 7, 8, 9, 10), (1, 3), (7, 5)), Query((11, 12, 13, 14, 15, 16, 17, 18), (4,), (20,))]
    assert_answers(loaded, queries, Scorer(loaded).read(queries), 5e-5)


@pytest.mark.parametrize(("architecture", "family"), PACKED)
def test_packed_architectures(architecture, family):
    assert isinstance(Scorer(make(architecture, family))._runner, PackedRunner)


@pytest.mark.parametrize(("architecture", "family"), NOT_PACKED)
def test_the_others_are_grouped_and_named_once(architecture, family, capsys, monkeypatch):
    monkeypatch.setattr(choose, "_told", set())
    loaded = make(architecture, family)
    assert isinstance(Scorer(loaded)._runner, GroupedRunner)
    Scorer(loaded)
    assert capsys.readouterr().err.count(f"architecture {architecture!r} cannot be packed") == 1


@pytest.mark.parametrize(("architecture", "family"), [PACKED[0], PACKED[1], PACKED[5]])
def test_int8_equals_one_sentence_at_a_time(architecture, family):
    loaded = make_int8(architecture, family)
    queries = queries_for(family)
    scorer = Scorer(loaded, token_budget=64)
    assert isinstance(scorer._runner, PackedRunner)
    assert_answers(loaded, queries, scorer.read(queries), INT8)
    vectors = scorer.embed([query.ids for query in queries])
    expected = np.stack([mean_state(loaded, query.ids) for query in queries])
    np.testing.assert_allclose(vectors, expected, atol=INT8)


def test_int8_over_a_batch_would_be_another_number():
    """What the per-sequence ranges are for: the kernel over a batch does depend on the neighbours."""
    loaded = make_int8("bert", "masked")
    one, other = (1, 5, 6, 7), (80, 81, 82, 83)
    with torch.no_grad():
        alone = loaded.model(input_ids=torch.tensor([one])).logits[0]
        together = loaded.model(input_ids=torch.tensor([one, other])).logits[0]
    assert (alone - together).abs().max() > 1e-3


def test_int8_that_cannot_be_packed_is_run_one_by_one():
    loaded = make_int8("deberta-v2", "masked")
    queries = queries_for("masked", count=10)
    assert_answers(loaded, queries, Scorer(loaded).read(queries), INT8)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize(("architecture", "family"), [
    ("bert", "masked"), ("gpt_neox", "causal"), ("roberta", "masked"),
])  # fmt: skip
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_neighbours_budget_order_threads_and_repeats_change_nothing(architecture, family, quantized, data):
    loaded = (make_int8 if quantized else make)(architecture, family)
    queries = queries_for(family)
    whole, embedded = answers_and_vectors(loaded, family)
    chosen = data.draw(st.lists(st.integers(0, len(queries) - 1), min_size=1, max_size=30))
    threads = torch.get_num_threads()
    torch.set_num_threads(data.draw(st.integers(1, 3)))
    try:
        scorer = Scorer(loaded, token_budget=data.draw(st.integers(1, 500)))
        answers, again = (scorer.read([queries[k] for k in chosen]) for _ in range(2))
        vectors, same = (scorer.embed([queries[k].ids for k in chosen]) for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    for k, answer, repeated in zip(chosen, answers, again, strict=True):
        np.testing.assert_allclose(answer.logprobs, whole[k].logprobs, atol=INT8 if quantized else FP32, rtol=0)
        np.testing.assert_allclose(answer.entropies, whole[k].entropies, atol=INT8 if quantized else FP32, rtol=0)
        assert np.array_equal(answer.logprobs, repeated.logprobs)
    np.testing.assert_allclose(vectors, embedded[chosen], atol=INT8 if quantized else FP32, rtol=0)
    assert np.array_equal(vectors, same)


def answers_and_vectors(loaded, family):
    queries, scorer = queries_for(family), Scorer(loaded)
    return scorer.read(queries), scorer.embed([query.ids for query in queries])


def test_repeated_runs_give_the_same_bits():
    loaded = make("gpt_neox", "causal")
    queries = queries_for("causal")
    first, second = (Scorer(loaded).read(queries) for _ in range(2))
    assert all(np.array_equal(one.logprobs, two.logprobs) for one, two in zip(first, second, strict=True))


def test_the_model_is_left_as_it_was(bert):
    query = Query((3, 1, 5), (1,), (7,))
    Scorer(bert).read([query])
    assert bert.model.config._attn_implementation == "sdpa"
    assert bert.model(input_ids=torch.tensor([query.ids])).logits.shape == (1, 3, VOCABULARY)


@pytest.mark.parametrize("maker", [make, make_int8])
@pytest.mark.parametrize(("architecture", "family"), [("bert", "masked"), ("gpt_neox", "causal"), ("bloom", "causal")])
def test_a_scorer_that_consumes_its_model_gives_the_same_bits(architecture, family, maker):
    queries = queries_for(family)
    expected = Scorer(maker(architecture, family)).read(queries)
    taken = maker(architecture, family)
    taken = dataclasses.replace(taken, model=copy.deepcopy(taken.model))
    scorer = Scorer(taken, consume=True)
    assert isinstance(scorer._runner, GroupedRunner) or not list(taken.model.parameters())
    for one, two in zip(scorer.read(queries), expected, strict=True):
        assert np.array_equal(one.logprobs, two.logprobs)
        assert np.array_equal(one.entropies, two.entropies)


@pytest.mark.parametrize(("architecture", "family"), [("bert", "masked"), ("gpt_neox", "causal"), ("bloom", "causal")])
def test_bfloat16_is_close_and_another_number(architecture, family):
    loaded = make(architecture, family)
    queries = queries_for(family)
    exact = np.concatenate([answer.logprobs for answer in Scorer(loaded).read(queries)])
    scorer = Scorer(loaded, dtype="bfloat16")
    found = np.concatenate([answer.logprobs for answer in scorer.read(queries)])
    assert 1e-4 < np.abs(found - exact).mean() < 0.05
    assert np.isfinite(scorer.embed([(3, 4, 5)])).all()
    assert {tensor.dtype for tensor in loaded.model.parameters()} == {torch.float32}
    with pytest.raises(ModelError, match="int8 layers compute with float32 activations"):
        Scorer(make_int8(architecture, family), dtype="bfloat16")
    with pytest.raises(ModelError, match="unknown dtype 'float16'"):
        Scorer(loaded, dtype="float16")


@pytest.mark.parametrize(("text", "ids"), [("she", (4,)), ("she is ☃ ҉", (4, 5, 2, 2)), ("☃", (2,))])
def test_one_token_and_unknown_characters(bert, text, ids):
    assert bert.encoder.encode(text) == ids
    query = Query(ids, (len(ids) - 1,), (6,))
    assert_answers(bert, [query], Scorer(bert).read([query]), FP32)


def test_texts_that_cannot_be_scored_are_refused_and_not_cut(bert):
    assert bert.encoder.encode("") == ()
    with pytest.raises(ModelError, match="no tokens"):
        Scorer(bert).embed([bert.encoder.encode("")])
    with pytest.raises(ModelError, match="text of 65 tokens, but the model reads 64"):
        bert.encoder.encode("she " * 65)
    small = dataclasses.replace(bert.encoder, vocabulary=7)
    with pytest.raises(ModelError, match="token id 7 of 'a nurse' is outside the model's vocabulary of 7"):
        small.encode("a nurse")


def test_thousands_of_duplicates_are_one_forward_pass(bert):
    calls = []
    answers = Scorer(bert).read([Query((3, 1, 5), (1,), (7,))] * 5000, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 1)]
    assert len({float(answer.logprobs[0]) for answer in answers}) == 1


def test_padding_ids_inside_a_text_count_as_roberta_counts_them():
    """RoBERTa's position ids skip its padding id, also where a text happens to contain it."""
    loaded = make("roberta", "masked")
    padding = loaded.model.config.pad_token_id
    queries = [Query((5, padding, 6, 7, padding, 8), (2, 5), (9, 9)), Query((5, 6, 6, 7), (2,), (9,))]
    assert_answers(loaded, queries, Scorer(loaded).read(queries), FP32)


def test_nothing_asked(bert):
    assert Scorer(bert).read([]) == []
    (answer,) = Scorer(bert).read([Query((3, 4), (), ())])
    assert len(answer.logprobs) == 0
    assert Scorer(bert).embed([]).shape == (0, 32)


def test_longest_sequence_and_one_more(bert):
    ids = tuple(3 + k % 80 for k in range(64))
    query = Query(ids, (0, 63), (5, 6))
    assert_answers(bert, [query], Scorer(bert, token_budget=16).read([query]), FP32)
    with pytest.raises(ModelError, match="65 tokens, but the model reads 64"):
        Scorer(bert).read([Query((*ids, 3), (0,), (5,))])


@pytest.mark.parametrize(("query", "message"), [
    (Query((), (), ()), "no tokens"),
    (Query((3, VOCABULARY), (0,), (5,)), f"outside the model's vocabulary of {VOCABULARY}"),
    (Query((3, 4, VOCABULARY), (0,), (5,)), f"outside the model's vocabulary of {VOCABULARY}"),
    (Query((3, -100), (0,), (5,)), "token id -100 is negative, at position 1 of a text"),
    (Query((3, 4), (0,), (-7,)), "token id -7 is outside the model's vocabulary"),
    (Query((3, 4), (0,), (VOCABULARY,)), f"token id {VOCABULARY} is outside the model's vocabulary"),
])
def test_what_the_model_cannot_read(bert, query, message):
    with pytest.raises(ModelError, match=message):
        Scorer(bert).read([query])


def test_embedding_what_the_model_cannot_read(bert):
    with pytest.raises(ModelError, match="token id -1 is negative, at position 0"):
        Scorer(bert).embed([(3, 4), (-1, 4)])


@pytest.mark.parametrize("budget", [0, -5])
def test_a_budget_that_holds_no_token(bert, budget):
    with pytest.raises(ModelError, match=f"a budget of {budget} tokens in a forward pass holds none"):
        Scorer(bert, token_budget=budget)


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory"),
])  # fmt: skip
def test_no_memory_is_not_taken_for_an_architecture_that_cannot_be_packed(bert, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(PackedRunner, "read", fail)
    with pytest.raises(type(error), match="memory"):
        Scorer(bert)


@pytest.mark.parametrize("query", [
    Query((3, 4), (1, 0), (5, 5)), Query((3, 4), (0, 0), (5, 5)), Query((3, 4), (2,), (5,)), Query((3, 4), (-1,), (5,)),
    Query((3, 4), (0,), (5, 5)),
])  # fmt: skip
def test_a_query_that_makes_no_sense(bert, query):
    with pytest.raises(ValueError, match="positions"):
        Scorer(bert).read([query])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_name_the_text(value):
    loaded = make.__wrapped__("bert", "masked")
    with torch.no_grad():
        loaded.model.bert.embeddings.word_embeddings.weight[5] = value  # also a row of the tied head
    with pytest.raises(ModelError, match=r"NaN or infinite logits for 'he she' \(ids 3, 4\)"):
        Scorer(loaded).read([Query((3, 4), (0,), (6,))])
    with pytest.raises(ModelError, match=r"NaN or infinite embedding for .*\(ids 3, 5\)"):
        Scorer(loaded).embed([(3, 4), (3, 5)])


def test_closer_to_float64_than_the_bound():
    """The same weights in double precision, one sequence at a time."""
    for architecture, family in (("bert", "masked"), ("gpt_neox", "causal")):
        loaded = make.__wrapped__(architecture, family)
        queries = queries_for(family)
        answers = Scorer(loaded).read(queries)
        loaded = dataclasses.replace(loaded, model=loaded.model.double())
        assert_answers(loaded, queries, answers, 1e-5)


def test_devices(bert):
    with pytest.raises(ModelError, match="unknown device 'tpu'"):
        Scorer(bert, device="tpu")
    with pytest.raises(ModelError, match="on the CPU only"):
        Scorer(make_int8("bert", "masked"), device="cuda")
