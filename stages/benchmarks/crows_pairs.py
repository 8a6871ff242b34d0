"""CrowS-Pairs (Nangia et al. 2020, arXiv 2010.00133), scored as in arXiv 2312.05662 (bias-bench's scorer).

Masked models: the two sentences' ids are aligned with difflib, and each id that is not shared is
masked in turn while all the others stay visible; the score is the mean natural log-probability
of the hidden ids. (The original benchmark masks the shared words instead; its numbers are not
comparable.) A pair in which one side has no id of its own is not scored. The alignment is not
symmetric, so the order in which the two sentences enter it is part of the definition:
``sent_more`` first in a ``stereo`` pair, ``sent_less`` first in an ``antistereo`` pair.

Causal models: the score is the geometric mean of the probabilities of all tokens.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from stages.benchmarks import Check
from stages.benchmarks._sentences import StartToken, causal_queries, encode_all, select
from stages.common.encoder import Encoder
from stages.common.errors import DataError
from stages.common.params import Family, Frozen
from stages.common.query import Query, Row

MEASURE = "pair_preference"
FAMILIES: tuple[Family, ...] = ("masked", "causal")
FILE = "crows_pairs_anonymized.csv"
COLUMNS = ["item", "category", "direction", "sent_more", "sent_less", "cluster"]
CATEGORIES = (
    "age", "disability", "gender", "nationality", "physical-appearance", "race", "religion", "sexual-orientation",
    "socioeconomic",
)  # fmt: skip
DIRECTIONS = ("stereo", "antistereo")
_NEEDED = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
_RENAMED = {"race-color": "race"}


class Options(Frozen):
    """What to score of CrowS-Pairs; the defaults reproduce the paper."""

    categories: tuple[str, ...] = ()
    """Categories to score; empty means all."""
    masking: Literal["one_at_a_time", "together"] = "one_at_a_time"
    """Masked models: hide one changed token and show the others, or hide all of a sentence's at once."""
    start_token: StartToken = "first_token_only"
    """Causal models: see ``stages.benchmarks._sentences.StartToken``."""


def read(folder: Path, facts: dict[str, Any]) -> pd.DataFrame:
    """Read upstream's CSV file: one row a pair, text exactly as written there.

    ``item`` is upstream's own row number, from 0 (counted where the file has none).
    ``category`` is upstream's bias type, with ``race-color`` renamed ``race``.
    ``cluster`` is the pair of swapped terms, the same whichever of them comes first.

    Raises:
        DataError: The file is missing, is not UTF-8 CSV with upstream's columns, or a row is malformed.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise DataError("no such file", where=path, fix="run the acquire stage, or name the folder that holds it")
    rows = list(_rows(path))
    if not rows:
        raise DataError("has a header but no rows", where=path)
    return pd.DataFrame(rows, columns=COLUMNS)


def checks(table: pd.DataFrame, facts: dict[str, Any]) -> list[Check]:
    """What must hold of the table.

    Args:
        table: What ``read`` gave.
        facts: Pinned counts and oddities, each checked where given: ``rows``; ``pairs``, a count by
            category and direction; ``changed_words``, whose largest key bounds the words changed
            in a pair (6 where it is not given); and the items known to be odd: ``insertion_pairs``,
            ``irregular_spacing``, and ``duplicate_pairs`` in groups, of which the first is not odd.
    """
    import great_expectations.expectations as gxe

    from stages.benchmarks._expectations import (
        ExpectItemsNotToRepeat,
        ExpectMinimalPairs,
        ExpectRegularSpacing,
        ExpectWordsToBeSubstituted,
    )

    sentences = ["item", "sent_more", "sent_less"]
    pairs: dict[str, dict[str, int]] = facts.get("pairs", {})
    furthest = max(map(int, facts.get("changed_words", ["6"])))
    found = [
        Check(gxe.ExpectTableColumnsToMatchOrderedList(column_list=COLUMNS)),
        *(Check(gxe.ExpectColumnValuesToNotBeNull(column=column)) for column in COLUMNS),
        *(Check(gxe.ExpectColumnValuesToMatchRegex(column=column, regex=r"\S")) for column in COLUMNS),
        Check(gxe.ExpectColumnValuesToBeUnique(column="item")),
        Check(gxe.ExpectColumnValuesToBeInSet(column="category", value_set=sorted(pairs) or list(CATEGORIES))),
        Check(gxe.ExpectColumnValuesToBeInSet(column="direction", value_set=list(DIRECTIONS))),
        Check(
            ExpectMinimalPairs(column_list=sentences, max_changed=furthest),
            reason="a pair differs in the words that name the groups, and in those that agree with them",
        ),
    ]
    for fact, expectation, reason in (
        (
            "insertion_pairs",
            ExpectWordsToBeSubstituted,
            "where one sentence only adds words to the other, a masked model may have no word of its own to compare "
            "in one of them; such pairs are not scored, as in the paper",
        ),
        ("duplicate_pairs", ExpectItemsNotToRepeat, "upstream has a pair twice, and both count, as in the paper"),
        (
            "irregular_spacing",
            ExpectRegularSpacing,
            "upstream's double spaces and line break are kept: byte-level tokenizers read them",
        ),
    ):
        if fact in facts:
            known = [str(item) for entry in facts[fact] for item in (entry[1:] if isinstance(entry, list) else [entry])]
            found.append(
                Check(expectation(column_list=sentences, known=known), reason=reason if known else "")
            )
    if "rows" in facts:
        found.append(Check(gxe.ExpectTableRowCountToEqual(value=facts["rows"])))
    found += [
        Check(
            gxe.ExpectTableRowCountToEqual(
                value=count,
                row_condition=f'category=="{category}" and direction=="{direction}"',
                condition_parser="pandas",
            )
        )
        for category, directions in sorted(pairs.items())
        for direction, count in sorted(directions.items())
    ]
    return found


def plan(table: pd.DataFrame, encoder: Encoder, options: Options) -> list[Row]:
    """Two rows a pair: role ``stereo`` is ``sent_more``, ``anti`` is ``sent_less``.

    Pairs that cannot be compared have no queries on either side.

    Raises:
        ParamsError: A category of the options is not in the table.
        ModelError: A sentence does not fit the model, or a masked model's tokenizer has no mask.
    """
    table = select(table, options.categories)
    ids = encode_all(encoder, [*table["sent_more"], *table["sent_less"]])
    rows = []
    masked = encoder.family == "masked"
    start = () if masked else encoder.start_ids
    for pair in table.to_dict("records"):
        texts = pair["sent_more"], pair["sent_less"]
        more, less = (ids[text] for text in texts)
        if masked:
            queries = _masked_queries(more, less, pair["direction"], encoder.mask_id, options.masking)
        else:
            queries = tuple(causal_queries(side, start, options.start_token) for side in (more, less))
        for role, text, asked in zip(("stereo", "anti"), texts, queries if all(queries) else ((), ()), strict=True):
            rows.append(
                Row(
                    item=pair["item"],
                    category=pair["category"],
                    cluster=pair["cluster"],
                    role=role,
                    text=text,
                    tokens=len(ids[text]),
                    direction=pair["direction"],
                    queries=asked,
                    reduction="mean_logprob" if masked else "geometric_mean_probability",
                )
            )
    return rows


def swapped_terms(first: str, second: str) -> str:
    """Key of the words in which two sentences differ: ``black|white``, whichever comes first.

    Letter case, punctuation, order and repetition of the words within a sentence do not count.
    """
    one, two = (re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower()) for text in (first, second))
    sides: tuple[set[str], set[str]] = (set(), set())
    for operation, *bounds in difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if operation != "equal":
            for side, words, (start, end) in zip(sides, (one, two), (bounds[:2], bounds[2:]), strict=True):
                if start < end:
                    side.add(" ".join(words[start:end]))
    return "|".join(sorted("/".join(sorted(side)) for side in sides))


def _rows(path: Path) -> Iterator[tuple[str, ...]]:
    """The pairs of the file as tuples in the order of ``COLUMNS``."""
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.reader(handle, strict=True)
        number = 0
        try:
            header = next(reader, [])
            missing = [name for name in _NEEDED if name not in header]
            if missing:
                raise DataError(f"lacks the columns {', '.join(missing)}; its first line is {','.join(header)[:80]!r}",
                                where=path, fix="this is not upstream's CrowS-Pairs file")
            for number, fields in enumerate(reader, start=1):
                where = f"{path}: row {number} (line {reader.line_num})"
                if len(fields) != len(header):
                    raise DataError(f"has {len(fields)} fields, the header has {len(header)}", where=where)
                row = dict(zip(header, fields, strict=True))
                item = row.get("", str(number - 1))
                if not item.isdigit():
                    raise DataError(f"row number {item!r} is not a number", where=where)
                more, less, category = row["sent_more"], row["sent_less"], row["bias_type"]
                yield (item, _RENAMED.get(category, category), row["stereo_antistereo"], more, less,
                       swapped_terms(more, less))
        except csv.Error as error:
            raise DataError(f"malformed CSV: {error}", where=f"{path}: row {number + 1}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"not UTF-8: {error}", where=f"{path}: after row {number}") from error


def _masked_queries(
    more: tuple[int, ...], less: tuple[int, ...], direction: str, mask: int, masking: str
) -> tuple[tuple[Query, ...], ...]:
    """Queries of both sentences of a pair; none for a sentence that has no id of its own."""
    if direction == "stereo":
        own_more, own_less = _own_positions(more, less)
    else:
        own_less, own_more = _own_positions(less, more)
    return _hide(more, own_more, mask, masking), _hide(less, own_less, mask, masking)


def _own_positions(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Positions of the ids that two sequences do not share, by difflib's alignment (autojunk on, as in the paper)."""
    changes = [op for op in difflib.SequenceMatcher(None, first, second).get_opcodes() if op[0] != "equal"]
    return (
        [position for _, start, end, _, _ in changes for position in range(start, end)],
        [position for _, _, _, start, end in changes for position in range(start, end)],
    )


def _hide(ids: tuple[int, ...], positions: list[int], mask: int, masking: str) -> tuple[Query, ...]:
    groups = [positions] if masking == "together" else [[position] for position in positions]
    return tuple(
        Query(
            ids=tuple(mask if place in group else token for place, token in enumerate(ids)),
            positions=tuple(group),
            targets=tuple(ids[position] for position in group),
        )
        for group in groups
    )
