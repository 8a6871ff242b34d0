"""StereoSet (Nadeem et al. 2021, arXiv 2004.09456), scored as in arXiv 2312.05662 (bias-bench's scorer).

Only the intrasentence items are scored. Masked models: BLANK is replaced by the mask, and the
score of a sentence is the mean probability of the filler's sub-words, read from left to right;
the earlier sub-words stand before the mask as text, which is tokenised anew, and the later ones
are absent. Causal models: the geometric mean of the probabilities of all tokens of the sentence.

Kept as the reference has them: the filler is the one word of the sentence at the place of the
context's last BLANK, without punctuation, where words are separated by single spaces; every
BLANK of the context is replaced, and the first mask is read; a RoBERTa filler is encoded with a
space before it, and so is the text of its earlier sub-words. A filler without sub-words is not scored.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from stages.benchmarks import Check
from stages.benchmarks._sentences import StartToken, causal_queries, encode_all, select
from stages.common.encoder import Encoder
from stages.common.errors import DataError, ModelError
from stages.common.params import Family, Frozen
from stages.common.query import Query, Reduction, Row
from stages.common.stereoset_file import COLUMNS, KINDS, find_file, read_file

MEASURE = "stereotype_triples"
FAMILIES: tuple[Family, ...] = ("masked", "causal")
DOMAINS = ("gender", "profession", "race", "religion")
ROLES = {"stereotype": "stereo", "anti-stereotype": "anti", "unrelated": "unrelated"}
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Options(Frozen):
    """What to score of StereoSet; the defaults reproduce the paper."""

    categories: tuple[str, ...] = ()
    """Domains to score; empty means all. The overall metrics are over what is scored."""
    average: Literal["probability", "log_probability"] = "probability"
    """Masked models: average the sub-words' probabilities (the reference's code), or their
    logarithms (the reference's documentation)."""
    start_token: StartToken = "first_token_only"
    """Causal models: see ``stages.benchmarks._sentences.StartToken``."""


def read(folder: Path, facts: dict[str, Any]) -> pd.DataFrame:
    """Read the one StereoSet file in a folder: one row a sentence, three rows an item.

    ``item`` is the kind and the position in the file from 0, e.g. ``intrasentence-1158``;
    ``upstream_id`` and ``sentence_id`` are upstream's, null where the file has none.

    Raises:
        DataError: There is no file or no obvious one, or it is not JSON of upstream's structure.
    """
    return read_file(find_file(Path(folder)))


def checks(table: pd.DataFrame, facts: dict[str, Any]) -> list[Check]:
    """What must hold of the table.

    Args:
        table: What ``read`` gave.
        facts: Pinned counts and oddities, each checked where given: ``items``, a count by kind and
            category (also one that upstream has not); ``targets``, distinct terms by kind and category;
            ``null_ids``, items without an id; ``two_blanks``, upstream ids of the items with two gaps
            (where it is not given, a context must have at least one gap).
    """
    import great_expectations.expectations as gxe

    from stages.benchmarks._expectations import (
        ExpectItemsNotToRepeat,
        ExpectOneBlank,
        ExpectOneOfEachValue,
        ExpectSentenceToFillContext,
    )

    text = ["item", "kind", "category", "target", "context", "sentence", "label"]
    counted = {category for counts in facts.get("items", {}).values() for category in counts}
    domains = [*DOMAINS, *sorted(counted - set(DOMAINS))]
    intrasentence = {"row_condition": 'kind=="intrasentence"', "condition_parser": "pandas"}
    reconstructed = "the file stands in for upstream's, and upstream's ids are not known for these items"
    found = [
        Check(gxe.ExpectTableColumnsToMatchOrderedList(column_list=COLUMNS)),
        *(Check(gxe.ExpectColumnValuesToNotBeNull(column=column)) for column in text),
        *(Check(gxe.ExpectColumnValuesToMatchRegex(column=column, regex=r"\S")) for column in text),
        Check(gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=list(KINDS))),
        Check(gxe.ExpectColumnValuesToBeInSet(column="category", value_set=domains)),
        Check(gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(ROLES))),
        Check(ExpectOneOfEachValue(column_list=["item", "label"], values=list(ROLES))),
        Check(
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=["upstream_id", "label"], ignore_row_if="any_value_is_missing"
            )
        ),
        Check(
            gxe.ExpectColumnValuesToBeUnique(column="sentence_id"), reason=reconstructed if _nulls(facts) else ""
        ),
        Check(ExpectItemsNotToRepeat(column_list=["item", "kind", "target", "context", "sentence", "label"])),
        Check(
            ExpectSentenceToFillContext(column_list=["item", "context", "sentence"], **intrasentence),
            reason="letter case aside: upstream lower-cased words of many sentences and not of their contexts; "
            "gaps misspelt BLANk or Blank are filled in the sentences, but scoring knows only BLANK",
        ),
    ]
    if "two_blanks" in facts:
        found.append(
            Check(
                ExpectOneBlank(column_list=["upstream_id", "context"], known=facts["two_blanks"], **intrasentence),
                reason="these contexts have two gaps: both are filled and the first is read" if facts["two_blanks"]
                else "",
            )
        )
    else:
        found.append(Check(gxe.ExpectColumnValuesToMatchRegex(column="context", regex="BLANK", **intrasentence)))
    if "null_ids" in facts:
        nulls = {"row_condition": "upstream_id.isnull()", "condition_parser": "pandas"}
        found.append(
            Check(
                gxe.ExpectTableRowCountToEqual(value=facts["null_ids"] * len(ROLES), **nulls),
                reason=reconstructed if _nulls(facts) else "",
            )
        )
    for kind in KINDS:
        for category in domains:
            subset = {"row_condition": f'kind=="{kind}" and category=="{category}"', "condition_parser": "pandas"}
            if kind in facts.get("items", {}):
                items = facts["items"][kind].get(category, 0)
                found.append(Check(gxe.ExpectTableRowCountToEqual(value=items * len(ROLES), **subset)))
            terms = facts.get("targets", {}).get(kind, {}).get(category)
            if terms and ((table["kind"] == kind) & (table["category"] == category)).any():
                found.append(
                    Check(
                        gxe.ExpectColumnUniqueValueCountToBeBetween(
                            column="target", min_value=terms, max_value=terms, **subset
                        )
                    )
                )
    return found


def plan(table: pd.DataFrame, encoder: Encoder, options: Options) -> list[Row]:
    """Three rows an intrasentence item, one a role; ``cluster`` is the target term.

    Raises:
        ParamsError: A category of the options is not in the table.
        DataError: There is no intrasentence item, or one lacks BLANK, its filler or a known label.
        ModelError: A text does not fit the model, or a masked model's tokenizer has no mask.
    """
    table = table[table["kind"] == "intrasentence"]
    if table.empty:
        raise DataError("no intrasentence items: only these are scored", where="stereoset")
    table = select(table, options.categories)
    unknown = table[~table["label"].isin(list(ROLES))]
    if len(unknown):
        raise DataError(f"unknown label {unknown['label'].iloc[0]!r}", where=unknown["item"].iloc[0])
    sentences = encode_all(encoder, table["sentence"])
    reduction: Reduction
    if encoder.family == "masked":
        queries = _masked_queries(table, encoder)
        reduction = "mean_probability" if options.average == "probability" else "mean_logprob"
    else:
        start = encoder.start_ids
        queries = [causal_queries(sentences[text], start, options.start_token) for text in table["sentence"]]
        reduction = "geometric_mean_probability"
    return [
        Row(
            item=entry["item"],
            category=entry["category"],
            cluster=entry["target"],
            role=ROLES[entry["label"]],
            text=entry["sentence"],
            tokens=len(sentences[entry["sentence"]]),
            queries=asked,
            reduction=reduction,
        )
        for entry, asked in zip(table.to_dict("records"), queries, strict=True)
    ]


def filler(context: str, sentence: str) -> str:
    """The sentence's word at the place of the context's last BLANK, without ASCII punctuation.

    Raises:
        ValueError: The context has no BLANK, or the sentence no word at its place.
    """
    gaps = [place for place, word in enumerate(context.split(" ")) if "BLANK" in word]
    words = sentence.split(" ")
    if not gaps or gaps[-1] >= len(words):
        raise ValueError("context has no BLANK" if not gaps else "sentence ends before the context's BLANK")
    return words[gaps[-1]].translate(_NO_PUNCTUATION)


def _masked_queries(table: pd.DataFrame, encoder: Encoder) -> list[tuple[Query, ...]]:
    """Queries of each row: one for each sub-word of its filler."""
    words: dict[str, list[tuple[str, int]]] = {}
    """Of each filler: the text before the mask, and the id to look for, of each sub-word."""
    asked: list[list[tuple[str, int]]] = []
    mask = encoder.mask_token
    for item, context, sentence in zip(table["item"], table["context"], table["sentence"], strict=True):
        try:
            word = filler(context, sentence)
        except ValueError as error:
            raise DataError(f"{error}: {context!r} / {sentence!r}", where=item) from error
        if word not in words:
            ids = encoder.encode_word(word)
            words[word] = [(encoder.decode(ids[:place]) if place else "", token) for place, token in enumerate(ids)]
        asked.append(
            [(context.replace("BLANK", before + mask), token) for before, token in words[word]]
        )
    encoded = encode_all(encoder, (text for questions in asked for text, _ in questions))
    places = {text: _first_mask(ids, encoder.mask_id, text) for text, ids in encoded.items()}
    return [
        tuple(Query(encoded[text], (places[text],), (token,)) for text, token in questions) for questions in asked
    ]


def _first_mask(ids: tuple[int, ...], mask: int, text: str) -> int:
    if mask not in ids:
        raise ModelError(f"the tokenizer does not read its own mask in {text!r}")
    return ids.index(mask)


def _nulls(facts: dict[str, Any]) -> bool:
    return bool(facts.get("null_ids"))
