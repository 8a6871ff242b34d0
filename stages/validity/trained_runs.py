"""Trained models as the compare stage takes them, and the tables it makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.settings import Compare
from stages.evidence.training_noise import with_seed_noise
from stages.evidence.verdict import with_verdicts
from stages.lab.result import CellResult
from stages.validity.noise import VARIANT
from stages.validity.planted import LEARNERS, Architecture
from stages.validity.simulated_runs import SimulatedRun

MEASURES = {"crows_pairs": "pair_preference", "stereoset": "stereotype_triples", "seat": "association",
            "corpus": "language_model"}
CONTROL = "-control"
COMPARE = Compare(resamples=2_000)
CELLS = ("dataset", "category", "metric")
_MODEL = "model"


def run_of(
    name: str, architecture: Architecture, result: CellResult, *, controls: bool = False, variant: str = VARIANT
) -> SimulatedRun:
    """A trained model's records of what its world planted, or else of the control items."""
    measures = {dataset: measure for dataset, measure in MEASURES.items()
                if dataset in ("crows_pairs", "stereoset") or not controls}
    tables = {}
    for dataset in measures:
        records = result.of(variant, dataset)
        chosen = records["category"].str.endswith(CONTROL) == controls
        tables[dataset] = records if dataset == "corpus" else records[chosen]
    return SimulatedRun(Path("trained", name), LEARNERS[architecture].family, measures, tables,
                        {} if controls else result.embeddings(variant))


def judged(parent: SimulatedRun, child: SimulatedRun, alike: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The evidence table of a child of a parent, judged as the compare stage judges the variants of a model.

    The model's replicates are known, and not its checkpoints.

    Args:
        parent: The one model.
        child: The other.
        alike: What the parent's replicates get, which differ from it by their seed alone (``levels``).
        seed: Of the random streams.
    """
    table = evidence([Cell(_MODEL, "parent", parent), Cell(_MODEL, "child", child, parent)],
                     Grid(COMPARE, seed)).table
    replicates = alike.melt(var_name="seed", ignore_index=False).reset_index()
    return with_verdicts(with_seed_noise(table, replicates.assign(model=_MODEL, null="seed")), COMPARE)


def values(runs: Sequence[SimulatedRun], seed: int) -> pd.DataFrame:
    """The evidence table of models side by side, in their order as variants ``000``, ``001`` and so on."""
    return evidence([Cell(_MODEL, f"{number:03d}", run) for number, run in enumerate(runs)], Grid(COMPARE, seed)).table


def levels(runs: Sequence[SimulatedRun], seed: int) -> pd.DataFrame:
    """Every metric of bias by model: a row a dataset, category and metric, a column a model."""
    table = values(runs, seed)
    return table[table["kind"] == "bias"].pivot(index=list(CELLS), columns="variant", values="value").dropna()
