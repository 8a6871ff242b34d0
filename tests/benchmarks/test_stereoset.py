from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from stages.benchmarks.stereoset import Options, filler, plan, read
from stages.common.encoder import Encoder
from stages.common.errors import DataError, ModelError, ParamsError
from stages.common.query import Query
from tests.reference.pairs_models import byte_level, word_tokenizer, wordpiece
from tests.reference.stereoset_documents import LABELS, NEXT, SIMPLE, document, example, table_of

WORDS = ["the", "nurse", "is", "kind", "cruel", "soup", "and", "likes"]  # ids 5, 6, ... 12
THE, NURSE, IS, KIND, CRUEL, SOUP, AND, LIKES = range(5, 13)
CLS, SEP, MASK = 2, 3, 4


class TestRead:
    def test_three_rows_an_item_with_a_key_of_its_own(self, tmp_path):
        nameless = copy.deepcopy(SIMPLE)
        nameless["id"] = nameless["sentences"][1]["id"] = None
        table = table_of(tmp_path, document(SIMPLE, nameless, intersentence=(NEXT,)))
        assert list(table.columns) == ["item", "kind", "upstream_id", "category", "target", "context", "sentence",
                                       "sentence_id", "label"]
        assert table["item"].tolist() == ["intrasentence-0"] * 3 + ["intrasentence-1"] * 3 + ["intersentence-0"] * 3
        assert table["upstream_id"].fillna("none").tolist()[::3] == ["e0", "none", "n0"]
        assert table["sentence_id"].fillna("none").tolist()[3:6] == ["e0-stereotype", "none", "e0-unrelated"]
        assert table["sentence"].tolist()[:3] == ["the nurse is kind.", "the nurse is cruel.", "the nurse is soup."]
        assert table["label"].tolist() == list(LABELS) * 3
        assert set(table["category"]) == {"profession"}
        assert set(table["target"]) == {"nurse"}

    def test_the_one_json_file_is_read_whatever_its_name(self, tmp_path):
        (tmp_path / "planted.json").write_text(json.dumps(document(SIMPLE)))
        (tmp_path / "provenance.json").write_text("{}")
        assert len(read(tmp_path, {})) == 3

    def test_of_several_files_the_test_split_is_read_and_named(self, tmp_path, capsys):
        for name, items in (("dev.json", (SIMPLE,)), ("test.json", (SIMPLE, SIMPLE)), ("a.json", ())):
            (tmp_path / name).write_text(json.dumps(document(*items)))
        assert len(read(tmp_path, {})) == 6
        assert "reading test.json of a.json, dev.json, test.json" in capsys.readouterr().err
        (tmp_path / "test.json").unlink()
        assert len(read(tmp_path, {})) == 3

    def test_no_obvious_file_is_an_error_that_names_them(self, tmp_path):
        with pytest.raises(DataError, match=r"holds no \.json file"):
            read(tmp_path, {})
        for name in ("a.json", "b.json"):
            (tmp_path / name).write_text(json.dumps(document(SIMPLE)))
        with pytest.raises(DataError, match=r"several \.json files: a\.json, b\.json"):
            read(tmp_path, {})

    @pytest.mark.parametrize(("content", "message"), [
        ("<!DOCTYPE html>", "malformed JSON"),
        (json.dumps(document(SIMPLE))[:-40], "malformed JSON"),
        ([], "expected an object, found list"),
        ({"version": "1"}, "lacks 'data'"),
        ({"data": []}, "'data' is .*, not an object"),
        ({"data": {"intrasentense": []}}, "has 'intrasentense' beside"),
        ({"data": {"intrasentence": {}}}, "'intrasentence' is .*, not an array"),
        (document(), "holds no items"),
    ])
    def test_malformed_files_are_refused(self, tmp_path, content, message):
        with pytest.raises(DataError, match=message) as caught:
            table_of(tmp_path, content)
        assert "test.json" in str(caught.value)

    @pytest.mark.parametrize(("path", "value", "message"), [
        (("context",), None, "'context' is None, not a string"),
        (("context",), ..., "lacks 'context'"),
        (("bias_type",), 3, "'bias_type' is 3, not a string"),
        (("target",), ..., "lacks 'target'"),
        (("id",), 7, "'id' is 7, not a string or null"),
        (("sentences",), {}, "'sentences' is .*, not an array"),
        (("sentences",), [], "has no sentences"),
        (("sentences", 2), "soup", "sentence 3: expected an object, found str"),
        (("sentences", 1, "sentence"), None, "sentence 2: 'sentence' is None, not a string"),
        (("sentences", 1, "gold_label"), ..., "sentence 2: lacks 'gold_label'"),
        (("sentences", 0, "id"), ["x"], "sentence 1: 'id' is .*, not a string or null"),
    ])
    def test_malformed_examples_are_named_by_row(self, tmp_path, path, value, message):
        broken = copy.deepcopy(SIMPLE)
        holder: Any = broken
        for key in path[:-1]:
            holder = holder[key]
        if value is ...:
            del holder[path[-1]]
        else:
            holder[path[-1]] = value
        with pytest.raises(DataError, match=message) as caught:
            table_of(tmp_path, document(SIMPLE, broken))
        assert "intrasentence example 2 (data.intrasentence[1])" in str(caught.value)

    def test_bytes_that_are_not_text_are_refused(self, tmp_path):
        (tmp_path / "test.json").write_bytes(b"{\"data\": \xff}")
        with pytest.raises(DataError, match=r"test\.json: not UTF-8"):
            read(tmp_path, {})


@pytest.mark.parametrize(("context", "sentence", "word"), [
    ("The nurse is BLANK.", "The nurse is kind.", "kind"),
    ("BLANK nurses run", "Kind nurses run", "Kind"),
    ("likes BLANK, fears BLANK", "likes rain, fears wolves", "wolves"),
    ("She's a 'BLANK', he said", "She's a 'know-it-all', he said", "knowitall"),
    ("She is so BLANK/tall", "She is so kind/tall", "kindtall"),
    ("two  spaces BLANK", "two  spaces here", "here"),  # split at each single space: an empty word between
    ("The nurse is BLANK.", "The nurse is very kind.", "very"),
    ("The nurse is BLANK.", "The nurse is ...", ""),
    ("The nurse is BLANK.", "The nurse is “kind”", "“kind”"),  # only ASCII punctuation goes
])
def test_filler(context, sentence, word):
    assert filler(context, sentence) == word


def encoder(tokenizer: Any, family: str = "masked", *, leading_space: bool = False) -> Encoder:
    return Encoder(tokenizer, family, 50, len(tokenizer), leading_space)


def planned(folder: Path, *examples: dict[str, Any], options: Options | None = None, family: str = "masked"):
    tokenizer = word_tokenizer(WORDS)
    if family == "causal":
        tokenizer.backend_tokenizer.post_processor = None
        tokenizer.bos_token = "[CLS]"
    return plan(table_of(folder, document(*examples)), encoder(tokenizer, family), options or Options())


class TestMaskedPlan:
    def test_blank_becomes_the_mask(self, tmp_path):
        rows = planned(tmp_path, SIMPLE)
        # "." is unknown to the tokenizer: id 1
        shared = (CLS, THE, NURSE, IS, MASK, 1, SEP)
        assert [row.queries for row in rows] == [(Query(shared, (4,), (word,)),) for word in (KIND, CRUEL, SOUP)]
        assert [row.role for row in rows] == ["stereo", "anti", "unrelated"]
        assert {(row.item, row.category, row.cluster, row.tokens, row.reduction) for row in rows} == {
            ("intrasentence-0", "profession", "nurse", 7, "mean_probability")}

    def test_the_mean_of_log_probabilities_is_an_option(self, tmp_path):
        rows = planned(tmp_path, SIMPLE, options=Options(average="log_probability"))
        assert {row.reduction for row in rows} == {"mean_logprob"}

    def test_every_blank_is_replaced_and_the_first_mask_is_read_for_the_last_filler(self, tmp_path):
        two = example("the nurse likes BLANK and BLANK", sentences=(
            "the nurse likes kind and soup", "the nurse likes soup and kind", "the nurse likes cruel and is"))
        rows = planned(tmp_path, two)
        shared = (CLS, THE, NURSE, LIKES, MASK, AND, MASK, SEP)
        assert [row.queries for row in rows] == [(Query(shared, (4,), (word,)),) for word in (SOUP, KIND, IS)]

    def test_sub_words_are_revealed_from_the_left(self, tmp_path):
        tokenizer = wordpiece(pieces=["cruel", "##est", "##ly", "soup"])  # ids 5 to 8
        rows = plan(table_of(tmp_path, document(example("BLANK soup", "Cruelestly", "cruel", "soup"))),
                    encoder(tokenizer), Options())
        assert rows[0].queries == (
            Query((CLS, MASK, 8, SEP), (1,), (5,)),
            Query((CLS, 5, MASK, 8, SEP), (2,), (6,)),  # the sub-words after the mask are absent
            Query((CLS, 5, 6, MASK, 8, SEP), (3,), (7,)),
        )
        assert rows[1].queries == (Query((CLS, MASK, 8, SEP), (1,), (5,)),)
        assert rows[0].tokens == 6

    def test_the_revealed_part_is_tokenised_anew_from_text(self, tmp_path):
        tokenizer = wordpiece(pieces=["x", "ab", "##cd", "xab"])  # ids 5 to 8
        text = document(example("xBLANK", sentences=("abcd", "ab", "x")))
        rows = plan(table_of(tmp_path, text), encoder(tokenizer), Options())
        assert rows[0].queries == (
            Query((CLS, 5, MASK, SEP), (2,), (6,)),
            Query((CLS, 8, MASK, SEP), (2,), (7,)),  # "x" and the revealed "ab" read as one piece, "xab"
        )

    def test_byte_level_fillers_and_prefixes_begin_with_a_space(self, tmp_path):
        tokenizer = byte_level(["the un un un kind kind is"], 270, roberta=True)
        rows = plan(table_of(tmp_path, document(example("the BLANK.", "unkind", "kind", "is"))),
                    encoder(tokenizer, leading_space=True), Options())
        pieces = tokenizer.encode(" unkind", add_special_tokens=False)
        assert len(pieces) >= 2
        assert len(tokenizer.decode(pieces[:1])) >= 2
        queries = rows[0].queries
        assert [query.targets[0] for query in queries] == pieces
        # The mask swallows the space before it; a prefix brings its own, after the context's.
        assert queries[0].ids == tuple(tokenizer.encode("the<mask>."))
        prefix = tokenizer.decode(pieces[:1])
        assert prefix.startswith(" ")
        assert queries[1].ids == tuple(tokenizer.encode(f"the {prefix}<mask>."))
        assert [query.ids[query.positions[0]] for query in queries] == [tokenizer.mask_token_id] * len(pieces)

    def test_a_filler_without_sub_words_is_not_scored(self, tmp_path):
        rows = planned(tmp_path, example("the nurse is BLANK", "kind", "...", "soup"))
        assert [len(row.queries) for row in rows] == [1, 0, 1]
        assert rows[1].tokens > 0

    @pytest.mark.parametrize(("broken", "message"), [
        (example("the nurse is kind", sentences=("a", "b", "c")), "context has no BLANK"),
        (example("the nurse is BLANK", sentences=("the nurse is kind", "the nurse", "soup")),
         "sentence ends before the context's BLANK: .*'the nurse'"),
    ])
    def test_a_sentence_without_its_filler_is_named(self, tmp_path, broken, message):
        with pytest.raises(DataError, match=f"intrasentence-1: {message}"):
            planned(tmp_path, SIMPLE, broken)

    def test_an_unknown_label_is_named(self, tmp_path):
        broken = copy.deepcopy(SIMPLE)
        broken["sentences"][2]["gold_label"] = "related"
        with pytest.raises(DataError, match="intrasentence-0: unknown label 'related'"):
            planned(tmp_path, broken)

    def test_a_tokenizer_without_a_mask_is_refused(self, tmp_path):
        tokenizer = byte_level(["the nurse"], 260, roberta=False)
        with pytest.raises(ModelError, match="no mask token"):
            plan(table_of(tmp_path, document(SIMPLE)), encoder(tokenizer), Options())


class TestCausalPlan:
    def test_the_whole_sentence_is_read(self, tmp_path):
        first = planned(tmp_path, example("the nurse is BLANK", "kind", "cruel", "soup"), family="causal")[0]
        assert first.queries == (
            Query((CLS,), (0,), (THE,)),
            Query((THE, NURSE, IS, KIND), (0, 1, 2), (NURSE, IS, KIND)),
        )
        assert (first.tokens, first.reduction) == (4, "geometric_mean_probability")


class TestOptions:
    def test_only_intrasentence_items_are_planned(self, tmp_path):
        table = table_of(tmp_path, document(SIMPLE, intersentence=(NEXT,)))
        rows = plan(table, encoder(word_tokenizer(WORDS)), Options())
        assert {row.item for row in rows} == {"intrasentence-0"}

    def test_intersentence_items_alone_are_refused(self, tmp_path):
        table = table_of(tmp_path, document(intersentence=(NEXT,)))
        with pytest.raises(DataError, match="no intrasentence items"):
            plan(table, encoder(word_tokenizer(WORDS)), Options())

    def test_categories(self, tmp_path):
        other = example("the BLANK is kind", "nurse", "soup", "is", category="gender", name="e1")
        assert {row.category for row in planned(tmp_path, SIMPLE, other, options=Options(categories=("gender",)))} == {
            "gender"}
        with pytest.raises(ParamsError, match="no items of category 'race'; there are: gender, profession"):
            planned(tmp_path, SIMPLE, other, options=Options(categories=("race",)))
