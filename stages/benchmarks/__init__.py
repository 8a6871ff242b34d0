"""One module a benchmark: how to read it, what must hold of it, what to ask of a model.

A module here is a benchmark by being here. It offers:

``MEASURE``       name of the module in ``stages.measures`` that turns its records into metrics.
``FAMILIES``      the model families it is defined for.
``COLUMNS``       columns of its tidy table, in order.
``Options``       typed settings of ``datasets.<slug>.options`` (a ``Frozen`` class).
``read(folder, facts)``       upstream files -> one tidy table; raises ``DataError`` with file and row.
``checks(table, facts)``      the Great Expectations that must hold, each with a reason where the
                              data are odd (imports Great Expectations itself, not at module level).
``plan(table, encoder, options)``  the rows to score, as ``stages.common.query.Row``.
``origin(row)``   optional: the file and place in it that a row of the table came from.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

from stages.common.encoder import Encoder
from stages.common.errors import ParamsError
from stages.common.params import Family, Frozen, Params, choose, parse
from stages.common.query import Row


@dataclass(frozen=True)
class Check:
    """One expectation on a table, and why it deviates from the obvious one, if it does."""

    expectation: Any
    """A ``great_expectations.expectations.Expectation``."""
    reason: str = ""


class Benchmark(Protocol):
    """The shape of a benchmark module."""

    MEASURE: str
    FAMILIES: tuple[Family, ...]
    COLUMNS: list[str]
    Options: type[Frozen]

    def read(self, folder: Path, facts: dict[str, Any]) -> pd.DataFrame:
        """Read the upstream files in ``folder`` into one tidy table."""

    def checks(self, table: pd.DataFrame, facts: dict[str, Any]) -> Sequence[Check]:
        """What must hold of the table; ``facts`` are the counts pinned in the source manifest."""

    def plan(self, table: pd.DataFrame, encoder: Encoder, options: Any) -> list[Row]:
        """What to ask of a model to score the table."""


def names() -> list[str]:
    """Names of all benchmarks, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def get(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        ParamsError: There is none; the message lists those there are.
    """
    choose(dict.fromkeys(names()), name, "benchmark")
    return cast(Benchmark, importlib.import_module(f"{__name__}.{name}"))


def check_params(params: Params, where: str) -> None:
    """Check every dataset's benchmark and options (called by ``load_params``)."""
    for slug, dataset in params.datasets.items():
        try:
            benchmark = get(dataset.benchmark)
        except ParamsError as error:
            raise ParamsError(error.what, where=f"{where}: datasets.{slug}.benchmark") from None
        parse(benchmark.Options, dataset.options, f"{where}: datasets.{slug}.options")
