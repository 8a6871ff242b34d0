"""The runs of one model that its contrasts need: its checkpoints before compression, its variants after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.evidence.items import refuse_other_items
from stages.evidence.metrics import Measured
from stages.evidence.runs import Run, located
from stages.measures._run import read_run


@dataclass(frozen=True)
class ModelRuns:
    """Everything scored of one model that a contrast may need."""

    model: str
    checkpoints: Mapping[str, Run]
    """Of the uncompressed model, by name, from the least trained to the most."""
    fractions: np.ndarray
    """Of training, shape [checkpoints]."""
    variants: Mapping[str, Run]
    """Of every other variant, the last checkpoint."""
    controls: Mapping[str, tuple[str, ...]]
    """The variants that are noise controls of a variant."""

    @property
    def every(self) -> list[Run]:
        """Checkpoints, then variants."""
        return [*self.checkpoints.values(), *self.variants.values()]

    def columns(self, *variants: str) -> list[int]:
        """Where variants lie in ``every``."""
        order = list(self.variants)
        return [len(self.checkpoints) + order.index(variant) for variant in variants]


def open_checkpoints(folder: Path) -> tuple[dict[str, Run], np.ndarray]:
    """All checkpoints of a records folder in order of training, and their fractions of it, shape [checkpoints].

    Raises:
        DataError: ``run.json`` is missing or malformed.
    """
    described = read_run(folder)
    measures = {slug: scored.measure for slug, scored in described.datasets.items()}
    runs = {name: Run(folder / name, described.family, measures) for name in described.in_order}
    return runs, np.array([described.checkpoints[name].fraction for name in runs])


def shared_items(runs: list[Run], dataset: str, rule: Measured) -> list[pd.DataFrame]:
    """Items of a dataset as each run scored them, in the same order: those that every run could score.

    Raises:
        DataError: Records are missing, malformed or of other items than the first run's.
    """
    tables: list[pd.DataFrame] = []
    for run in runs:
        with located(run, dataset):
            if dataset not in run.measures:
                raise DataError(f"lacks the dataset {dataset}, which {runs[0].folder} has", fix="dvc repro score")
            items = rule.items(run.records(dataset))
            refuse_other_items(tables[0] if tables else items, items)
        tables.append(items)
    usable = np.logical_and.reduce([items["usable"].to_numpy(dtype=bool) for items in tables])
    return [items.loc[usable] for items in tables]
