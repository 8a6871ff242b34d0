"""Upstream's StereoSet files: JSON of two kinds of examples, each with three labelled sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from stages.common.errors import DataError

COLUMNS = ["item", "kind", "upstream_id", "category", "target", "context", "sentence", "sentence_id", "label"]
KINDS = ("intrasentence", "intersentence")
_PREFERRED = ("test.json", "dev.json")
_JSON_NAMES: dict[Any, str] = {str: "a string", list: "an array", dict: "an object"}


def find_file(folder: Path) -> Path:
    """The one StereoSet file in a folder; of several, test.json (which the paper scores), else dev.json.

    Raises:
        DataError: There is none, or none is the obvious choice.
    """
    files = sorted(path for path in folder.glob("*.json") if path.name != "provenance.json")
    names = [path.name for path in files]
    if len(files) == 1:
        return files[0]
    chosen = next((name for name in _PREFERRED if name in names), None)
    if chosen is None:
        found = f"holds several .json files: {', '.join(names)}" if names else "holds no .json file"
        raise DataError(found, where=folder, fix="name a folder with one file of upstream's format")
    print(f"{folder}: reading {chosen} of {', '.join(names)}", file=sys.stderr)
    return folder / chosen


def read_file(path: Path) -> pd.DataFrame:
    """Read one StereoSet file: one row a sentence, in the columns ``COLUMNS``.

    Raises:
        DataError: It is missing, is not UTF-8 JSON, or an example is malformed.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", where=path) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error}", where=path) from error
    except json.JSONDecodeError as error:
        raise DataError(f"malformed JSON: {error}", where=path) from error
    groups = _field(content, "data", dict, str(path))
    unknown = sorted(set(groups) - set(KINDS))
    if unknown:
        raise DataError(f"has {unknown[0]!r} beside {' and '.join(KINDS)}", where=f"{path}: data")
    rows = [row for kind in KINDS if kind in groups for row in _rows(groups, kind, path)]
    if not rows:
        raise DataError("holds no items", where=path)
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(groups: dict[str, Any], kind: str, path: Path) -> Iterator[tuple[Any, ...]]:
    """The sentences of one kind as tuples in the order of ``COLUMNS``."""
    for position, example in enumerate(_field(groups, kind, list, f"{path}: data")):
        where = f"{path}: {kind} example {position + 1} (data.{kind}[{position}])"
        sentences = _field(example, "sentences", list, where)
        if not sentences:
            raise DataError("has no sentences", where=where)
        shared = (
            f"{kind}-{position}",
            kind,
            _identifier(example, where),
            *(_field(example, key, str, where) for key in ("bias_type", "target", "context")),
        )
        for number, sentence in enumerate(sentences, start=1):
            place = f"{where}: sentence {number}"
            yield (
                *shared,
                _field(sentence, "sentence", str, place),
                _identifier(sentence, place),
                _field(sentence, "gold_label", str, place),
            )


def _field(holder: Any, key: str, kind: type, where: str) -> Any:
    if not isinstance(holder, dict):
        raise DataError(f"expected an object, found {type(holder).__name__}", where=where)
    if key not in holder:
        raise DataError(f"lacks {key!r}", where=where)
    if not isinstance(holder[key], kind):
        raise DataError(f"{key!r} is {holder[key]!r:.60}, not {_JSON_NAMES[kind]}", where=where)
    return holder[key]


def _identifier(holder: dict[str, Any], where: str) -> str | None:
    identifier = holder.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise DataError(f"'id' is {identifier!r:.60}, not a string or null", where=where)
    return identifier
