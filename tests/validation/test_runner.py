from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from great_expectations import expectations as gxe

from stages.benchmarks import Check
from stages.benchmarks._vocabulary import ExpectColumnVocabularyToEqual
from stages.common.errors import DataError
from stages.common.metrics_file import dumps
from stages.validation import report
from stages.validation.runner import run_checks


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind": ["a", "a", "b", "b", "c"],
            "text": ["one two", "two", None, "two", " "],
            "size": [1.0, np.nan, 3, 99, 5],
        },
        index=[7, 7, 3, 20, 1],  # a table that was filtered before: rows are counted from 0 all the same
    )


def found(table: pd.DataFrame, *expectations):
    return run_checks(table, [Check(expectation) for expectation in expectations])


def test_findings_come_in_the_order_of_the_checks(table):
    findings = run_checks(
        table,
        [
            Check(gxe.ExpectColumnValuesToBeUnique(column="text"), "texts repeat for a reason"),
            Check(gxe.ExpectTableRowCountToEqual(value=5)),
            Check(gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=["a", "b"])),
            Check(gxe.ExpectColumnValuesToBeUnique(column="text")),
        ],
    )
    assert [finding.name for finding in findings] == [
        "column_values_to_be_unique(text)",
        "table_row_count_to_equal",
        "column_values_to_be_in_set(kind)",
        "column_values_to_be_unique(text)#2",
    ]
    assert [finding.passed for finding in findings] == [False, True, False, False]
    assert [finding.rows for finding in findings] == [(1, 3), (), (4,), (1, 3)]
    assert findings[0].reason == "texts repeat for a reason"
    assert (findings[1].observed, findings[1].expected) == (5, {"value": 5})
    # Nulls are not looked at: of five rows, checks of values see what is there.
    assert findings[2].checked == 5


def test_nulls_are_found_only_by_the_check_for_them(table):
    skipped, caught = found(
        table,
        gxe.ExpectColumnValuesToMatchRegex(column="text", regex="."),
        gxe.ExpectColumnValuesToNotBeNull(column="text"),
    )
    assert skipped.passed
    assert (caught.passed, caught.rows) == (False, (2,))


def test_a_row_condition_limits_the_rows_and_names_the_finding(table):
    (finding,) = found(
        table,
        gxe.ExpectColumnValuesToBeBetween(
            column="size", max_value=10, row_condition='kind == "b"', condition_parser="pandas"
        ),
    )
    assert finding.name == 'column_values_to_be_between(size where kind == "b")'
    assert (finding.checked, finding.rows) == (2, (3,))
    assert finding.expected == {"column": "size", "max_value": 10.0, "row_condition": 'kind == "b"'}


def test_a_missing_column_is_a_failure_with_a_message(table):
    (finding,) = found(table, gxe.ExpectColumnValuesToBeInSet(column="knd", value_set=["a"]))
    assert not finding.passed
    assert finding.message == 'Error: The column "knd" in BatchData does not exist.'
    assert finding.rows == ()


def test_sets_say_what_is_too_much_and_what_is_missing(table):
    values, columns = found(
        table,
        gxe.ExpectColumnDistinctValuesToEqualSet(column="kind", value_set=["a", "b", "d"]),
        gxe.ExpectTableColumnsToMatchOrderedList(column_list=["kind", "text"]),
    )
    assert values.observed == {"unexpected": ["c"], "missing": ["d"]}
    assert columns.observed == ["kind", "text", "size"]


def test_vocabulary_counts_words_and_types(table):
    texts = table.dropna(subset="text")
    held, words, part = found(
        texts,
        ExpectColumnVocabularyToEqual(column="text", words=4, types=2),
        ExpectColumnVocabularyToEqual(column="text", words=5, types=2),
        ExpectColumnVocabularyToEqual(
            column="text", words=3, types=1, row_condition='kind == "a"', condition_parser="pandas"
        ),
    )
    assert (held.passed, held.observed) == (True, {"words": 4, "types": 2})
    assert (words.passed, words.observed) == (False, {"words": 4, "types": 2})
    assert (part.passed, part.observed) == (False, {"words": 3, "types": 2})


def test_an_empty_table_is_refused_since_everything_holds_of_nothing(table):
    with pytest.raises(DataError, match="no rows"):
        found(table.iloc[:0], gxe.ExpectColumnValuesToNotBeNull(column="text"))


def test_failures_list_every_row_with_its_origin_and_json_has_no_nan(table):
    findings = found(table, gxe.ExpectColumnValuesToNotBeNull(column="size"), gxe.ExpectTableRowCountToEqual(value=5))
    failed = report.failures(table, findings, lambda row: f"file.csv: line {row['row'] + 2}")
    assert [failure["expectation"] for failure in failed] == ["column_values_to_not_be_null(size)"]
    assert [row["origin"] for row in failed[0]["rows"]] == ["file.csv: line 3"]
    stored = json.loads(report.to_json(failed), parse_constant=pytest.fail)
    assert stored[0]["rows"][0] == {
        "row": 1,
        "origin": "file.csv: line 3",
        "values": {"kind": "a", "text": "two", "size": None},
    }


def test_text_shows_the_first_rows_and_counts_the_others():
    table = pd.DataFrame({"text": ["x" * 500] * 30})
    findings = found(table, gxe.ExpectColumnValuesToBeUnique(column="text"))
    lines = report.to_text(report.failures(table, findings, lambda row: "file.txt")).splitlines()
    assert lines[0] == "FAILED column_values_to_be_unique(text)"
    assert lines[1] == '  expected: {"column": "text"}'
    assert len(lines) == 2 + report.SHOWN_ROWS + 1
    assert lines[2].startswith('  file.txt (row 0): text="xxx')
    assert len(lines[2]) < 200
    assert lines[-1] == "  and 10 rows more"


def test_metrics_are_numbers_and_the_same_every_time(table):
    checks = [
        Check(gxe.ExpectTableRowCountToEqual(value=5), "five by construction"),
        Check(gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=["a", "b", "c"])),
        Check(gxe.ExpectTableColumnsToMatchOrderedList(column_list=["kind", "text", "size"])),
    ]
    first, second = (report.metrics("toy", table, run_checks(table, checks)) for _ in range(2))
    assert dumps(first) == dumps(second)
    assert first == {
        "benchmark": "toy",
        "rows": 5,
        "expectations": {"run": 3, "passed": 3},
        "checks": {
            "table_row_count_to_equal": {"passed": 1, "observed": 5, "reason": "five by construction"},
            "column_values_to_be_in_set(kind)": {"passed": 1, "rows": 5},
            "table_columns_to_match_ordered_list(kind, text, size)": {"passed": 1, "distinct": 3},
        },
    }
