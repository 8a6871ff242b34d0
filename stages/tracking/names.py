"""Names and values as MLflow takes them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.common import metrics_file
from stages.common.errors import DataError

LONGEST_PARAM = 6000
LONGEST_TAG = 8000


def metric_name(parts: Sequence[str]) -> str:
    """A metric's name: the data set, a slash (MLflow's interface groups charts by it), the rest with dots."""
    first, *rest = (re.sub(r"[^\w.\- :]", "_", part) for part in parts)
    return f"{first}/{'.'.join(rest)}" if rest else first


def flatten(metrics: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Leaves of a metrics file by the names MLflow takes.

    Raises:
        DataError: Two leaves would get the same name, or a leaf is neither number nor word.
    """
    flat: dict[str, Any] = {}
    for name, value in _leaves(metrics, ()):
        if name in flat:
            raise DataError(f"two metrics have the name {name} in MLflow", where=path)
        if not isinstance(value, (str, int, float)):
            raise DataError(f"metric {name} is {value!r}, not a number", where=path, fix="run dvc repro")
        flat[name] = value
    return flat


def params_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as MLflow params: dotted names, lists as JSON, ``None`` left out, long values cut."""
    return {
        re.sub(r"[^\w.\- :/]", "_", name): cut(value if isinstance(value, str) else json.dumps(value), LONGEST_PARAM)
        for name, value in metrics_file.flatten(settings).items()
        if value is not None
    }


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and the hash of all of it, so that a difference further on still shows."""
    if len(text) <= longest:
        return text
    mark = f" ... sha256 {hashlib.sha256(text.encode()).hexdigest()}"
    return text[: longest - len(mark)] + mark


def _leaves(value: Any, parts: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*parts, str(key)))
    else:
        yield metric_name(parts), value
