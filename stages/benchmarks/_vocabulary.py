"""An expectation of this project's own: how many words a column of text holds, and how many distinct ones."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnAggregateExpectation
from great_expectations.expectations.metrics.column_aggregate_metric_provider import (
    ColumnAggregateMetricProvider,
    column_aggregate_value,
)


class _Vocabulary(ColumnAggregateMetricProvider):  # type: ignore[misc]
    """Counts of whitespace-separated words: all, and distinct ones."""

    metric_name = "column.vocabulary"

    @column_aggregate_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series, **_: Any) -> dict[str, int]:
        words = [word for text in column for word in text.split()]
        return {"words": len(words), "types": len(set(words))}


class ExpectColumnVocabularyToEqual(ColumnAggregateExpectation):  # type: ignore[misc]
    """The texts of a column hold ``words`` whitespace-separated words, ``types`` of them distinct."""

    words: int
    types: int

    metric_dependencies = ("column.vocabulary",)
    success_keys: ClassVar = ("words", "types")

    def _validate(self, metrics: dict, runtime_configuration: Any = None, execution_engine: Any = None) -> dict:
        observed = metrics["column.vocabulary"]
        wanted = {"words": self.words, "types": self.types}
        return {"success": observed == wanted, "result": {"observed_value": observed}}
