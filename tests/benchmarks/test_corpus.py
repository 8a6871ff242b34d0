from __future__ import annotations

from pathlib import Path

import pytest

from stages import benchmarks
from stages.benchmarks import corpus
from stages.common.encoder import Encoder
from stages.common.errors import DataError, ModelError, ParamsError
from stages.common.files import sha256_text
from stages.common.params import parse
from stages.common.query import Query
from stages.validation.runner import run_checks

TRAIN = " \n = Rivers = \n \n The Zorna runs north . \n = = Fish = = \n \n Trout live there . \n"
TEST = " = Lakes = \n The Ommu is deep . \n \n It is cold \u2028 in May . \n = Tarns = \n A tarn is small . \n"
FACTS = {
    "splits": {
        # Words of the lines, and one end mark a line; types likewise.
        "train": {"lines": 7, "blank_lines": 3, "tokens": 3 + 5 + 5 + 4 + 7, "types": 11 + 1},
        "test": {"lines": 6, "blank_lines": 1, "tokens": 3 + 5 + 6 + 3 + 5 + 6, "types": 15 + 1},
    }
}
LONG = " ".join(f"word{number}" for number in range(corpus.LEAK_WORDS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, text in (("train", TRAIN), ("valid", " Some text . \n"), ("test", TEST)):
        (tmp_path / f"{split}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def failed(folder: Path, facts: dict) -> dict[str, tuple[int, ...]]:
    table = corpus.read(folder, facts)
    return {
        finding.name: finding.rows for finding in run_checks(table, corpus.checks(table, facts)) if not finding.passed
    }


def test_it_is_a_benchmark():
    assert benchmarks.get("corpus") is corpus
    assert (corpus.MEASURE, corpus.FAMILIES) == ("language_model", ("masked", "causal"))


def test_read_drops_blank_lines_and_keeps_line_numbers(folder):
    table = corpus.read(folder, {})
    train = table[table["split"] == "train"]
    assert list(zip(train["line"], train["text"], strict=True)) == [
        (2, "= Rivers ="),
        (4, "The Zorna runs north ."),
        (5, "= = Fish = ="),
        (7, "Trout live there ."),
    ]
    # Only line feeds end lines; other separators are text.
    assert "It is cold \u2028 in May ." in set(table["text"])
    assert corpus.origin(table.iloc[3].to_dict()) == "train.txt: line 7"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "valid.txt").unlink(), "valid.txt: no such file"),
        (lambda folder: (folder / "test.txt").write_text(" \n\n"), "test.txt: holds no text"),
        (lambda folder: (folder / "train.txt").write_bytes(b"fine \nbr\xffken\n"), "train.txt: not UTF-8 text: line 2"),
    ],
)
def test_a_broken_file_is_named(folder, damage, message):
    damage(folder)
    with pytest.raises(DataError, match=message):
        corpus.read(folder, {})


def test_good_data_pass(folder):
    assert failed(folder, FACTS) == {}


def test_a_line_more_or_a_word_changed_fails(folder):
    path = folder / "train.txt"
    path.write_text(TRAIN + "One more . \n", encoding="utf-8")
    assert set(failed(folder, FACTS)) == {
        'table_row_count_to_equal(where split == "train")',
        'column_vocabulary_to_equal(text where split == "train")',
    }
    path.write_text(TRAIN.replace("Trout", "The"), encoding="utf-8")  # a type less
    assert set(failed(folder, FACTS)) == {'column_vocabulary_to_equal(text where split == "train")'}


def test_a_paragraph_that_leaks_is_named_and_a_short_repeat_is_not(folder):
    for split in ("train", "test"):
        with (folder / f"{split}.txt").open("a", encoding="utf-8") as handle:
            handle.write(f" {LONG} \n Key : none \n")
    table = corpus.read(folder, {})
    assert list(failed(folder, {}).values()) == [tuple(table.index[table["text"] == LONG])]


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ufffd"])
def test_characters_of_a_broken_copy_are_found(folder, character):
    (folder / "valid.txt").write_text(f"Some text .\nSome te{character}xt .\n", encoding="utf-8")
    assert failed(folder, {}) == {"column_values_to_not_match_regex(text)": (5,)}


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<|endoftext|>", "A", "tarn", "is", "small", "."]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    plain = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", bos_token="<|endoftext|>")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    framed = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        pad_token="[PAD]",
    )
    return {"causal": plain, "masked": framed}


def plan(folder: Path, tokenizer, family: str = "causal", context: int = 64, **options):
    encoder = Encoder(tokenizer[family], family, context=context, vocabulary=11)
    return corpus.plan(corpus.read(folder, {}), encoder, corpus.Options(min_words=1, **options))


def test_headings_are_not_scored_and_articles_are_the_clusters(folder, tokenizer):
    rows = plan(folder, tokenizer)
    assert {row.text: row.cluster for row in rows} == {
        "The Ommu is deep .": "Lakes",
        "It is cold \u2028 in May .": "Lakes",
        "A tarn is small .": "Tarns",
    }
    assert {row.category for row in rows} == {"test"}
    assert {row.item for row in rows} == {sha256_text(row.text) for row in rows}
    sections = plan(folder, tokenizer, split="train")
    assert {row.text: row.cluster for row in sections}["Trout live there ."] == "Rivers"
    assert [row.cluster for row in plan(folder, tokenizer, split="valid")] == ["1"]


def test_a_masked_model_is_asked_for_every_token_in_turn(folder, tokenizer):
    row = next(row for row in plan(folder, tokenizer, "masked") if row.text == "A tarn is small .")
    # [CLS] A tarn is small . [SEP]
    assert (row.tokens, row.words) == (7, 5)
    assert row.queries == (
        Query((2, 4, 7, 8, 9, 10, 3), (1,), (6,)),
        Query((2, 6, 4, 8, 9, 10, 3), (2,), (7,)),
        Query((2, 6, 7, 4, 9, 10, 3), (3,), (8,)),
        Query((2, 6, 7, 8, 4, 10, 3), (4,), (9,)),
        Query((2, 6, 7, 8, 9, 4, 3), (5,), (10,)),
    )


def test_an_unknown_word_is_scored_too(folder, tokenizer):
    row = next(row for row in plan(folder, tokenizer, "masked") if row.text.startswith("The Ommu"))
    assert [query.targets for query in row.queries] == [(1,), (1,), (8,), (1,), (10,)]


def test_a_causal_model_is_asked_for_every_token(folder, tokenizer):
    row = next(row for row in plan(folder, tokenizer) if row.text == "A tarn is small .")
    ids = (6, 7, 8, 9, 10)
    assert row.tokens == 5
    # The first token after the start token alone, the others after the tokens before them.
    assert row.queries == (Query((5,), (0,), (6,)), Query(ids, (0, 1, 2, 3), (7, 8, 9, 10)))


def test_the_sample_does_not_depend_on_the_order_of_lines(folder, tokenizer):
    lines = [f"Sentence {number} is here ." for number in range(50)]
    (folder / "test.txt").write_text("\n".join(lines), encoding="utf-8")
    first = plan(folder, tokenizer, texts=10)
    (folder / "test.txt").write_text("\n".join(reversed(lines)), encoding="utf-8")
    second = plan(folder, tokenizer, texts=10)
    assert len(first) == 10
    assert [row.text for row in first] == [row.text for row in second]
    other = plan(folder, tokenizer, texts=10, seed=1)
    assert {row.text for row in other} != {row.text for row in first}


def test_length_limits_and_repeats(folder, tokenizer):
    (folder / "test.txt").write_text("a b\na b\na b c\na b c d\na b c d e\n", encoding="utf-8")
    table = corpus.read(folder, {})
    encoder = Encoder(tokenizer["causal"], "causal", context=64, vocabulary=11)
    rows = corpus.plan(table, encoder, corpus.Options(min_words=2, max_words=4))
    assert sorted(row.text for row in rows) == ["a b", "a b c", "a b c d"]
    with pytest.raises(DataError, match="no line of 20 to 64 words in the test split"):
        corpus.plan(table, encoder, corpus.Options(min_words=20))


def test_a_text_beyond_the_models_context_is_refused(folder, tokenizer):
    with pytest.raises(ModelError, match="text of 6 tokens, but the model reads 5"):
        plan(folder, tokenizer, context=5)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"split": "dev"}, "split"),
        ({"texts": 0}, "texts"),
        ({"min_words": 9, "max_words": 8}, "must not exceed"),
        ({"stride": 4}, "stride: unknown key; allowed: .*min_words"),
    ],
)
def test_unknown_options_are_refused(raw, message):
    with pytest.raises(ParamsError, match=message):
        parse(corpus.Options, raw, "datasets.wikitext2.options")
