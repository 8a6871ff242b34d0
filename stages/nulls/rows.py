"""Rows of the floors: what the measures say of the records of one network, and under the context-free null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stages import benchmarks
from stages.common.params import Family, Params, parse
from stages.common.query import Row
from stages.evidence.metrics import measured
from stages.evidence.null import Draws, association_null, item_null
from stages.evidence.values import Value, association_values, item_values
from stages.measures import get as get_measure

MEASURES = ("pair_preference", "stereotype_triples", "association")
"""Measures that have a floor; perplexity is no measure of bias."""


@dataclass(frozen=True)
class Source:
    """A dataset whose measure has a floor."""

    slug: str
    benchmark: str
    dataset_options: Any
    measure: str
    options: Any
    family: Family


def sources(params: Params, family: Family) -> Iterator[Source]:
    """The suite's datasets that have a floor for a family of models."""
    for slug, dataset in params.datasets.items():
        benchmark = benchmarks.get(dataset.benchmark)
        if family in benchmark.FAMILIES and benchmark.MEASURE in MEASURES:
            options = parse(benchmark.Options, dataset.options, f"{params.params_file}: datasets.{slug}.options")
            raw = params.measures.get(benchmark.MEASURE, {})
            yield Source(slug, dataset.benchmark, options, benchmark.MEASURE,
                         parse(get_measure(benchmark.MEASURE).Options, raw, f"measures.{benchmark.MEASURE}"), family)


def network_rows(
    source: Source, records: pd.DataFrame, vectors: Mapping[str, np.ndarray], null: str, seed: int
) -> Iterator[dict[str, str | float]]:
    """The values of one network on a dataset."""
    for category, metric, value in _values(source, records, vectors):
        yield {"null": null, "dataset": source.slug, "category": category, "metric": metric, "seed": seed,
               "value": value}


def context_free_rows(
    source: Source, records: pd.DataFrame, vectors: Mapping[str, np.ndarray], rows: Sequence[Row], draws: int,
    seed: int,
) -> Iterator[dict[str, str | float]]:
    """The distribution of every value under the context-free null.

    Args:
        source: The dataset.
        records: Of any network of the architecture: which texts there are, and their lengths.
        vectors: Likewise.
        rows: The plan that was scored.
        draws: Of the null.
        seed: The suite's.
    """
    for category, metric, values in _null(source, records, vectors, rows, draws, seed):
        low, median, high = np.quantile(values, [0.025, 0.5, 0.975])
        yield {"null": "context_free", "dataset": source.slug, "category": category, "metric": metric,
               "draws": len(values), "mean": float(values.mean()), "sd": float(values.std(ddof=1)), "low": low,
               "median": median, "high": high}


def _values(source: Source, records: pd.DataFrame, vectors: Mapping[str, np.ndarray]) -> Iterator[Value]:
    if source.measure == "association":
        return association_values(records, vectors, source.options.ddof)
    return item_values(measured(source.measure, source.options, source.family), records)


def _null(
    source: Source, records: pd.DataFrame, vectors: Mapping[str, np.ndarray], rows: Sequence[Row], draws: int,
    seed: int,
) -> Draws:
    if source.measure == "association":
        hidden = len(next(iter(vectors.values())))
        return association_null(records, hidden, source.options.ddof, draws=draws, seed=seed, name=source.slug)
    rule = measured(source.measure, source.options, source.family)
    return item_null(rule, records, rows[0].reduction, draws=draws, seed=seed, name=source.slug)
