"""What must hold of CrowS-Pairs, on data corrupted in one place at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from stages.benchmarks.crows_pairs import checks, swapped_terms
from stages.validation.runner import run_checks


def pair(more: str, less: str, direction: str = "stereo", item: str = "0", category: str = "gender") -> dict[str, str]:
    return {"item": item, "category": category, "direction": direction, "sent_more": more, "sent_less": less,
            "cluster": swapped_terms(more, less)}


SOUND = [
    pair("he is a nurse", "she is a nurse", item="0"),
    pair("men are strong", "women are strong", "antistereo", item="1"),
    pair("the old man", "the young man", item="2", category="age"),
    pair("he is ill", "he is not ill", item="3", category="age"),
    pair("he is a nurse", "she is a nurse", item="4"),
]
FACTS: dict[str, Any] = {
    "rows": 5,
    "pairs": {"gender": {"stereo": 2, "antistereo": 1}, "age": {"stereo": 2}},
    "duplicate_pairs": [[0, 4]],
    "insertion_pairs": [3],
    "irregular_spacing": [],
    "changed_words": {"1": 5},
}


def failures(table: pd.DataFrame, facts: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Rows that break each failed check, by the check's name without its columns."""
    found = run_checks(table, checks(table, facts))
    assert not [finding.message for finding in found if finding.message]
    return {finding.name: finding.rows for finding in found if not finding.passed}


def _count(category: str, direction: str) -> str:
    return f'table_row_count_to_equal(where category=="{category}" and direction=="{direction}")'


def _pairs(name: str) -> str:
    return f"{name}(item, sent_more, sent_less)"


def _set(row: int, **values: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            table.loc[row, column] = value
        return table
    return corrupt


def test_sound_data_pass_with_their_known_oddities():
    assert failures(pd.DataFrame(SOUND), FACTS) == {}


def test_facts_are_optional():
    assert failures(pd.DataFrame(SOUND), {}) == {}


def test_oddities_carry_a_reason():
    found = checks(pd.DataFrame(SOUND), FACTS)
    assert [type(check.expectation).__name__ for check in found if check.reason] == [
        "ExpectMinimalPairs", "ExpectWordsToBeSubstituted", "ExpectItemsNotToRepeat"]


@pytest.mark.parametrize(("corrupt", "failed"), [
    (_set(0, category="gendr"),
     {"column_values_to_be_in_set(category)": (0,), _count("gender", "stereo"): ()}),
    (_set(1, direction="anti"),
     {"column_values_to_be_in_set(direction)": (1,), _count("gender", "antistereo"): ()}),
    (_set(1, direction="stereo"), {_count("gender", "stereo"): (), _count("gender", "antistereo"): ()}),
    (_set(2, item="1"), {"column_values_to_be_unique(item)": (1, 2)}),
    (_set(2, sent_less="the old man"), {_pairs("minimal_pairs"): (2,), _pairs("words_to_be_substituted"): (2,)}),
    (_set(2, sent_less="one young man"), {_pairs("minimal_pairs"): (2,)}),
    (_set(2, sent_less="the man"), {_pairs("words_to_be_substituted"): (2,)}),
    # A known oddity that is gone is as wrong as a new one.
    (_set(3, sent_less="she is ill"), {_pairs("words_to_be_substituted"): (3,)}),
    (_set(4, sent_less="it is a nurse"), {_pairs("items_not_to_repeat"): (4,)}),
    (_set(2, sent_more="he is a nurse", sent_less="she is a nurse"), {_pairs("items_not_to_repeat"): (2,)}),
    (_set(2, sent_more="the old  man", sent_less="the young  man"), {_pairs("regular_spacing"): (2,)}),
    (_set(2, sent_more="the old man\n"), {_pairs("regular_spacing"): (2,)}),
    (lambda table: table.drop(index=2), {"table_row_count_to_equal": (), _count("age", "stereo"): ()}),
    (lambda table: table.assign(cluster=" "), {"column_values_to_match_regex(cluster)": (0, 1, 2, 3, 4)}),
])


def test_corrupted_data_fail_by_row(corrupt, failed):
    assert failures(corrupt(pd.DataFrame(SOUND)), FACTS) == failed


def test_an_empty_sentence_is_named():
    found = failures(_set(2, sent_more="  ")(pd.DataFrame(SOUND)), FACTS)
    assert found["column_values_to_match_regex(sent_more)"] == (2,)


def test_a_missing_sentence_is_named():
    table = pd.DataFrame(SOUND)
    table["sent_more"] = table["sent_more"].astype(object)
    table.loc[2, "sent_more"] = None
    found = {finding.name: finding for finding in run_checks(table, checks(table, FACTS)) if not finding.passed}
    assert found["column_values_to_not_be_null(sent_more)"].rows == (2,)


def test_another_order_of_columns_fails():
    table = pd.DataFrame(SOUND)[["category", "item", "direction", "sent_more", "sent_less", "cluster"]]
    (name,) = failures(table, FACTS)
    assert name.startswith("table_columns_to_match_ordered_list")
