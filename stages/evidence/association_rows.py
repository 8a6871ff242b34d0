"""SEAT's rows of the grid: of each category the mean absolute effect size, and the effect size of each test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from stages.evidence.asked import Row
from stages.evidence.association import Resampled, Stimuli, draw_stimuli, resample, seat_tests
from stages.evidence.association_change import AssociationChange, compare_association
from stages.evidence.change import change_columns, level_columns
from stages.evidence.items import items_by_text, refuse_other_items
from stages.evidence.runs import Run, located
from stages.evidence.settings import Compare, Compared

if TYPE_CHECKING:
    from stages.evidence.grid import Cell

_KEYS = ["item", "category", "cluster", "text_sha"]


def association_rows(dataset: str, ddof: int, cells: Sequence[Cell], compare: Compare, seed: int) -> Iterator[Row]:
    """Rows of one dataset of embeddings.

    Args:
        dataset: Slug of the dataset.
        ddof: Of the effect size's standard deviation, as the measure has it.
        cells: Models and their parents.
        compare: Level, resamples, categories, margins.
        seed: The suite's seed.

    Raises:
        DataError: Records are malformed or not the parent's, or a text has no usable vector.
    """
    models = _Models(dataset, ddof, cells, compare, seed)
    for cell in cells:
        stimuli, child = models.of(cell.run)
        parent = child
        if cell.parent is not None:
            others, parent = models.of(cell.parent)
            if others is not stimuli:
                with located(cell.run, dataset):
                    refuse_other_items(*(items_by_text(run.records(dataset)) for run in (cell.parent, cell.run)))
        for category, found in child.items():
            for each in compare_association(stimuli[category], parent[category], found,
                                            confidence=compare.confidence):
                yield _row(dataset, category, cell, each, compare)


class _Models:
    """Resampled effect sizes by run; those of parents are kept, and stimuli are drawn once for all models."""

    def __init__(self, dataset: str, ddof: int, cells: Sequence[Cell], compare: Compare, seed: int) -> None:
        self._dataset, self._ddof, self._compare, self._seed = dataset, ddof, compare, seed
        self._parents = {cell.parent for cell in cells}
        self._kept: dict[Run, tuple[dict[str, Stimuli], dict[str, Resampled]]] = {}
        self._stimuli: list[tuple[pd.DataFrame, dict[str, Stimuli]]] = []

    def of(self, run: Run) -> tuple[dict[str, Stimuli], dict[str, Resampled]]:
        """Stimuli and effect sizes of a run, by category; runs of the same records share the stimuli."""
        if run in self._kept:
            return self._kept[run]
        with located(run, self._dataset):
            stimuli = self._drawn(run.records(self._dataset))
            vectors = run.vectors(self._dataset)
            found = {category: resample(tests, vectors, ddof=self._ddof) for category, tests in stimuli.items()}
        if run in self._parents:
            self._kept[run] = stimuli, found
        return stimuli, found

    def _drawn(self, records: pd.DataFrame) -> dict[str, Stimuli]:
        keys = records[_KEYS].sort_values(_KEYS, ignore_index=True)
        for known, stimuli in self._stimuli:
            if known.equals(keys):
                return stimuli
        stimuli = {
            category: draw_stimuli(tests, resamples=self._compare.resamples, seed=self._seed)
            for category, tests in seat_tests(records).items() if category in self._compare.categories
        }
        self._stimuli.append((keys, stimuli))
        return stimuli


def _row(dataset: str, category: str, cell: Cell, found: AssociationChange, compare: Compare) -> Row:
    metric: Compared = "effect_size" if found.name else "mean_abs_effect"
    row: Row = {
        "model": cell.model, "variant": cell.variant, "dataset": dataset, "category": found.name or category,
        "metric": metric, "kind": "detail" if found.name else "bias", "headline": not found.name,
        "items": found.items, "clusters": found.value.clusters, **level_columns(found.value),
    }
    if cell.parent is not None:
        row |= {"parent": found.parent, "paired_items": found.items, "p_value": found.p_value}
        row |= change_columns(found.change, compare, metric)
    return row
