"""Reading a small JSON file that another stage wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages.common.errors import DataError


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DataError: It is no JSON, or another kind of value.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not valid JSON: {error}", where=path, fix="run the stage that writes it again") from error
    if not isinstance(facts, dict):
        raise DataError(f"expected a JSON object, found {type(facts).__name__}", where=path)
    return facts
