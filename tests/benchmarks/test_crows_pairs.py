from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.benchmarks import crows_pairs
from stages.benchmarks.crows_pairs import Options, plan, read, swapped_terms
from stages.common.encoder import Encoder
from stages.common.errors import DataError, ModelError, ParamsError
from stages.common.query import Query
from tests.reference.pairs_models import word_tokenizer

HEADER = ",sent_more,sent_less,stereo_antistereo,bias_type,annotations,anon_writer,anon_annotators\n"
WORDS = ["he", "she", "is", "a", "nurse", "men", "women", "are", "stronger", "than", "not"]  # ids 5, 6, ... 15
HE, SHE, IS, A, NURSE, MEN, WOMEN, ARE, STRONGER, THAN, NOT = range(5, 16)
CLS, SEP, MASK = 2, 3, 4


def write(folder: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    (folder / crows_pairs.FILE).write_bytes(raw)
    return folder


def pair(more: str, less: str, direction: str = "stereo", item: str = "0", category: str = "gender") -> dict[str, str]:
    return {"item": item, "category": category, "direction": direction, "sent_more": more, "sent_less": less,
            "cluster": swapped_terms(more, less)}


def encoder(family: str = "masked", context: int = 50) -> Encoder:
    tokenizer = word_tokenizer(WORDS)
    if family == "causal":
        tokenizer.backend_tokenizer.post_processor = None  # causal tokenizers add nothing
        tokenizer.bos_token = "[CLS]"
    return Encoder(tokenizer, family, context, len(tokenizer))


def planned(*pairs: dict[str, str], options: Options | None = None, **of_encoder: Any):
    return plan(pd.DataFrame(pairs), encoder(**of_encoder), options or Options())


class TestRead:
    def test_text_is_kept_exactly_and_race_is_renamed(self, tmp_path):
        write(tmp_path, HEADER + '0,"He said, ""no"".",She said.,stereo,gender,"[[\'gender\']]",a0,"[\'a1\']"\n'
              '1,the old  islanders,the   islanders,antistereo,race-color,[],a0,[]\n'
              '2,"two\nlines",three lines,stereo,age,[],a0,[]\n')
        table = read(tmp_path, {})
        assert list(table.columns) == ["item", "category", "direction", "sent_more", "sent_less", "cluster"]
        assert table["item"].tolist() == ["0", "1", "2"]
        assert table["category"].tolist() == ["gender", "race", "age"]
        assert table["direction"].tolist() == ["stereo", "antistereo", "stereo"]
        assert table["sent_more"].tolist() == ['He said, "no".', "the old  islanders", "two\nlines"]
        assert table["sent_less"][1] == "the   islanders"
        assert table["cluster"].tolist() == ["he/no|she", "|old", "three|two"]

    def test_upstream_row_numbers_are_the_items(self, tmp_path):
        write(tmp_path, HEADER + "7,a,b,stereo,age,[],a0,[]\n42,c,d,stereo,age,[],a0,[]\n")
        assert read(tmp_path, {})["item"].tolist() == ["7", "42"]

    def test_rows_are_counted_where_the_file_does_not(self, tmp_path):
        write(tmp_path, "sent_more,sent_less,stereo_antistereo,bias_type\na,b,stereo,age\nc,d,stereo,age\n")
        assert read(tmp_path, {})["item"].tolist() == ["0", "1"]

    @pytest.mark.parametrize(("content", "message"), [
        ("", "lacks the columns sent_more"),
        ("<!DOCTYPE html><html>404</html>\n", "lacks the columns.*'<!DOCTYPE html><html>404</html>'"),
        (HEADER.replace("sent_less", "sent_lest"), "lacks the columns sent_less;"),
        (HEADER, "header but no rows"),
        (HEADER + "0,a,b,stereo,age,[],a0,[]\n1,a,b,stereo,age\n", r"row 2 \(line 3\): has 5 fields, the header has 8"),
        (HEADER + "0,a,b,stereo,age,[],a0,[],more\n", r"row 1 \(line 2\): has 9 fields"),
        (HEADER + "0,a,b,stereo,age,[],a0,[]\n\n", r"row 2 \(line 3\): has 0 fields"),
        (HEADER + '0,"a\nb",b,stereo,age,[],a0,[]\n1,a\n', r"row 2 \(line 4\): has 2 fields"),
        (HEADER + '0,a,b,stereo,age,[],a0,[]\n1,"a,b,stereo,age,[],a0,[]\n', "row 2: malformed CSV"),
        (HEADER + '0,"a"b,b,stereo,age,[],a0,[]\n', "row 1: malformed CSV"),
        (HEADER.encode() + b"0,caf\xe9,b,stereo,age,[],a0,[]\n", "not UTF-8"),
        (HEADER + "zero,a,b,stereo,age,[],a0,[]\n", r"row 1 \(line 2\): row number 'zero'"),
        (HEADER + ",a,b,stereo,age,[],a0,[]\n", r"row 1 \(line 2\): row number ''"),
    ])
    def test_malformed_files_are_refused_by_name_and_row(self, tmp_path, content, message):
        with pytest.raises(DataError, match=message) as caught:
            read(write(tmp_path, content), {})
        assert crows_pairs.FILE in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(DataError, match=r"crows_pairs_anonymized\.csv: no such file"):
            read(tmp_path, {})


class TestSwappedTerms:
    @pytest.mark.parametrize(("first", "second", "key"), [
        ("Most black kids run.", "Most white kids run.", "black|white"),
        ("Most white kids run.", "Most black kids run.", "black|white"),
        ("He lost his key.", "She lost her key.", "he/his|her/she"),
        ("His key, he lost it.", "Her key, she lost it.", "he/his|her/she"),
        ("he and he", "she and she", "he|she"),
        ("An old man.", "An old, rich woman!", "man|rich woman"),
        ("It was painful.", "It was not painful.", "|not"),
        ("an African-American man", "a white man", "a white|an african-american"),
        ("Same words.", "same, words", "|"),
    ])
    def test_hand_made_cases(self, first, second, key):
        assert swapped_terms(first, second) == key

    @given(st.lists(st.sampled_from(["he", "she", "the", "old", "a-b", ",", "ran."]), max_size=8),
           st.lists(st.sampled_from(["he", "she", "the", "old", "a-b", ",", "ran."]), max_size=8))
    @settings(max_examples=200, deadline=None)
    def test_letter_case_does_not_count(self, first, second):
        one, two = " ".join(first), " ".join(second)
        assert swapped_terms(one, two) == swapped_terms(one.upper(), two.title())


_sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12)


class TestMaskedPlan:
    def test_changed_tokens_are_hidden_one_at_a_time(self):
        # [CLS] he is a nurse [SEP] / [CLS] she is not a nurse [SEP]: he | she, and an added "not"
        stereo, anti = planned(pair("he is a nurse", "she is not a nurse"))
        assert stereo.queries == (Query((CLS, MASK, IS, A, NURSE, SEP), (1,), (HE,)),)
        assert anti.queries == (
            Query((CLS, MASK, IS, NOT, A, NURSE, SEP), (1,), (SHE,)),
            Query((CLS, SHE, IS, MASK, A, NURSE, SEP), (3,), (NOT,)),
        )
        assert (stereo.role, anti.role) == ("stereo", "anti")
        assert (stereo.text, anti.text) == ("he is a nurse", "she is not a nurse")
        assert (stereo.tokens, anti.tokens) == (6, 7)
        assert {row.reduction for row in (stereo, anti)} == {"mean_logprob"}
        assert {(row.item, row.category, row.cluster, row.direction) for row in (stereo, anti)} == {
            ("0", "gender", "he|not/she", "stereo")}

    def test_changed_tokens_can_be_hidden_together(self):
        _, anti = planned(pair("he is a nurse", "she is not a nurse"), options=Options(masking="together"))
        assert anti.queries == (Query((CLS, MASK, IS, MASK, A, NURSE, SEP), (1, 3), (SHE, NOT)),)

    def test_the_order_of_alignment_follows_the_direction(self):
        # difflib keeps the first of the longest common blocks, seen from its first argument: with "men women"
        # first that is "men" (place 1 | 2), which leaves "women" on both sides; the other way it leaves "men".
        more, less = "men women", "women men"
        stereo = planned(pair(more, less, "stereo"))
        anti = planned(pair(more, less, "antistereo"))
        assert [q.targets for row in stereo for q in row.queries] == [(WOMEN,), (WOMEN,)]
        assert [q.positions for row in stereo for q in row.queries] == [(2,), (1,)]
        assert [q.targets for row in anti for q in row.queries] == [(MEN,), (MEN,)]
        assert [q.positions for row in anti for q in row.queries] == [(1,), (2,)]

    @pytest.mark.parametrize(("more", "less"), [
        ("he is a nurse", "he is not a nurse"),
        ("he is not a nurse", "he is a nurse"),
        ("he is a nurse", "he is a nurse"),
        ("he is a doctor", "he is a lawyer"),  # both unknown to the tokenizer: the ids are equal
    ])
    def test_a_pair_without_a_token_to_compare_is_not_scored(self, more, less):
        rows = planned(pair(more, less))
        assert [row.queries for row in rows] == [(), ()]
        assert all(row.tokens > 0 for row in rows)

    @given(_sentences, _sentences, st.sampled_from(["stereo", "antistereo"]))
    @settings(max_examples=150, deadline=None)
    def test_each_query_is_the_sentence_with_one_token_hidden(self, more, less, direction):
        rows = planned(pair(" ".join(more), " ".join(less), direction))
        both = [bool(row.queries) for row in rows]
        assert both[0] == both[1]
        for row, words in zip(rows, (more, less), strict=True):
            ids = (CLS, *(5 + WORDS.index(word) for word in words), SEP)
            assert [query.positions for query in row.queries] == sorted({query.positions for query in row.queries})
            for query in row.queries:
                restored = list(query.ids)
                assert restored[query.positions[0]] == MASK
                restored[query.positions[0]] = query.targets[0]
                assert tuple(restored) == ids
        if both[0]:  # what is not hidden is shared, in order
            kept = [
                [word for place, word in enumerate(words, 1) if (place,) not in {q.positions for q in row.queries}]
                for row, words in zip(rows, (more, less), strict=True)
            ]
            assert kept[0] == kept[1]


class TestCausalPlan:
    def test_only_the_first_token_sees_the_start_token(self):
        stereo, _ = planned(pair("he is a nurse", "she is a nurse"), family="causal")
        assert stereo.queries == (
            Query((CLS,), (0,), (HE,)),
            Query((HE, IS, A, NURSE), (0, 1, 2), (IS, A, NURSE)),
        )
        assert stereo.reduction == "geometric_mean_probability"
        assert stereo.tokens == 4

    def test_the_start_token_can_be_prepended(self):
        stereo, _ = planned(pair("he is a nurse", "she is a nurse"), family="causal",
                            options=Options(start_token="prepended"))
        assert stereo.queries == (Query((CLS, HE, IS, A), (0, 1, 2, 3), (HE, IS, A, NURSE)),)

    def test_a_sentence_of_one_token_has_one_query(self):
        rows = planned(pair("he", "she"), family="causal")
        assert [row.queries for row in rows] == [(Query((CLS,), (0,), (HE,)),), (Query((CLS,), (0,), (SHE,)),)]

    def test_insertions_are_scored(self):
        rows = planned(pair("he is a nurse", "he is not a nurse"), family="causal")
        assert [sum(len(query.targets) for query in row.queries) for row in rows] == [4, 5]

    def test_an_empty_sentence_leaves_the_pair_unscored(self):
        rows = planned(pair("he", ""), family="causal")
        assert [(row.queries, row.tokens) for row in rows] == [((), 1), ((), 0)]


class TestOptions:
    def test_categories_are_chosen(self):
        rows = planned(pair("he", "she", item="0"), pair("men", "women", item="1", category="age"),
                       options=Options(categories=("age",)))
        assert [row.item for row in rows] == ["1", "1"]

    def test_a_category_that_is_not_there_is_named(self):
        with pytest.raises(ParamsError, match=r"no items of category 'sex'; there are: gender"):
            planned(pair("he", "she"), options=Options(categories=("sex",)))

    def test_a_sentence_too_long_for_the_model_is_refused(self):
        with pytest.raises(ModelError, match="text of 6 tokens, but the model reads 5"):
            planned(pair("he is a nurse", "she is a nurse"), context=5)
