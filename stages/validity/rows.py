"""What validation says: one row a goal, as a table and as a file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.common.files import write_text

_DECIMALS = 6


@dataclass(frozen=True)
class Row:
    """A quantity and the bounds it must lie within."""

    name: str
    value: float
    """NaN where it could not be computed, which never holds."""
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the value lies within its bounds, ends included."""
        return self.low <= self.value <= self.high


def share(count: int, total: int) -> float:
    """A share, NaN of nothing."""
    return count / total if total else math.nan


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text, those that do not hold marked."""
    width = max([len(row.name) for row in rows], default=0)
    lines = [f"{'':<{width}}{'value':>10}{'low':>9}{'high':>9}"]
    lines += [f"{row.name:<{width}}{row.value:>10.4f}{row.low:>9.3f}{row.high:>9.3f}{'' if row.holds else '  FAILS'}"
              for row in rows]
    return "\n".join(lines)


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as a JSON list of ``{name, value, low, high, holds}``; a value of NaN as null."""
    found = [{"name": row.name, "value": None if math.isnan(row.value) else round(row.value, _DECIMALS),
              "low": row.low, "high": row.high, "holds": row.holds} for row in rows]
    write_text(path, json.dumps(found, indent=2, allow_nan=False) + "\n")
