"""What a validation found, as a deterministic metrics file and, where it failed, as text and JSON for the reader."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from stages.validation.runner import Finding

SHOWN_ROWS = 20
_SHOWN_CHARACTERS = 120


def metrics(benchmark: str, table: pd.DataFrame, findings: Sequence[Finding]) -> dict[str, Any]:
    """Numbers of a validation, and the reasons of its unobvious expectations, keyed by expectation."""
    return {
        "benchmark": benchmark,
        "rows": len(table),
        "expectations": {"run": len(findings), "passed": sum(finding.passed for finding in findings)},
        "checks": {finding.name: _numbers(finding) for finding in findings},
    }


def failures(
    table: pd.DataFrame, findings: Sequence[Finding], origin: Callable[[dict[str, Any]], str]
) -> list[dict[str, Any]]:
    """The failed expectations, each with all the rows that break it.

    Args:
        table: The table that was checked.
        findings: What was found.
        origin: Names the file, and the place in it, that a row of the table came from.
    """
    frame = table.reset_index(drop=True)
    return [
        {
            "expectation": finding.name,
            "expected": finding.expected,
            "observed": finding.observed,
            "reason": finding.reason,
            "message": finding.message,
            "rows": [
                {"row": row, "origin": origin({"row": row, **values}), "values": values}
                for row in finding.rows
                for values in [{str(name): value for name, value in frame.iloc[row].items()}]
            ],
        }
        for finding in findings
        if not finding.passed
    ]


def to_json(value: Any) -> str:
    """JSON text in which NaN, which JSON does not have, is null."""
    return json.dumps(_plain(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def to_text(failed: Sequence[Mapping[str, Any]]) -> str:
    """The failed expectations for a person to read, with the first rows of each."""
    lines = []
    for failure in failed:
        settings = json.dumps(_plain(failure["expected"]), sort_keys=True, ensure_ascii=False)
        lines.append(f"FAILED {failure['expectation']}")
        lines.append(f"  expected: {settings}" + (f" ({failure['reason']})" if failure["reason"] else ""))
        if failure["observed"] is not None:
            lines.append(f"  observed: {json.dumps(_plain(failure['observed']), ensure_ascii=False)}")
        if failure["message"]:
            lines.append(f"  {failure['message']}")
        for row in failure["rows"][:SHOWN_ROWS]:
            values = ", ".join(f"{name}={_shorten(value)}" for name, value in row["values"].items())
            lines.append(f"  {row['origin']} (row {row['row']}): {values}")
        if len(failure["rows"]) > SHOWN_ROWS:
            lines.append(f"  and {len(failure['rows']) - SHOWN_ROWS} rows more")
    return "\n".join(lines)


def _numbers(finding: Finding) -> dict[str, Any]:
    entry: dict[str, Any] = {"passed": int(finding.passed)}
    if finding.checked is not None:
        entry["rows"] = finding.checked
    if isinstance(finding.observed, (int, float, Mapping)):
        entry["observed"] = finding.observed
    elif isinstance(finding.observed, Sequence) and not isinstance(finding.observed, str):
        entry["distinct"] = len(finding.observed)
    if finding.reason:
        entry["reason"] = finding.reason
    return entry


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(inner) for inner in (sorted(value) if isinstance(value, set) else value)]
    if hasattr(value, "item"):  # numpy scalars
        value = value.item()
    if value is pd.NA or value is pd.NaT or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _shorten(value: Any) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
