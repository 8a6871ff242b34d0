"""The benchmarks' texts that are timed: CrowS-Pairs, the dev split of StereoSet, and SEAT."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from stages import benchmarks
from stages.benchmarks._source import Source
from stages.common.errors import DataError
from stages.common.stereoset_file import read_file

BENCHMARKS = ("crows_pairs", "stereoset", "seat")
"""Those that are timed, in the order of the tables."""

_FETCHED = Path("data/raw/mini")
_PLACES = {
    "crows_pairs": ("crows_pairs.parquet", "crows_pairs"),
    "stereoset": ("stereoset_dev.parquet", "stereoset_dev", "stereoset/dev.json"),
    "seat": ("seat.parquet", "seat"),
}
"""Where a benchmark may lie, the first that is there: a clean table, or upstream's file or files."""


def find_data(given: Path | None) -> Path:
    """The folder of benchmark data: the given one, else what BENCHMARK_MIRROR names, else what suite mini fetched.

    Raises:
        DataError: None is given, and suite mini's is not here.
    """
    mirror = given or os.environ.get("BENCHMARK_MIRROR")
    if mirror:
        return Path(mirror)
    if _FETCHED.is_dir():
        return _FETCHED
    raise DataError("no benchmark data here", where=_FETCHED,
                    fix="fetch it with `make repro SUITE=mini`, give --data, or set BENCHMARK_MIRROR")


def read_tables(data: Path) -> dict[str, Any]:
    """Every benchmark as one tidy table.

    Raises:
        DataError: A benchmark is missing or malformed.
    """
    return {name: _table(data, name) for name in BENCHMARKS}


def texts_of(tables: dict[str, Any]) -> list[str]:
    """All texts of some tables."""
    columns = ("sent_more", "sent_less", "sentence", "text")
    return [text for table in tables.values() for column in columns if column in table for text in table[column]]


def plan_rows(name: str, table: Any, loaded: Any) -> list[Any]:
    """What a benchmark asks of a model (``stages.models.load.LoadedModel``): the rows with anything to compute."""
    benchmark = benchmarks.get(name)
    planned = benchmark.plan(table, loaded.encoder, benchmark.Options())
    return [row for row in planned if row.queries or row.sequence]


def _table(data: Path, name: str) -> Any:
    for place in _PLACES[name]:
        path = data / place
        if path.suffix == ".json" and path.is_file():
            return read_file(path)
        if path.exists():
            return Source(name, name, benchmarks.get(name).Options(), path).table()
    raise DataError(f"holds none of {', '.join(_PLACES[name])}", where=data,
                    fix="give --data, or set BENCHMARK_MIRROR")
