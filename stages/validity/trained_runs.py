"""Trained models as the compare stage takes them, and the tables it makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stages.evidence.floors import seed_p
from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.multiplicity import benjamini_hochberg
from stages.evidence.settings import Compare
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
    """The evidence table of a child of a parent, with verdicts that ask for more than the noise of training.

    A claim that what was trained differs, and not only the two models at hand, needs both: a change on the items, and
    one that another seed does not make. Its p is the larger of the two, and the correction is over those.

    Args:
        parent: The one model.
        child: The other.
        alike: What models get that differ by their seed alone (``levels``).
        seed: Of the random streams.
    """
    table = evidence([Cell("model", "parent", parent), Cell("model", "child", child, parent)],
                     Grid(COMPARE, seed)).table
    keys = pd.MultiIndex.from_frame(table[list(CELLS)])
    p_values = table["p_value"].where(table["kind"] == "bias")
    p_values = np.maximum(p_values, seed_p(table, alike.reindex(keys)))
    tested = p_values.notna()
    table.loc[tested, "p_adjusted"] = benjamini_hochberg(p_values[tested].to_numpy())
    return with_verdicts(table, COMPARE)


def values(runs: Sequence[SimulatedRun], seed: int) -> pd.DataFrame:
    """The evidence table of models side by side, in their order as variants ``000``, ``001`` and so on."""
    return evidence([Cell("model", f"{number:03d}", run) for number, run in enumerate(runs)], Grid(COMPARE, seed)).table


def levels(runs: Sequence[SimulatedRun], seed: int) -> pd.DataFrame:
    """Every metric of bias by model: a row a dataset, category and metric, a column a model."""
    table = values(runs, seed)
    return table[table["kind"] == "bias"].pivot(index=list(CELLS), columns="variant", values="value").dropna()
