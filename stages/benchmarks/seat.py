"""SEAT: are two groups' sentences embedded nearer to one of two sets of attribute sentences?

Upstream (W4ngatang/sent-bias @e3559fb; ``sent-religion*`` from McGill-NLP/bias-bench @291426a)
keeps one test in one JSON file, its name the test's: ``targ1`` and ``targ2`` (here X and Y) against
``attr1`` and ``attr2`` (A and B), each ``{"category": ..., "examples": [...]}``.

Facts (optional): ``tests``, a mapping of test name to ``{"category": gender|race|religion,
"X": n, "Y": n, "A": n, "B": n}`` (each key optional). Given them, exactly those tests are read;
otherwise every file but upstream's tests of other things (word level, double binds, WEAT 1, 2, 9, 10).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stages.benchmarks import Check
from stages.benchmarks._sentences import encode_all
from stages.benchmarks._terms import terms
from stages.common.encoder import Encoder
from stages.common.errors import DataError
from stages.common.params import Family, Frozen
from stages.common.query import Row

MEASURE = "association"
FAMILIES: tuple[Family, ...] = ("masked", "causal", "sentence")
CATEGORIES = ("gender", "race", "religion")
CATEGORY_OF = {
    **dict.fromkeys(("sent-weat6", "sent-weat6b", "sent-weat7", "sent-weat7b", "sent-weat8", "sent-weat8b"), "gender"),
    **dict.fromkeys(
        (
            "sent-angry_black_woman_stereotype", "sent-angry_black_woman_stereotype_b",
            "sent-weat3", "sent-weat3b", "sent-weat4", "sent-weat5", "sent-weat5b",
        ),
        "race",
    ),
    **dict.fromkeys(("sent-religion1", "sent-religion1b", "sent-religion2", "sent-religion2b"), "religion"),
}
"""The tests that arXiv 2312.05662 reports, and the bias each is counted for."""
SET_OF = {"X": "targ1", "Y": "targ2", "A": "attr1", "B": "attr2"}
"""Upstream's name of each role."""
COLUMNS = ["test", "category", "role", "group", "position", "text"]

_OTHER_UPSTREAM = re.compile(
    r"weat([1-9]|10|3b|5b|6b|7b|8b)|angry_black_woman_stereotype(_b)?|sent-weat(1|2|9|10)|(sent-)?heilman_double_bind_.*"
)


class Options(Frozen):
    """SEAT has no settings: every sentence of every test is embedded."""


def read(folder: Path, facts: dict[str, Any]) -> pd.DataFrame:
    """One row a stimulus: test, category, role, group (upstream's name of the set), position, text.

    Raises:
        DataError: A file is missing, is no test as upstream writes them (the message names the
            file and the key), or is a test of unknown category.
    """
    folder = Path(folder)
    rows = []
    for name in _tests(folder, facts):
        path = folder / f"{name}.jsonl"
        category = _category(path, facts)
        for role, (group, examples) in _sets(path).items():
            rows += [(name, category, role, group, position, text) for position, text in enumerate(examples)]
    return pd.DataFrame(rows, columns=COLUMNS)


def origin(row: dict[str, Any]) -> str:
    """Where a row of the table came from: file and place in it."""
    return f"{row['test']}.jsonl: {SET_OF.get(row['role'], row['role'])}.examples[{row['position']}]"


def checks(table: pd.DataFrame, facts: dict[str, Any]) -> Sequence[Check]:
    """Schema, categories, non-empty texts, set sizes, and sets that share no sentence."""
    from great_expectations import expectations as gxe

    pinned = facts.get("tests", {})
    found = [
        Check(gxe.ExpectTableColumnsToMatchOrderedList(column_list=COLUMNS)),
        Check(gxe.ExpectColumnValuesToBeInSet(column="category", value_set=list(CATEGORIES))),
        Check(gxe.ExpectColumnValuesToBeInSet(column="role", value_set=list(SET_OF))),
        Check(gxe.ExpectColumnValuesToNotBeNull(column="text")),
        Check(gxe.ExpectColumnValuesToMatchRegex(column="text", regex=r"\S")),
    ]
    if pinned:
        found.append(Check(gxe.ExpectColumnDistinctValuesToEqualSet(column="test", value_set=sorted(pinned))))
    for roles, what in ((["X", "Y"], "targets"), (["A", "B"], "attributes")):
        found.append(
            Check(
                gxe.ExpectCompoundColumnsToBeUnique(
                    column_list=["test", "text"], row_condition=f"role in {roles}", condition_parser="pandas"
                ),
                f"the {what} of a test are two disjoint sets; a sentence twice or in both has no place to be counted",
            )
        )
    for test in sorted(set(table["test"])):
        found += [Check(_set_size(test, role, pinned.get(test, {}).get(role))) for role in SET_OF]
    return found


def plan(table: pd.DataFrame, encoder: Encoder, options: Options) -> list[Row]:
    """One embedding a stimulus: the mean over all positions, special tokens included (bias-bench).

    A row's item is ``<test>/<role>/<position>``, its cluster the term the sentence is about.

    Raises:
        DataError: A sentence is no token to the tokenizer, so that there is nothing to embed.
    """
    ids = encode_all(encoder, table["text"])
    silent = table[[not ids[text] for text in table["text"]]]
    if len(silent):
        stimulus = {str(column): value for column, value in silent.iloc[0].items()}
        raise DataError(f"the sentence {stimulus['text']!r} is no token to the model's tokenizer",
                        where=origin(stimulus), fix="leave it out of the test, or use another model")
    rows = []
    for (test, role), stimuli in table.groupby(["test", "role"], sort=True):
        texts = list(stimuli["text"])
        about = zip(stimuli["category"], stimuli["position"], texts, terms(texts), strict=True)
        rows += [
            Row(
                item=f"{test}/{role}/{position:04d}",
                category=category,
                cluster=term,
                role=str(role),
                text=text,
                tokens=len(ids[text]),
                sequence=ids[text],
            )
            for category, position, text, term in about
        ]
    return rows


def _tests(folder: Path, facts: dict[str, Any]) -> list[str]:
    present = sorted(path.stem for path in folder.glob("*.jsonl"))
    wanted = sorted(facts["tests"]) if facts.get("tests") else [t for t in present if not _OTHER_UPSTREAM.fullmatch(t)]
    if not wanted:
        raise DataError("no SEAT test (*.jsonl) here", where=folder, fix="run: dvc repro acquire")
    missing = [name for name in wanted if name not in present]
    if missing:
        raise DataError(f"lacks the test files {', '.join(f'{name}.jsonl' for name in missing)}", where=folder)
    return wanted


def _category(path: Path, facts: dict[str, Any]) -> str:
    category = facts.get("tests", {}).get(path.stem, {}).get("category", CATEGORY_OF.get(path.stem))
    if category is None:
        raise DataError(
            f"test {path.stem!r} has no category; known tests are: {', '.join(sorted(CATEGORY_OF))}",
            where=path,
            fix="name its category in the facts of the source manifest, under tests",
        )
    return str(category)


def _sets(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Role -> upstream's name of the set, and its sentences."""
    try:
        raw = json.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text (byte {error.start})", where=path) from error
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}, line {error.lineno} column {error.colno}", where=path) from error
    if not isinstance(raw, dict):
        raise DataError(f"expected an object with {', '.join(SET_OF.values())}, found {_kind(raw)}", where=path)
    unknown = sorted(set(raw) - set(SET_OF.values()))
    if unknown:
        raise DataError(f"unknown key {unknown[0]!r}; allowed: {', '.join(SET_OF.values())}", where=path)
    return {role: _one_set(raw, key, path) for role, key in SET_OF.items()}


def _one_set(raw: dict[str, Any], key: str, path: Path) -> tuple[str, list[str]]:
    if key not in raw:
        raise DataError(f"lacks the set {key!r}", where=path)
    if not isinstance(raw[key], dict) or set(raw[key]) != {"category", "examples"}:
        raise DataError(f"{key} is not an object with 'category' and 'examples'", where=path)
    group, examples = raw[key]["category"], raw[key]["examples"]
    if not isinstance(group, str):
        raise DataError(f"{key}.category is {_kind(group)}, not a string", where=path)
    if not isinstance(examples, list):
        raise DataError(f"{key}.examples is {_kind(examples)}, not a list of sentences", where=path)
    for position, text in enumerate(examples):
        if not isinstance(text, str):
            raise DataError(f"{key}.examples[{position}] is {_kind(text)}, not a string", where=path)
    return group, examples


def _kind(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def _set_size(test: str, role: str, expected: int | None) -> Any:
    from great_expectations import expectations as gxe

    of_the_set = {"row_condition": f'test == "{test}" and role == "{role}"', "condition_parser": "pandas"}
    if expected is None:
        return gxe.ExpectTableRowCountToBeBetween(min_value=1, **of_the_set)
    return gxe.ExpectTableRowCountToEqual(value=expected, **of_the_set)
