"""Run a table's checks with Great Expectations, and keep what it found in a form of our own.

Great Expectations' results come in an order of their own, with random ids, and in several shapes;
a ``Finding`` is what is the same from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stages.benchmarks import Check
from stages.common.errors import DataError


@dataclass(frozen=True)
class Finding:
    """What one expectation found.

    Attributes:
        name: The expectation, its columns and its row condition, in words; unique in a run.
        expected: The expectation's settings.
        passed: Whether it held.
        reason: Why it deviates from the obvious expectation, if it does.
        checked: Rows it looked at, where it looks at rows.
        observed: What it saw, where it looks at the table as a whole.
        rows: Numbers (from 0) of the table's rows that break it, all of them.
        message: What went wrong where it could not be evaluated at all.
    """

    name: str
    expected: dict[str, Any]
    passed: bool
    reason: str = ""
    checked: int | None = None
    observed: Any = None
    rows: tuple[int, ...] = ()
    message: str = ""


def run_checks(table: pd.DataFrame, checks: Sequence[Check]) -> list[Finding]:
    """Evaluate every check on the table, in one validation of an ephemeral context.

    Returns:
        One finding a check, in the order of ``checks``.

    Raises:
        DataError: The table has no rows: expectations about rows hold of nothing at all.
    """
    if table.empty:
        raise DataError("the dataset has no rows")
    results = _validate(table.reset_index(drop=True), [copy(check.expectation) for check in checks])
    names = _names([_describe(result.expectation_config) for result in results])
    return [_finding(*parts) for parts in zip(names, checks, results, strict=True)]


def _validate(table: pd.DataFrame, expectations: list[Any]) -> list[Any]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset("table")
    suite = context.suites.add(gx.ExpectationSuite(name="suite", expectations=expectations))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name="validation", data=asset.add_batch_definition_whole_dataframe("whole"), suite=suite
        )
    )
    outcome = definition.run(
        batch_parameters={"dataframe": table}, result_format={"result_format": "COMPLETE"}
    )
    by_id = {result.expectation_config.id: result for result in outcome.results}
    return [by_id[expectation.id] for expectation in suite.expectations]


def _describe(config: Any) -> str:
    settings = _settings(config)
    columns = settings.get("column_list") or [settings[k] for k in ("column", "column_A", "column_B") if k in settings]
    about = ", ".join(columns)
    if "row_condition" in settings:
        about = f"{about} where {settings['row_condition']}" if about else f"where {settings['row_condition']}"
    name = str(config.type).removeprefix("expect_")
    return f"{name}({about})" if about else name


def _names(described: Sequence[str]) -> list[str]:
    """Make equal descriptions distinct: the second gets ``#2``."""
    seen: dict[str, int] = {}
    names = []
    for name in described:
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def _settings(config: Any) -> dict[str, Any]:
    settings = {k: v for k, v in config.kwargs.items() if k not in ("batch_id", "condition_parser")}
    condition = settings.get("row_condition")
    if condition is not None:
        # A condition given as a string comes back wrapped, as an object or as a mapping.
        wrapped = condition if isinstance(condition, Mapping) else getattr(condition, "__dict__", {})
        settings["row_condition"] = str(wrapped.get("pass_through_filter", condition))
    return settings


def _finding(name: str, check: Check, result: Any) -> Finding:
    found = result.result or {}
    observed = found.get("observed_value")
    if observed is None and (details := _difference(found)):
        observed = details
    return Finding(
        name=name,
        expected=_settings(result.expectation_config),
        passed=bool(result.success),
        reason=check.reason,
        checked=found.get("element_count"),
        observed=observed,
        rows=tuple(sorted(int(row) for row in found.get("unexpected_index_list") or ())),
        message=_exception(result.exception_info or {}),
    )


def _difference(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a comparison of sets found too much and too little."""
    pairs = {"unexpected": found.get("partial_unexpected_list"), "missing": found.get("partial_missing_list")}
    return {key: values for key, values in pairs.items() if values} if "partial_missing_list" in found else {}


def _exception(info: Mapping[str, Any]) -> str:
    """Message of an evaluation that raised; ``info`` is flat, or keyed by the metrics that failed."""
    entries = [info] if "raised_exception" in info else list(info.values())
    messages = {str(entry["exception_message"]).strip() for entry in entries if entry.get("raised_exception")}
    return "; ".join(sorted(messages))
