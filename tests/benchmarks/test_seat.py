from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from stages import benchmarks
from stages.benchmarks import seat
from stages.benchmarks._terms import terms
from stages.common.encoder import Encoder
from stages.common.errors import DataError
from stages.validation.runner import run_checks

SETS = {
    "targ1": {"category": "Rivers", "examples": ["This is the Zorna.", "The Zorna is here.", "That is the Velk."]},
    "targ2": {"category": "Lakes", "examples": ["This is the Ommu.", "The Ommu is here.", "That is the Tarn."]},
    "attr1": {"category": "Fast", "examples": ["This is rapid.", "They are swift."]},
    "attr2": {"category": "Slow", "examples": ["This is calm."]},
}
FACTS = {"tests": {"sent-weat6": {"category": "gender", "X": 3, "Y": 3, "A": 2, "B": 1}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sent-weat6.jsonl").write_text(json.dumps(SETS, indent=1), encoding="utf-8")
    return tmp_path


def failed(folder: Path, facts: dict) -> dict[str, tuple[int, ...]]:
    """Names of the failed expectations, with the rows that break them."""
    table = seat.read(folder, facts)
    return {
        finding.name: finding.rows for finding in run_checks(table, seat.checks(table, facts)) if not finding.passed
    }


def test_it_is_a_benchmark():
    assert benchmarks.get("seat") is seat
    assert (seat.MEASURE, seat.FAMILIES) == ("association", ("masked", "causal", "sentence"))


def test_read_gives_one_row_a_stimulus(folder):
    table = seat.read(folder, FACTS)
    assert list(table.columns) == ["test", "category", "role", "group", "position", "text"]
    assert list(table["role"]) == ["X"] * 3 + ["Y"] * 3 + ["A"] * 2 + ["B"]
    assert table.iloc[4].to_dict() == {
        "test": "sent-weat6",
        "category": "gender",
        "role": "Y",
        "group": "Lakes",
        "position": 1,
        "text": "The Ommu is here.",
    }
    assert seat.origin(table.iloc[4].to_dict()) == "sent-weat6.jsonl: targ2.examples[1]"


def test_categories_of_the_papers_tests():
    counts = pd.Series(seat.CATEGORY_OF).value_counts().to_dict()
    assert counts == {"race": 7, "gender": 6, "religion": 4}


@pytest.mark.parametrize(
    "name",
    [
        "weat6",
        "sent-weat1",
        "weat10",
        "sent-weat10",
        "angry_black_woman_stereotype",
        "heilman_double_bind_competent_1+3-",
        "sent-heilman_double_bind_likable_one_word",
    ],
)
def test_upstreams_tests_of_other_things_are_left_out(folder, name):
    (folder / f"{name}.jsonl").write_text("not even read", encoding="utf-8")
    assert set(seat.read(folder, {})["test"]) == {"sent-weat6"}


def test_an_unknown_test_is_an_error_unless_the_facts_know_it(folder):
    (folder / "sent-weat6.jsonl").rename(folder / "rivers.jsonl")
    with pytest.raises(DataError, match=r"rivers.jsonl: test 'rivers' has no category; known tests are: .*sent-weat8b"):
        seat.read(folder, {})
    assert set(seat.read(folder, {"tests": {"rivers": {"category": "race"}}})["category"]) == {"race"}


def test_only_the_facts_tests_are_read_and_all_of_them(folder):
    (folder / "sent-weat7.jsonl").write_text(json.dumps(SETS), encoding="utf-8")
    assert set(seat.read(folder, FACTS)["test"]) == {"sent-weat6"}
    with pytest.raises(DataError, match=r"lacks the test files sent-weat8.jsonl"):
        seat.read(folder, {"tests": {"sent-weat6": {}, "sent-weat8": {}}})


def test_a_folder_without_tests_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no SEAT test"):
        seat.read(tmp_path, {})


def _edited(**changes):
    return json.dumps({key: value for key, value in {**SETS, **changes}.items() if value is not None})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON: .*line 1 column 1"),
        (json.dumps(SETS)[:-5].encode(), "not JSON: .*line 1"),
        (json.dumps(SETS, indent=1).replace('"Zorna', "Zorna").replace("Velk", 'Ve"lk').encode(), "not JSON: .*line 7"),
        (b"<!DOCTYPE html><html>Not Found</html>", "not JSON: .*line 1 column 1"),
        (json.dumps(SETS).encode() + b"\n" + json.dumps(SETS).encode(), "not JSON: Extra data, line 2"),
        (json.dumps(SETS).encode("utf-16"), r"not UTF-8 text \(byte 0\)"),
        (b"[1, 2]", "expected an object with targ1, targ2, attr1, attr2, found list"),
        (_edited(attr2=None).encode(), "lacks the set 'attr2'"),
        (_edited(targ3=SETS["targ1"]).encode(), "unknown key 'targ3'; allowed: targ1, targ2, attr1, attr2"),
        (_edited(attr1=["This is rapid."]).encode(), "attr1 is not an object with 'category' and 'examples'"),
        (_edited(attr1={"category": "Fast"}).encode(), "attr1 is not an object with 'category' and 'examples'"),
        (_edited(attr1={"category": 3, "examples": []}).encode(), "attr1.category is int '3', not a string"),
        (
            _edited(targ2={"category": "L", "examples": "This is."}).encode(),
            "targ2.examples is str 'This is.', not a list",
        ),
        (
            _edited(targ2={"category": "L", "examples": ["a", None]}).encode(),
            r"targ2.examples\[1\] is null, not a string",
        ),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(folder, content, message):
    (folder / "sent-weat6.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=rf"sent-weat6.jsonl: {message}"):
        seat.read(folder, FACTS)


def test_good_data_pass(folder):
    assert failed(folder, FACTS) == {}
    assert failed(folder, {}) == {}


@pytest.mark.parametrize(
    ("changes", "expectation", "rows"),
    [
        ({"targ1": ["This is the Zorna.", " ", "That is the Velk."]}, "column_values_to_match_regex(text)", (1,)),
        ({"targ1": ["This is A.", "This is B.", "This is A."]}, "where role in ['X', 'Y']", (0, 2)),
        ({"targ2": ["This is the Zorna.", "Here.", "There."]}, "where role in ['X', 'Y']", (0, 3)),
        ({"attr2": ["They are swift."]}, "where role in ['A', 'B']", (7, 8)),
        ({"attr2": []}, 'where test == "sent-weat6" and role == "B"', ()),
        ({"attr1": ["This is rapid."]}, 'where test == "sent-weat6" and role == "A"', ()),
        ({"targ2": ["This.", "That.", "These.", "Those."]}, 'where test == "sent-weat6" and role == "Y"', ()),
    ],
)
def test_a_broken_expectation_names_the_rows(folder, changes, expectation, rows):
    sets = {key: {**value, "examples": changes.get(key, value["examples"])} for key, value in SETS.items()}
    (folder / "sent-weat6.jsonl").write_text(json.dumps(sets), encoding="utf-8")
    found = failed(folder, FACTS)
    assert [name for name in found if expectation in name], found
    assert rows in found.values()


def test_an_empty_set_and_a_strange_category_fail_without_pinned_sizes(folder):
    sets = {**SETS, "attr1": {"category": "Fast", "examples": []}}
    (folder / "sent-weat6.jsonl").write_text(json.dumps(sets), encoding="utf-8")
    assert [*failed(folder, {})] == ['table_row_count_to_be_between(where test == "sent-weat6" and role == "A")']
    assert "column_values_to_be_in_set(category)" in failed(folder, {"tests": {"sent-weat6": {"category": "gendr"}}})


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "This", "is", "the", "Zorna", "Velk", "."]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        pad_token="[PAD]",
    )
    return Encoder(fast, "masked", context=16, vocabulary=len(words))


def test_plan_asks_for_one_embedding_a_stimulus(folder, encoder):
    rows = seat.plan(seat.read(folder, FACTS), encoder, seat.Options())
    assert [row.item for row in rows] == sorted(row.item for row in rows)
    by_item = {row.item: row for row in rows}
    assert len(by_item) == 9
    row = by_item["sent-weat6/X/0000"]
    # [CLS] This is the Zorna . [SEP]
    assert row.sequence == (2, 5, 6, 7, 8, 10, 3) == encoder.encode("This is the Zorna.")
    assert (row.tokens, row.role, row.category, row.cluster, row.queries) == (7, "X", "gender", "zorna", ())
    assert by_item["sent-weat6/X/0001"].cluster == "zorna"
    assert by_item["sent-weat6/X/0002"].cluster == "velk"


def test_a_sentence_that_is_no_token_is_named(folder, encoder):
    table = seat.read(folder, FACTS)
    table.loc[(table["role"] == "Y") & (table["position"] == 1), "text"] = "\u200b"
    from tokenizers import Regex, Tokenizer
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    silent = Tokenizer(encoder.tokenizer.backend_tokenizer.model)
    silent.pre_tokenizer = Split(Regex(r"[\s\u200b]+"), "removed")
    bare = Encoder(PreTrainedTokenizerFast(tokenizer_object=silent), "sentence", context=16, vocabulary=20)
    with pytest.raises(DataError, match=r"^sent-weat6\.jsonl: targ2\.examples\[1\]: the sentence .* is no token"):
        seat.plan(table, bare, seat.Options())


def test_plan_does_not_depend_on_the_order_of_rows(folder, encoder):
    table = seat.read(folder, FACTS)
    shuffled = table.sample(frac=1, random_state=0)
    key = lambda row: row.item  # noqa: E731
    assert sorted(seat.plan(shuffled, encoder, seat.Options()), key=key) == seat.plan(table, encoder, seat.Options())


def test_terms_of_bleached_sentences():
    sentences = {
        "The person's name is Zita.": "zita",
        "Here is Zita.": "zita",
        "Zita is a person.": "zita",
        "This is a melody.": "melody",
        "Melodies are things.": "melody",
        "The melodies are here.": "melody",
        "A child is a person.": "child",
        "These are children.": "child",
        "That is a moon and star.": "moon and star",
        "Those are moon and stars.": "moon and star",
        "They are brittle.": "brittle",
        "This is brittle.": "brittle",
        "This will sparkle.": "sparkle",
        "They can sparkle.": "sparkle",
        "It was the well-worn coat.": "well-worn coat",
        "Here she is.": "she",
        "They are Velkans.": "velkans",  # like no other term of the set: its own
        "This is a person.": "This is a person.",  # nothing but frame
    }
    assert dict(zip(sentences, terms(list(sentences)), strict=True)) == sentences
