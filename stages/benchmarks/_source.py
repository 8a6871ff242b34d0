"""A dataset to score: where it lies, and the benchmark that reads and plans it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages import benchmarks
from stages.common.encoder import Encoder
from stages.common.errors import DataError, ParamsError
from stages.common.json_file import read_object
from stages.common.params import Family, Frozen, Params, parse
from stages.common.query import Row
from stages.common.records import read_table


@dataclass(frozen=True)
class Source:
    """A dataset to score."""

    slug: str
    benchmark: str
    options: Frozen
    path: Path
    """Clean table (parquet), or folder of upstream's files."""

    @property
    def measure(self) -> str:
        """Module of ``stages.measures`` for its records."""
        return benchmarks.get(self.benchmark).MEASURE

    def table(self) -> Any:
        """The dataset as one tidy table.

        Raises:
            DataError: It is missing or malformed.
        """
        benchmark = benchmarks.get(self.benchmark)
        if self.path.suffix == ".parquet":
            return read_table(self.path, benchmark.COLUMNS)
        provenance = self.path / "provenance.json"
        return benchmark.read(self.path, read_object(provenance).get("facts", {}) if provenance.is_file() else {})

    def plan(self, table: Any, encoder: Encoder) -> list[Row]:
        """What to ask of a model to score the table."""
        return benchmarks.get(self.benchmark).plan(table, encoder, self.options)


def sources_of(params: Params, family: Family, where: str) -> list[Source]:
    """The datasets of a suite that a family of models can be scored on, from their clean tables.

    Raises:
        ParamsError: There is none; the message begins with ``where``, the params file.
    """
    sources = []
    for slug, dataset in params.datasets.items():
        benchmark = benchmarks.get(dataset.benchmark)
        if family in benchmark.FAMILIES:
            options = parse(benchmark.Options, dataset.options, f"{where}: datasets.{slug}.options")
            path = Path("data") / "clean" / params.suite / f"{slug}.parquet"
            sources.append(Source(slug, dataset.benchmark, options, path))
    if not sources:
        raise ParamsError(f"no dataset can be scored with a {family} model", where=f"{where}: datasets")
    return sources


def find_source(name: str, family: Family, data: Path) -> Source:
    """A benchmark's own data in a folder, with its default options.

    Args:
        name: Benchmark.
        family: What the model is scored as.
        data: Folder of ``<name>.parquet`` (a clean table) or ``<name>/`` (upstream's files).

    Raises:
        ParamsError: Unknown benchmark, or one not defined for the family.
        DataError: The folder has it in neither form.
    """
    benchmark = benchmarks.get(name)
    if family not in benchmark.FAMILIES:
        raise ParamsError(f"benchmark {name!r} is not defined for {family} models", where="--benchmarks",
                          fix=f"its families are: {', '.join(benchmark.FAMILIES)}")
    for path in (data / f"{name}.parquet", data / name):
        if path.exists():
            return Source(name, name, benchmark.Options(), path)
    raise DataError(f"holds neither {name}.parquet nor {name}/", where=data, fix="give the folder of the data")
