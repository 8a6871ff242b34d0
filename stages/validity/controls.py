"""Is a measure ever called biased where nothing was planted?

Two kinds of controls: items whose two words are of the same group, in every trained model; and groups that were
given no association, in the worlds where that is so. A measure is called biased by the rule of the compare stage
(``stages.evidence.level``); the untrained networks of its floor are scored on the same items.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from stages.evidence.floors import with_floors
from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.level import NEUTRAL, with_bias
from stages.evidence.table import OVERALL
from stages.lab.vocabularies import KINDS
from stages.validity.planted import RANDOM, Architecture, Trained, items_of, world
from stages.validity.rows import Row
from stages.validity.trained_runs import COMPARE, CONTROL, run_of

MOST = 0.05


def control_rows(trained: Trained, seed: int) -> list[Row]:
    """Of every measure, the share of controls in which it is called biased.

    SEAT is not among them: its mean absolute effect has no value of no preference that could be left out, and it has
    no control items.
    """
    found = pd.concat([called(trained, controls, seed) for controls in (True, False)])
    shares = found.groupby(["dataset", "metric"])["biased"].agg(["mean", "size"])
    return [Row(f"unplanted controls called biased, {metric} of {dataset} ({size:.0f} of them)", float(mean), 0.0, MOST)
            for (dataset, metric), (mean, size) in zip(shares.index, shares.to_numpy(), strict=True)]


def called(trained: Trained, controls: bool, seed: int) -> pd.DataFrame:
    """The evidence table of all controls of one sort, with its column ``biased``.

    Args:
        trained: Every model.
        controls: Whether to take the control items; else the groups that were given no association.
        seed: Of the random streams.
    """
    categories = tuple(f"{kind}{CONTROL}" if controls else kind for kind in KINDS)
    cells, grid = list(_cells(trained, controls)), Grid(COMPARE.model_copy(update={"categories": categories}), seed)
    table = evidence(cells, grid).table
    random = table["variant"].isin(list(RANDOM))
    names = table.loc[random, "variant"]
    floors = table[random].assign(null="random_init", seed=names.map({name: n for n, name in enumerate(RANDOM)}))
    table = with_floors(table[~random].reset_index(drop=True), floors, COMPARE.confidence)
    table = with_bias(table, [cell for cell in cells if cell.variant not in RANDOM], grid)
    table = table[table["metric"].isin(list(NEUTRAL)) & (table["category"] != OVERALL)]
    if not controls:
        truths = [world(variant.split(".")[1]).association(kind).log_odds
                  for variant, kind in zip(table["variant"], table["category"], strict=True)]
        table = table[[truth == 0 for truth in truths]]
    return table


def _cells(trained: Trained, controls: bool) -> Iterator[Cell]:
    """Trained models and random networks; those of one architecture and set of items share the name of a model."""
    for name, result in trained.items():
        architecture, world_name, _ = name.split(".")
        family: Architecture = "neox" if architecture == "neox" else "bert"
        model = f"{family}.{items_of(world_name)}"
        yield Cell(model, name, run_of(name, family, result, controls=controls))
        for variant in sorted(set(result.records["variant"]) & set(RANDOM)):
            yield Cell(model, variant, run_of(variant, family, result, controls=controls, variant=variant))
