"""What must hold of StereoSet, on data corrupted in one place at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.benchmarks.stereoset import checks
from stages.validation.runner import run_checks
from tests.reference.stereoset_documents import NEXT, SIMPLE, document, example, table_of

FACTS: dict[str, Any] = {
    "items": {"intrasentence": {"gender": 1, "profession": 2}, "intersentence": {"profession": 1}},
    "targets": {"intrasentence": {"gender": 1, "profession": 1}, "intersentence": {"profession": 1}},
    "null_ids": 0,
    "two_blanks": ["e2"],
}


def sound() -> dict[str, Any]:
    return document(
        SIMPLE,
        example("The Mother was (BLANK).", "kind", "Cruel", "well-known", target="mother", category="gender", name="e1",
                sentences=("The mother was (kind).", "the mother was (Cruel).", "The Mother was (well-known).")),
        example("the nurse likes BLANK and BLANK", name="e2", sentences=(
            "the nurse likes kind and soup", "the nurse likes soup and kind", "the nurse likes cruel and is")),
        intersentence=(NEXT,),
    )


def failures(folder: Path, content: dict[str, Any], facts: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    table = table_of(folder, content)
    found = run_checks(table, checks(table, facts))
    assert not [finding.message for finding in found if finding.message]
    return {finding.name.split("where")[0].rstrip(" ()"): finding.rows for finding in found if not finding.passed}


def _change(number: int, key: str, value: Any, sentence: int | None = None) -> Callable[[list[dict[str, Any]]], None]:
    def corrupt(items: list[dict[str, Any]]) -> None:
        holder = items[number] if sentence is None else items[number]["sentences"][sentence]
        holder[key] = value
    return corrupt


FILLED = "sentence_to_fill_context(item, context, sentence"


def test_sound_data_pass_with_their_known_oddities(tmp_path):
    assert failures(tmp_path, sound(), FACTS) == {}


def test_facts_are_optional(tmp_path):
    assert failures(tmp_path, sound(), {}) == {}


@pytest.mark.parametrize(("corrupt", "failed"), [
    (_change(0, "bias_type", "proffesion"), {"column_values_to_be_in_set(category": (0, 1, 2),
                                             "table_row_count_to_equal": ()}),
    (_change(0, "gold_label", "related", 2), {"column_values_to_be_in_set(label": (2,),
                                              "one_of_each_value(item, label": (0, 1, 2)}),
    (_change(1, "gold_label", "stereotype", 1), {"one_of_each_value(item, label": (3, 4, 5),
                                                 "compound_columns_to_be_unique(upstream_id, label": (3, 4)}),
    (lambda items: items[0]["sentences"].pop(), {"one_of_each_value(item, label": (0, 1),
                                                 "table_row_count_to_equal": ()}),
    (_change(0, "context", "the nurse is ____."), {FILLED: (0, 1, 2), "one_blank(upstream_id, context": (0, 1, 2)}),
    (_change(0, "context", "the BLANK is BLANK."), {"one_blank(upstream_id, context": (0, 1, 2)}),
    # A known oddity that is gone is as wrong as a new one.
    (_change(2, "context", "the nurse likes soup and BLANK"),
     {FILLED: (6, 8), "one_blank(upstream_id, context": (6, 7, 8)}),
    (_change(0, "sentence", "the nurse was kind.", 0), {FILLED: (0,)}),
    (_change(0, "sentence", "the nurse is very kind.", 0), {FILLED: (0,)}),
    (_change(0, "sentence", "the nurse is --.", 0), {FILLED: (0,)}),
    (_change(0, "sentence", "", 1), {FILLED: (1,), "column_values_to_match_regex(sentence": (1,)}),
    (_change(0, "target", " "), {"column_values_to_match_regex(target": (0, 1, 2),
                                 "column_unique_value_count_to_be_between(target": ()}),
    (_change(2, "id", "e0"), {"compound_columns_to_be_unique(upstream_id, label": (0, 1, 2, 6, 7, 8),
                              "one_blank(upstream_id, context": (6, 7, 8)}),
    (_change(0, "id", None), {"table_row_count_to_equal": ()}),
    (_change(0, "id", "e1-unrelated", 2), {"column_values_to_be_unique(sentence_id": (2, 5)}),
    (lambda items: items.pop(1), {"table_row_count_to_equal": ()}),
])
def test_corrupted_data_fail_by_row(tmp_path, corrupt, failed):
    content = copy.deepcopy(sound())
    corrupt(content["data"]["intrasentence"])
    assert failures(tmp_path, content, FACTS) == failed


def test_a_repeated_item_is_found(tmp_path):
    content = copy.deepcopy(sound())
    again = copy.deepcopy(SIMPLE) | {"id": "e9"}
    again["sentences"].reverse()
    for sentence in again["sentences"]:
        sentence["id"] = f"e9-{sentence['gold_label']}"
    content["data"]["intrasentence"].append(again)
    found = failures(tmp_path, content, {})
    assert found == {"items_not_to_repeat(item, kind, target, context, sentence, label": (9, 10, 11)}


def test_reconstructed_files_may_lack_ids(tmp_path):
    content = copy.deepcopy(sound())
    content["data"]["intrasentence"][0]["id"] = None
    for sentence in content["data"]["intrasentence"][0]["sentences"]:
        sentence["id"] = None
    assert failures(tmp_path, content, FACTS | {"null_ids": 1}) == {}
    table = table_of(tmp_path, content)
    reasons = [check.reason for check in checks(table, FACTS | {"null_ids": 1})]
    assert sum("upstream's ids are not known" in reason for reason in reasons) == 2
