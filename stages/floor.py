"""Null floors of a model: what the measures say of its architecture and tokenizer when nothing was learnt.

``python -m stages.floor --params params.yaml --model MODEL`` writes ``data/floors/<suite>/<model>.parquet``
(``stages.evidence.floors``): every bias measure and StereoSet's language-model score of ``compare.floor.seeds``
randomly initialised networks of the model's architecture, and their distribution under the context-free null
(``stages.evidence.null``).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from stages import benchmarks
from stages.common.errors import ModelError, run
from stages.common.params import Family, Params, choose, load_params, parse
from stages.common.query import Row
from stages.common.records import read_table, write_table
from stages.evidence.floors import FLOOR_COLUMNS
from stages.evidence.metrics import measured
from stages.evidence.null import Draws, association_null, item_null
from stages.evidence.settings import Floor, compare_of
from stages.evidence.values import Value, association_values, item_values
from stages.measures import get as get_measure

if TYPE_CHECKING:
    from stages.models.load import LoadedModel

_ARROW = {"string": pa.string(), "float64": pa.float64()}
_MEASURES = ("pair_preference", "stereotype_triples", "association")
"""Measures that have a floor; perplexity is no measure of bias."""
_DECIMALS = 9


@dataclass(frozen=True)
class Source:
    """A dataset whose measure has a floor."""

    slug: str
    benchmark: str
    dataset_options: Any
    measure: str
    options: Any


def write_floor(params_file: str, model: str) -> Path:
    """Write the floors of one model.

    Returns:
        The file written.

    Raises:
        ParamsError: The params file does not know the model.
        DataError: A clean table is missing.
        ModelError: The model's checkpoints are missing or not whole.
    """
    params = load_params(params_file)
    family = choose(params.models, model, "model").family
    floor = compare_of(params).floor
    sources = list(_sources(params, family))
    rows = [{"model": model, **row} for row in _rows(params, floor, model, family, sources)]
    target = Path("data", "floors", params.suite, f"{model}.parquet")
    table = pd.DataFrame(rows, columns=list(FLOOR_COLUMNS)).round(_DECIMALS)
    table = table.sort_values(["null", "dataset", "category", "metric", "seed"], ignore_index=True)
    schema = pa.schema([(name, _ARROW[kind]) for name, kind in FLOOR_COLUMNS.items()])
    write_table(target, pa.Table.from_pandas(table, schema=schema, preserve_index=False))
    return target


def _sources(params: Params, family: Family) -> Iterator[Source]:
    for slug, dataset in params.datasets.items():
        benchmark = benchmarks.get(dataset.benchmark)
        if family in benchmark.FAMILIES and benchmark.MEASURE in _MEASURES:
            options = parse(benchmark.Options, dataset.options, f"{params.params_file}: datasets.{slug}.options")
            raw = params.measures.get(benchmark.MEASURE, {})
            yield Source(slug, dataset.benchmark, options, benchmark.MEASURE,
                         parse(get_measure(benchmark.MEASURE).Options, raw, f"measures.{benchmark.MEASURE}"))


def _rows(
    params: Params, floor: Floor, model: str, family: Family, sources: Sequence[Source]
) -> Iterator[dict[str, str | float]]:
    tables = {
        source.slug: read_table(Path("data", "clean", params.suite, f"{source.slug}.parquet"),
                                benchmarks.get(source.benchmark).COLUMNS)
        for source in sources
    }
    # Torch takes seconds to import; mistakes in names and data are reported before that.
    import torch

    from stages.models.load import load_model
    from stages.scoring.engine import Scorer
    from stages.scoring.rows import score_rows

    torch.set_num_threads(params.threads)
    folder = _last_checkpoint(Path("models", params.suite, "checkpoints", model), model)
    encoder = load_model(folder, family).encoder
    plans: dict[str, list[Row]] = {
        source.slug: benchmarks.get(source.benchmark).plan(tables[source.slug], encoder, source.dataset_options)
        for source in sources
    }
    for number in range(floor.seeds):
        print(f"scoring random network {number + 1}/{floor.seeds}", flush=True)
        scorer = Scorer(_random_network(folder, family, params.seed, number), params.scoring.token_budget)
        for source in sources:
            records, vectors = score_rows(source.slug, plans[source.slug], scorer)
            for category, metric, value in _values(source, records, vectors, family):
                yield {"null": "random_init", "dataset": source.slug, "category": category, "metric": metric,
                       "seed": number, "value": value}
            if number == 0:
                null = _null(source, records, vectors, plans[source.slug], family, floor.draws, params.seed)
                yield from (_summary(source.slug, *drawn) for drawn in null)


def _random_network(folder: Path, family: Family, seed: int, number: int) -> LoadedModel:
    """A model of the folder's architecture and tokenizer with fresh weights."""
    from stages.compression import Context
    from stages.compression.methods import random_init
    from stages.compression.subject import Subject
    from stages.models.load import load_model

    loaded = load_model(folder, family)
    random_init.compress(Subject(loaded, folder), random_init.Config(method="random_init", seed=number),
                         Context(seed=seed))
    return loaded


def _last_checkpoint(folder: Path, model: str) -> Path:
    found = sorted(path for path in folder.glob("p*") if path.is_dir())
    if not found:
        raise ModelError("holds no checkpoint", where=folder, fix=f"dvc repro checkpoint@{model}")
    return found[-1]


def _values(
    source: Source, records: pd.DataFrame, vectors: Mapping[str, np.ndarray], family: Family
) -> Iterator[Value]:
    if source.measure == "association":
        return association_values(records, vectors, source.options.ddof)
    return item_values(measured(source.measure, source.options, family), records)


def _null(
    source: Source, records: pd.DataFrame, vectors: Mapping[str, np.ndarray], rows: Sequence[Row], family: Family,
    draws: int, seed: int,
) -> Draws:
    if source.measure == "association":
        hidden = len(next(iter(vectors.values())))
        return association_null(records, hidden, source.options.ddof, draws=draws, seed=seed, name=source.slug)
    rule = measured(source.measure, source.options, family)
    return item_null(rule, records, rows[0].reduction, draws=draws, seed=seed, name=source.slug)


def _summary(dataset: str, category: str, metric: str, values: np.ndarray) -> dict[str, str | float]:
    low, median, high = np.quantile(values, [0.025, 0.5, 0.975])
    return {"null": "context_free", "dataset": dataset, "category": category, "metric": metric, "draws": len(values),
            "mean": float(values.mean()), "sd": float(values.std(ddof=1)), "low": low, "median": median, "high": high}


def main() -> None:
    """Read the command line and write the floors of one model."""
    parser = argparse.ArgumentParser(prog="python -m stages.floor", description="Null floors of a model's measures.")
    parser.add_argument("--params", required=True, help="params file of the suite")
    parser.add_argument("--model", required=True, help="slug of the model in it")
    given = parser.parse_args()
    print(f"wrote {write_floor(given.params, given.model)}")


if __name__ == "__main__":
    run(main)
