"""Metrics files: flat numeric leaves, sorted keys, fixed rounding; the same numbers, the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.common.errors import DataError
from stages.common.files import write_text

DECIMALS = 6

Leaf = bool | int | float | str


def clean(value: Any, key: str = "") -> Any:
    """Round the floats of a nested structure and refuse what is no metric.

    Args:
        value: Nested mappings and sequences with numbers or strings as leaves.
        key: Dotted path of ``value``, for error messages.

    Raises:
        DataError: A leaf is NaN, infinite, ``None`` or of a type JSON has no number for.
    """
    if isinstance(value, Mapping):
        return {str(k): clean(v, f"{key}.{k}" if key else str(k)) for k, v in value.items()}
    if isinstance(value, (str, bool)):
        return value
    if isinstance(value, Sequence):
        return [clean(v, f"{key}[{i}]") for i, v in enumerate(value)]
    if hasattr(value, "item"):  # numpy scalars
        value = value.item()
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        rounded = round(value, DECIMALS)
        return 0.0 if rounded == 0 else rounded  # no "-0.0"
    raise DataError(f"metric is {value!r}, not a finite number", where=key or "metrics")


def dumps(value: Any) -> str:
    """Deterministic JSON text of a metrics structure (see ``clean`` for errors)."""
    return json.dumps(clean(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_metrics(path: Path | str, value: Mapping[str, Any]) -> None:
    """Write a metrics file atomically: numeric leaves in nested mappings, no lists.

    Raises:
        DataError: A leaf is not a finite number, a string, or a mapping of those.
    """
    _refuse_lists(value, "")
    write_text(path, dumps(value))


def write_rows(path: Path | str, rows: Sequence[Mapping[str, Leaf]]) -> None:
    """Write a list of flat rows (the format of DVC plots) atomically, a line each."""
    lines = [json.dumps(clean(row), sort_keys=True, ensure_ascii=False, allow_nan=False) for row in rows]
    write_text(path, "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping):
            flat.update(flatten(inner, f"{name}."))
        else:
            flat[name] = inner
    return flat


def _refuse_lists(value: Any, key: str) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_lists(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        raise DataError("metrics files hold no lists (dvc metrics diff ignores them)", where=key)
