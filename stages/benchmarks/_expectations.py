"""Great Expectations of this project's own: rules about a row of text columns, with known exceptions.

Upstream's data break some rules in a few places. Each rule here takes ``known``, the keys of
the rows that are known to break it; a row fails if it breaks the rule and is not known, and
equally if it is known and keeps the rule, so that the list of exceptions stays true.
The first column of ``column_list`` holds the key that ``known`` refers to.
"""

from __future__ import annotations

import difflib
import re
from abc import abstractmethod
from typing import Any, ClassVar

import pandas as pd
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    MulticolumnMapMetricProvider,
    multicolumn_condition_partial,
)


class _Rule(MulticolumnMapMetricProvider):  # type: ignore[misc]
    """A rule about each row; subclasses name the metric and say whether the rule holds."""

    condition_value_keys: ClassVar[tuple[str, ...]] = ("known",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column_list: pd.DataFrame, known: Any = None, **settings: Any) -> pd.Series:
        kept = pd.Series(cls.holds(column_list, **settings), index=column_list.index, dtype=bool)
        return kept ^ column_list.iloc[:, 0].isin(list(known or ()))

    @classmethod
    @abstractmethod
    def holds(cls, columns: pd.DataFrame, **settings: Any) -> Any:
        """Whether each row keeps the rule, one truth value a row."""


class _KnownExceptions(MulticolumnMapExpectation):  # type: ignore[misc]
    """What the expectations here share."""

    ignore_row_if: str = "never"
    known: tuple[str, ...] = ()
    """Keys of the rows that are known to break the rule."""

    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "known", "mostly")


def changed_words(first: str, second: str) -> tuple[list[str], list[str]]:
    """The words in which two sentences differ, by difflib's alignment of their words.

    Words are what white space separates.
    """
    one, two = first.split(), second.split()
    changes = [op for op in difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes() if op[0] != "equal"]
    return (
        [word for _, start, end, _, _ in changes for word in one[start:end]],
        [word for _, _, _, start, end in changes for word in two[start:end]],
    )


class _NewItem(_Rule):
    condition_metric_name = "multicolumn_values.new_item"

    @classmethod
    def holds(cls, columns: pd.DataFrame, **_: Any) -> Any:
        key = columns.columns[0]
        rows = pd.Series(list(columns.iloc[:, 1:].itertuples(index=False, name=None)), index=columns.index)
        items = rows.groupby(columns[key], sort=False).agg(frozenset)
        return columns[key].map(~items.duplicated())


class ExpectItemsNotToRepeat(_KnownExceptions):
    """No item repeats an earlier one: the rows of its key have other values in the columns after the key."""

    map_metric = "multicolumn_values.new_item"


class _MinimalPair(_Rule):
    condition_metric_name = "multicolumn_values.minimal_pair"
    condition_value_keys: ClassVar[tuple[str, ...]] = ("known", "max_changed")

    @classmethod
    def holds(cls, columns: pd.DataFrame, max_changed: int = 0, **_: Any) -> Any:
        pairs = (changed_words(first, second) for first, second in columns.iloc[:, 1:].itertuples(index=False))
        return [0 < max(len(first), len(second)) <= max_changed for first, second in pairs]


class ExpectMinimalPairs(_KnownExceptions):
    """Two sentences (key, first, second) differ, and in at most ``max_changed`` words on either side."""

    map_metric = "multicolumn_values.minimal_pair"
    max_changed: int
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "known", "mostly", "max_changed")


class _Substitution(_Rule):
    condition_metric_name = "multicolumn_values.substitution"

    @classmethod
    def holds(cls, columns: pd.DataFrame, **_: Any) -> Any:
        pairs = (changed_words(first, second) for first, second in columns.iloc[:, 1:].itertuples(index=False))
        return [bool(first) and bool(second) for first, second in pairs]


class ExpectWordsToBeSubstituted(_KnownExceptions):
    """Two sentences (key, first, second) differ by words replaced, not only by words added."""

    map_metric = "multicolumn_values.substitution"


class _RegularSpacing(_Rule):
    condition_metric_name = "multicolumn_values.regular_spacing"

    @classmethod
    def holds(cls, columns: pd.DataFrame, **_: Any) -> Any:
        rows = columns.iloc[:, 1:].itertuples(index=False)
        return [all(" ".join(text.split()) == text for text in texts) for texts in rows]


class ExpectRegularSpacing(_KnownExceptions):
    """Texts (after the key) have single spaces between words, none at the ends, and no line breaks."""

    map_metric = "multicolumn_values.regular_spacing"


class _OneBlank(_Rule):
    condition_metric_name = "multicolumn_values.one_blank"

    @classmethod
    def holds(cls, columns: pd.DataFrame, **_: Any) -> Any:
        return columns.iloc[:, 1].str.count("BLANK") == 1


class ExpectOneBlank(_KnownExceptions):
    """A context (key, context) has exactly one gap, written BLANK."""

    map_metric = "multicolumn_values.one_blank"


class _FilledContext(_Rule):
    condition_metric_name = "multicolumn_values.filled_context"

    @classmethod
    def holds(cls, columns: pd.DataFrame, **_: Any) -> Any:
        return [_fills(context, sentence) for context, sentence in columns.iloc[:, 1:].itertuples(index=False)]


class ExpectSentenceToFillContext(_KnownExceptions):
    """A sentence is its context (key, context, sentence) with one word in each gap, letter case aside."""

    map_metric = "multicolumn_values.filled_context"


def _fills(context: str, sentence: str) -> bool:
    pieces = re.split("BLANK", context, flags=re.IGNORECASE)
    return re.fullmatch(r"[^ ]*\w[^ ]*".join(map(re.escape, pieces)), sentence, flags=re.IGNORECASE) is not None


class _OneOfEach(_Rule):
    condition_metric_name = "multicolumn_values.one_of_each"
    condition_value_keys: ClassVar[tuple[str, ...]] = ("known", "values")

    @classmethod
    def holds(cls, columns: pd.DataFrame, values: Any = (), **_: Any) -> Any:
        key, value = columns.columns[:2]
        complete = columns.groupby(key)[value].agg(lambda found: sorted(found) == sorted(values))
        return columns[key].map(complete)


class ExpectOneOfEachValue(_KnownExceptions):
    """The rows of each key (key, value) have every one of ``values`` exactly once."""

    map_metric = "multicolumn_values.one_of_each"
    values: tuple[str, ...]
    success_keys: ClassVar[tuple[str, ...]] = ("column_list", "known", "mostly", "values")
