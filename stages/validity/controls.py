"""Is a measure ever called biased where nothing was planted?

Two kinds of controls: items whose two words are of the same group, in every trained model; and groups that were
given no association, in the worlds where that is so. A measure is called biased where its clustered interval leaves
out the value of no preference, and the value lies outside what random networks of the architecture get on the items.
The intervals of the kinds of groups hold together (Bonferroni): a model is asked about all of them, and one interval in
twenty leaves out the truth.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from stages.evidence.floors import with_floors
from stages.evidence.grid import Cell, Grid, evidence
from stages.lab.vocabularies import KINDS
from stages.validity.planted import RANDOM, Architecture, Trained, items_of, world
from stages.validity.rows import Row
from stages.validity.trained_runs import COMPARE, CONTROL, run_of

MOST = 0.05
_NEUTRAL = {"score": 50.0, "ss": 50.0, "log_odds": 0.0}


def control_rows(trained: Trained, seed: int) -> list[Row]:
    """Of every measure, the share of controls in which it is called biased."""
    found = pd.concat([called(trained, controls, seed) for controls in (True, False)])
    shares = found.groupby(["dataset", "metric"])["biased"].agg(["mean", "size"])
    return [Row(f"unplanted controls called biased, {metric} of {dataset} ({size:.0f} of them)", float(mean), 0.0, MOST)
            for (dataset, metric), (mean, size) in zip(shares.index, shares.to_numpy(), strict=True)]


def called(trained: Trained, controls: bool, seed: int) -> pd.DataFrame:
    """The evidence table of all controls of one sort, with a column ``biased``.

    Args:
        trained: Every model.
        controls: Whether to take the control items; else the groups that were given no association.
        seed: Of the random streams.
    """
    compare = COMPARE.model_copy(update={"confidence": 1 - (1 - COMPARE.confidence) / len(KINDS)})
    if controls:
        compare = compare.model_copy(update={"categories": tuple(f"{kind}{CONTROL}" for kind in KINDS)})
    table = evidence(list(_cells(trained, controls)), Grid(compare, seed)).table
    table = table[table["metric"].isin(list(_NEUTRAL)) & (table["category"] != "overall")]
    random = table["variant"].isin(list(RANDOM))
    names = table.loc[random, "variant"]
    floors = table[random].assign(null="random_init", seed=names.map({name: n for n, name in enumerate(RANDOM)}))
    table = with_floors(table[~random].reset_index(drop=True), floors, COMPARE.confidence)
    if not controls:
        truths = [world(variant.split(".")[1]).association(kind).log_odds
                  for variant, kind in zip(table["variant"], table["category"], strict=True)]
        table = table[[truth == 0 for truth in truths]]
    neutral = table["metric"].map(_NEUTRAL)
    outside = (table["ci_low"] > neutral) | (table["ci_high"] < neutral)
    return table.assign(biased=outside & (table["inside_floor"] == 0))


def _cells(trained: Trained, controls: bool) -> Iterator[Cell]:
    """Trained models and random networks; those of one architecture and set of items share the name of a model."""
    for name, result in trained.items():
        architecture, world_name, _ = name.split(".")
        family: Architecture = "neox" if architecture == "neox" else "bert"
        model = f"{family}.{items_of(world_name)}"
        yield Cell(model, name, run_of(name, family, result, controls=controls))
        for variant in sorted(set(result.records["variant"]) & set(RANDOM)):
            yield Cell(model, variant, run_of(variant, family, result, controls=controls, variant=variant))
