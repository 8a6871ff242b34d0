"""A text corpus in WikiText's format: what models are trained on, and held-out (pseudo-)perplexity.

``train.txt``, ``valid.txt`` and ``test.txt`` hold one paragraph a line, articles opened by a line
`` = Title = ``, sections by `` = = Section = = ``, rare words written ``<unk>``, and words already
separated by blanks (``@-@`` for a hyphen inside a word). Texts are used as they stand: nothing is
detokenised, so perplexities compare between models of one corpus, not with those of other papers.

Facts (optional): ``splits``, a mapping of split to ``{"lines": n, "blank_lines": n, "tokens": n,
"types": n}``, counted as in Merity et al. (2017): every line, blank ones too, ends in an end mark
that is a token and a type beside the whitespace-separated words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, model_validator

from stages.benchmarks import Check
from stages.benchmarks._sentences import causal_queries, encode_all
from stages.common.encoder import Encoder
from stages.common.errors import DataError
from stages.common.files import sha256_text
from stages.common.params import Family, Frozen
from stages.common.query import Query, Row

MEASURE = "language_model"
FAMILIES: tuple[Family, ...] = ("masked", "causal")
SPLITS = ("train", "valid", "test")
COLUMNS = ["split", "line", "text"]
LEAK_WORDS = 25
"""Lines this long never repeat by chance; shorter ones (table captions, section names) do."""

_HEADING = re.compile(r"(= )+[^=].* =( =)*")
_TITLE = re.compile(r"= (?!= ).* (?<!= )=")


class Options(Frozen):
    """Which lines are scored: a fixed sample of one split."""

    split: Literal["train", "valid", "test"] = "test"
    texts: int = Field(default=200, ge=1)
    """How many lines, at most."""
    min_words: int = Field(default=8, ge=1)
    max_words: int = Field(default=64, ge=1)
    """Lines outside this length are left out, and so are headings."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Options:
        if self.min_words > self.max_words:
            raise ValueError("min_words must not exceed max_words")
        return self


def read(folder: Path, facts: dict[str, Any]) -> pd.DataFrame:
    """One row a line that is not blank: split, line (1-based, in the file) and text (blanks around it removed).

    Raises:
        DataError: A split's file is missing, holds no text, or is not UTF-8.
    """
    frames = []
    for split in SPLITS:
        path = Path(folder) / f"{split}.txt"
        texts = [text.strip() for text in _lines(path)]
        rows = [(split, line, text) for line, text in enumerate(texts, start=1) if text]
        if not rows:
            raise DataError("holds no text", where=path)
        frames.append(pd.DataFrame(rows, columns=COLUMNS))
    return pd.concat(frames, ignore_index=True)


def origin(row: dict[str, Any]) -> str:
    """Where a row of the table came from: file and line."""
    return f"{row['split']}.txt: line {row['line']}"


def checks(table: pd.DataFrame, facts: dict[str, Any]) -> Sequence[Check]:
    """Schema, splits and their sizes, and no paragraph twice (a leak from training into the held-out text)."""
    from great_expectations import expectations as gxe

    from stages.benchmarks._vocabulary import ExpectColumnVocabularyToEqual

    found = [
        Check(gxe.ExpectTableColumnsToMatchOrderedList(column_list=COLUMNS)),
        Check(gxe.ExpectColumnDistinctValuesToEqualSet(column="split", value_set=list(SPLITS))),
        Check(gxe.ExpectColumnValuesToNotBeNull(column="text")),
        Check(gxe.ExpectColumnValuesToMatchRegex(column="text", regex=r"\S")),
        Check(
            gxe.ExpectColumnValuesToNotMatchRegex(column="text", regex=r"[\x00-\x08\x0b-\x1f\x7f\ufffd]"),
            "control and replacement characters mean that the file was decoded or copied wrongly",
        ),
        Check(gxe.ExpectCompoundColumnsToBeUnique(column_list=["split", "line"])),
        Check(
            gxe.ExpectColumnValuesToBeUnique(
                column="text", row_condition=f"text.str.count(' ') >= {LEAK_WORDS - 1}", condition_parser="pandas"
            ),
            f"a paragraph of {LEAK_WORDS} words or more twice is a leak; headings and captions do recur in WikiText",
        ),
    ]
    for split, pinned in sorted(facts.get("splits", {}).items()):
        of_the_split = {"row_condition": f'split == "{split}"', "condition_parser": "pandas"}
        found += [
            Check(
                gxe.ExpectTableRowCountToEqual(value=pinned["lines"] - pinned["blank_lines"], **of_the_split),
                "blank lines are not kept",
            ),
            Check(
                ExpectColumnVocabularyToEqual(
                    column="text", words=pinned["tokens"] - pinned["lines"], types=pinned["types"] - 1, **of_the_split
                ),
                "the published counts, less one end mark a line: they hold in any order of the articles",
            ),
        ]
    return found


def plan(table: pd.DataFrame, encoder: Encoder, options: Options) -> list[Row]:
    """Score a sample of lines: pseudo-log-likelihood for masked models, log-likelihood for causal ones.

    Masked: every token but the special ones is masked in turn (Salazar et al. 2020). Causal: every
    token, the first given the start token alone, as for the benchmarks' sentences. The sample
    is drawn by a hash of the text, so it does not depend on the order of lines. A row's
    item is the text's key, its cluster the article (the line, where the corpus has no articles).

    Raises:
        DataError: No line of the split is of the length asked for.
    """
    lines = table[table["split"] == options.split].sort_values("line")
    is_title = lines["text"].map(lambda text: _TITLE.fullmatch(text) is not None)
    clusters = lines["text"].where(is_title).ffill().str.strip("= ").fillna(lines["line"].astype(str))
    lines = lines.assign(cluster=clusters).drop_duplicates("text")
    words = lines["text"].map(lambda text: len(text.split()))
    heading = lines["text"].map(lambda text: _HEADING.fullmatch(text) is not None)
    lines = lines[words.between(options.min_words, options.max_words) & ~heading]
    if lines.empty:
        raise DataError(
            f"no line of {options.min_words} to {options.max_words} words in the {options.split} split",
            where="corpus", fix="widen min_words and max_words",
        )
    order = lines["text"].map(lambda text: sha256_text(f"{options.seed}/{text}")).sort_values()
    sample = lines.loc[order.index[: options.texts]]
    ids = encode_all(encoder, sample["text"])
    return [
        Row(
            item=sha256_text(text),
            category=options.split,
            cluster=cluster,
            role="text",
            text=text,
            tokens=len(ids[text]),
            queries=_queries(ids[text], encoder),
        )
        for text, cluster in zip(sample["text"], sample["cluster"], strict=True)
    ]


def _queries(ids: tuple[int, ...], encoder: Encoder) -> tuple[Query, ...]:
    if encoder.family == "causal":
        return causal_queries(ids, encoder.start_ids, "first_token_only")
    mask = encoder.mask_id
    # An unknown word is part of the text, though tokenizers count its token among the special ones.
    special = set(encoder.tokenizer.all_special_ids) - {encoder.tokenizer.unk_token_id}
    return tuple(
        Query((*ids[:position], mask, *ids[position + 1 :]), (position,), (token,))
        for position, token in enumerate(ids)
        if token not in special
    )


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError("no such file", where=path, fix=f"a corpus has {', '.join(f'{s}.txt' for s in SPLITS)}")
    try:
        return path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"not UTF-8 text: line {line}", where=path) from error
