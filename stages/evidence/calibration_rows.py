"""From the records of a calibration grid to tidy tables: what each measure says beside what was planted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stages.common.params import Family
from stages.evidence.planted import ROLES, Scored, association_rows, margins, measure_rows
from stages.evidence.retention import retention_rows
from stages.lab.calibration import Spec
from stages.lab.result import LAST, CellResult
from stages.lab.world import World

CONTROL = "-control"
LEVELS = ["world", "learner", "seed", "variant", "checkpoint", "dataset", "measure", "kind", "control", "proxy",
          "planted", "value", "low", "high", "neutral", "items", "clusters"]
RETAINED = ["world", "learner", "seed", "variant", "dataset", "kind", "control", "correlation", "scale", "meaning",
            "flips", "entropy"]
GRADED = "log_odds"
PERPLEXITY = "perplexity"
BOTH = "both"
"""In place of a dataset: the mean of pairs and triples, which rests on all items."""


@dataclass(frozen=True, eq=False)
class CellRecords:
    """One trained model and all that was scored of it."""

    spec: Spec
    world: World
    family: Family
    result: CellResult


@dataclass(frozen=True, eq=False)
class Tables:
    """All cells of a grid."""

    levels: pd.DataFrame
    """A row a measure and kind (``LEVELS``). ``planted`` is the truth in nats; ``control`` items have none planted,
    whatever their kind; ``proxy`` tells whether it was planted through proxies. The corpus' perplexity has no kind."""
    retained: pd.DataFrame
    """A row a compressed variant and kind (``RETAINED``): see ``stages.evidence.retention``."""


def tables(
    cells: Iterable[CellRecords], baseline: str, options: Mapping[str, Mapping[str, Any]], *, resamples: int,
    confidence: float, seed: int,
) -> Tables:
    """Measure every model of a grid.

    Args:
        cells: The trained models with their records.
        baseline: The variant that others are compared with.
        options: Raw options of each measure.
        resamples: Of the items.
        confidence: Of the intervals.
        seed: The suite's seed.

    Raises:
        DataError: Records are not whole.
    """
    levels: list[dict[str, Any]] = []
    retained: list[pd.DataFrame] = []
    for cell in cells:
        scored = Scored(cell.family, options, resamples, confidence, seed)
        levels += _levels(cell, scored)
        retained += _retained(cell, baseline)
    keys = ["learner", "world", "seed", "variant", "checkpoint", "dataset", "measure", "kind", "control"]
    each = pd.DataFrame(levels, columns=LEVELS)
    found = pd.concat([each, _both(each)], ignore_index=True).sort_values(keys, ignore_index=True)
    parts = pd.concat(retained, ignore_index=True)[RETAINED] if retained else pd.DataFrame(columns=RETAINED)
    return Tables(found, parts)


def _both(levels: pd.DataFrame) -> pd.DataFrame:
    """Log-odds over both kinds of items, without an interval: they have no clusters in common."""
    keys = [name for name in LEVELS[: LEVELS.index("value")] if name != "dataset"]
    rows = levels[levels["measure"] == GRADED].groupby(keys, as_index=False).agg(value=("value", "mean"),
                                                                                 items=("items", "sum"))
    return rows.assign(dataset=BOTH).reindex(columns=LEVELS)


def _levels(cell: CellRecords, scored: Scored) -> Iterator[dict[str, Any]]:
    result = cell.result
    models = result.records[["variant", "checkpoint"]].drop_duplicates()
    for variant, checkpoint in models.itertuples(index=False, name=None):
        about = {**cell.spec._asdict(), "variant": variant, "checkpoint": checkpoint}
        for dataset in ROLES:
            for row in measure_rows(dataset, result.of(variant, dataset, checkpoint), scored):
                yield {**about, "dataset": dataset, **_truth(cell.world, str(row.pop("category"))), **row}
        if checkpoint == LAST:
            for row in association_rows(result.of(variant, "seat"), result.embeddings(variant), scored):
                yield {**about, "dataset": "seat", **_truth(cell.world, str(row.pop("category"))), **row}
        corpus = result.of(variant, "corpus", checkpoint)
        loss = -math.fsum(corpus["logprob"]) / int(corpus["scored"].sum())
        yield {**about, "dataset": "corpus", "measure": PERPLEXITY, "kind": "", "control": False, "proxy": False,
               "value": math.exp(loss), "items": float(len(corpus))}


def _truth(world: World, category: str) -> dict[str, Any]:
    kind = category.removesuffix(CONTROL)
    association = world.association(kind)  # type: ignore[arg-type]  # the lab's categories are its kinds
    control = category != kind
    return {"kind": kind, "control": control, "proxy": association.proxy is not None,
            "planted": 0.0 if control else association.log_odds}


def _retained(cell: CellRecords, baseline: str) -> Iterator[pd.DataFrame]:
    for dataset, roles in ROLES.items():
        parent = margins(cell.result.of(baseline, dataset), roles)
        for variant in sorted(set(cell.result.records["variant"]) - {baseline}):
            found = retention_rows(parent, margins(cell.result.of(variant, dataset), roles))
            kinds = found["category"].str.removesuffix(CONTROL)
            yield found.assign(**cell.spec._asdict(), variant=variant, dataset=dataset, kind=kinds,
                               control=kinds != found["category"])
