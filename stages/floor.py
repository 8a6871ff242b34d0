"""Null floors of a model: what the measures say of its architecture and tokenizer when nothing was learnt.

``python -m stages.floor --params params.yaml --model MODEL`` writes ``data/floors/<suite>/<model>.parquet``
(``stages.evidence.floors``): every bias measure and StereoSet's language-model score of ``compare.floor.seeds``
randomly initialised networks of the model's architecture, and their distribution under the context-free null
(``stages.evidence.null``). Of a model with ``replicates``, also those of as many networks trained alike from
other seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from stages import benchmarks
from stages.common.errors import run
from stages.common.params import Params, TrainedModel, choose, load_params
from stages.common.query import Row
from stages.common.records import arrow_schema, read_table, write_table
from stages.evidence.floors import FLOOR_COLUMNS
from stages.evidence.settings import Floor, compare_of
from stages.nulls.rows import Source, context_free_rows, network_rows, sources

if TYPE_CHECKING:
    from stages.models.load import LoadedModel

_DECIMALS = 9


def write_floor(params_file: str, model: str) -> Path:
    """Write the floors of one model.

    Returns:
        The file written.

    Raises:
        ParamsError: The params file does not know the model.
        DataError: A clean table is missing.
        ModelError: The model's checkpoints are missing or not whole, or a replicate's training diverged.
    """
    params = load_params(params_file)
    family = choose(params.models, model, "model").family
    rows = [{"model": model, **row} for row in _rows(params, model, list(sources(params, family)))]
    target = Path("data", "floors", params.suite, f"{model}.parquet")
    table = pd.DataFrame(rows, columns=list(FLOOR_COLUMNS)).round(_DECIMALS)
    table = table.sort_values(["null", "dataset", "category", "metric", "seed"], ignore_index=True)
    write_table(target, pa.Table.from_pandas(table, schema=arrow_schema(FLOOR_COLUMNS), preserve_index=False))
    return target


def _rows(params: Params, model: str, asked: Sequence[Source]) -> Iterator[dict[str, str | float]]:
    floor, family = compare_of(params).floor, params.models[model].family
    clean = Path("data", "clean", params.suite)
    tables = {source.slug: read_table(clean / f"{source.slug}.parquet", benchmarks.get(source.benchmark).COLUMNS)
              for source in asked}
    # Torch takes seconds to import; mistakes in names and data are reported before that.
    import torch

    from stages.common.quiet import quiet
    from stages.models.load import load_model
    from stages.nulls.networks import last_checkpoint
    from stages.scoring.engine import Scorer
    from stages.scoring.rows import score_rows

    quiet()
    torch.set_num_threads(params.threads)
    folder = last_checkpoint(Path("models", params.suite, "checkpoints", model), model)
    encoder = load_model(folder, family).encoder
    plans: dict[str, list[Row]] = {
        source.slug: benchmarks.get(source.benchmark).plan(tables[source.slug], encoder, source.dataset_options)
        for source in asked
    }
    for null, number, network in _networks(params, floor, model, folder):
        with network as loaded:
            scorer = Scorer(loaded, params.scoring.token_budget)
            for source in asked:
                records, vectors = score_rows(source.slug, plans[source.slug], scorer)
                yield from network_rows(source, records, vectors, null, number)
                if (null, number) == ("random_init", 0):
                    yield from context_free_rows(source, records, vectors, plans[source.slug], floor.draws, params.seed)


def _networks(
    params: Params, floor: Floor, model: str, folder: Path
) -> Iterator[tuple[str, int, AbstractContextManager[LoadedModel]]]:
    """What is scored: of which null, its seed beside the suite's own, and the network."""
    from stages.nulls.networks import random_network, replicate

    spec = params.models[model]
    for number in range(floor.seeds):
        print(f"scoring random network {number + 1}/{floor.seeds}", flush=True)
        yield "random_init", number, nullcontext(random_network(folder, spec.family, params.seed, number))
    if isinstance(spec, TrainedModel):
        corpus = Path("data", "clean", params.suite, f"{params.corpus}.parquet")
        for number in range(1, spec.replicates + 1):
            print(f"training and scoring replicate {number}/{spec.replicates}", flush=True)
            yield "seed", number, replicate(spec, corpus, params.seed + number)


def main() -> None:
    """Read the command line and write the floors of one model."""
    parser = argparse.ArgumentParser(prog="python -m stages.floor", description="Null floors of a model's measures.")
    parser.add_argument("--params", required=True, help="params file of the suite")
    parser.add_argument("--model", required=True, help="slug of the model in it")
    given = parser.parse_args()
    print(f"wrote {write_floor(given.params, given.model)}")


if __name__ == "__main__":
    run(main)
