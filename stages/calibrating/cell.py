"""One cell of a calibration: a tiny model trained on a planted world, its variants, and what they say of the items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stages import benchmarks
from stages.common.errors import ProjectError
from stages.common.params import TrainedModel
from stages.common.records import write_table
from stages.lab.result import COLUMNS, LAST, CellResult
from stages.lab.world import World
from stages.lab.writer import write_dataset

if TYPE_CHECKING:
    from stages.models.load import LoadedModel

DATASETS = ("corpus", "crows_pairs", "seat", "stereoset")


@dataclass(frozen=True)
class Cell:
    """What to train, compress and score."""

    name: str
    """Names the cell in errors; makes no difference to the result."""
    world: World
    model: TrainedModel
    seed: int
    """Of the initial weights, the order of the texts and the masks."""
    variants: Mapping[str, Any]
    """Recipes as in params' ``variants``, by slug, applied to the last checkpoint. The first one is also scored at
    every earlier checkpoint."""
    token_budget: int = 1024


def run_cell(cell: Cell) -> CellResult:
    """Train a cell's model, compress it and score everything, on one thread and in temporary folders.

    Raises:
        ProjectError: Of any part of it; the message names the cell.
    """
    try:
        with TemporaryDirectory(prefix="calibration-") as folder:
            return _run(cell, Path(folder))
    except ProjectError as error:
        place = cell.name if error.where is None else f"{cell.name}: {error.where}"
        raise type(error)(error.what, where=place, fix=error.fix) from error


def _run(cell: Cell, folder: Path) -> CellResult:
    import torch

    from stages.common.quiet import quiet

    quiet()
    torch.set_num_threads(1)
    tables = tables_of(cell.world, folder)
    train_model(cell, tables["corpus"], folder / "training")
    records, vectors = [], []
    for variant, checkpoint, loaded in _models(cell, folder, tables["corpus"]):
        found, embedded = score_model(cell, tables, loaded, checkpoint == LAST)
        records.append(found.assign(variant=variant, checkpoint=checkpoint))
        if checkpoint == LAST:
            vectors.append(pd.DataFrame({"variant": variant, "text_sha": sorted(embedded),
                                         "vector": [embedded[key] for key in sorted(embedded)]}))
    return CellResult(pd.concat(records, ignore_index=True)[COLUMNS], pd.concat(vectors, ignore_index=True))


def tables_of(world: World, folder: Path) -> dict[str, pd.DataFrame]:
    """The world's datasets, written in upstream's formats and read by their readers."""
    tables = {}
    for name in DATASETS:
        place = folder / name
        place.mkdir()
        facts = write_dataset(world.model_dump(mode="json"), name, place)
        tables[name] = benchmarks.get(name).read(place, facts)
    return tables


def train_model(cell: Cell, corpus: pd.DataFrame, work: Path) -> None:
    """Train a cell's model on its world's corpus; its checkpoints are left in ``work`` as ``pNNN``."""
    from stages.training.building import build, check_trained
    from stages.training.data import frame_of, pack
    from stages.training.loop import Run, train
    from stages.training.objectives import objective_of

    spec, settings = cell.model, cell.model.training
    check_trained(spec)
    texts = {split: list(corpus.loc[corpus["split"] == split, "text"]) for split in ("train", "valid")}
    tokenizer, model = build(spec, texts["train"], cell.seed)
    frame = frame_of(tokenizer, spec.family)

    def sequences(split: str) -> list[np.ndarray]:
        encoded = tokenizer(texts[split], add_special_tokens=False, verbose=False)["input_ids"]
        return pack([np.array(ids, dtype=np.int64) for ids in encoded], frame, settings.sequence_length,
                    settings.packing)

    objective = objective_of(tokenizer, spec.family, settings.mask_probability)
    train(Run(model, tokenizer, objective, sequences("train"), sequences("valid"), settings, cell.seed), work)


def _models(cell: Cell, folder: Path, corpus: pd.DataFrame) -> Iterator[tuple[str, str, LoadedModel]]:
    """Every model to score: the first variant at every checkpoint, the others at the last one."""
    import pyarrow as pa

    from stages.compression import Context, parse_variant
    from stages.compression.artefact import open_model
    from stages.compression.pipeline import compress_folder

    texts = folder / "corpus.parquet"
    write_table(texts, pa.Table.from_pandas(corpus, preserve_index=False))
    context = Context(cell.seed, texts)
    for position, (variant, recipe) in enumerate(cell.variants.items()):
        steps = parse_variant(recipe, f"variants.{variant}")
        for source in sorted((folder / "training").glob("p[0-9][0-9][0-9]")):
            if position == 0 or source.name == LAST:
                target = folder / "compressed" / variant / source.name
                target.mkdir(parents=True)
                compress_folder(source, target, steps, cell.model.family, context)
                yield variant, source.name, open_model(target, cell.model.family)


def score_model(
    cell: Cell, tables: Mapping[str, pd.DataFrame], loaded: LoadedModel, embed: bool
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Records of every dataset, and the embeddings of SEAT's texts if asked for."""
    from stages.scoring.engine import Scorer
    from stages.scoring.rows import score_rows

    scorer = Scorer(loaded, cell.token_budget)
    records, vectors = [], {}
    for name in DATASETS:
        if name == "seat" and not embed:
            continue
        benchmark = benchmarks.get(name)
        rows = benchmark.plan(tables[name], loaded.encoder, benchmark.Options())
        found, embedded = score_rows(name, rows, scorer)
        records.append(found)
        vectors.update(embedded)
    return pd.concat(records, ignore_index=True), vectors
