"""The whole grid: every model and variant, dataset, category and metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from stages import measures
from stages.common.errors import DataError
from stages.common.params import parse
from stages.evidence.association import AssociationChange, Resampled, compare_association, resample, seat_tests
from stages.evidence.change import Row, change, change_columns, level, level_columns
from stages.evidence.items import items_by_text, refuse_other_items
from stages.evidence.metrics import Measured, measured
from stages.evidence.runs import Run
from stages.evidence.settings import Compare, Compared
from stages.evidence.table import OVERALL, evidence_table
from stages.measures import association


@dataclass(frozen=True)
class Cell:
    """A model's variant, and the parent it is compared with; a parent has none."""

    model: str
    variant: str
    run: Run
    parent: Run | None = None


@dataclass(frozen=True)
class Grid:
    """How to compare."""

    compare: Compare
    seed: int
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Raw options of each measure."""


def evidence(cells: Sequence[Cell], grid: Grid) -> pd.DataFrame:
    """Compare every cell with its parent over all datasets.

    Returns:
        One row a model, variant, dataset, category and metric, as ``stages.evidence.table`` describes.

    Raises:
        DataError: Records are missing, malformed or of other items than the parent's.
    """
    datasets = sorted({name for cell in cells for name in cell.run.measures})
    rows = [row for dataset in datasets for row in _dataset(dataset, cells, grid)]
    return evidence_table(rows)


def _dataset(dataset: str, cells: Sequence[Cell], grid: Grid) -> Iterator[Row]:
    """Rows of one dataset; categories outside and models inside, so that a category's resamples are drawn once."""
    cells = [cell for cell in cells if dataset in cell.run.measures]
    for cell in cells:
        _refuse_other_kind(dataset, cell)
    names = {cell.run.measures[dataset] for cell in cells}
    if len(names) > 1:
        raise DataError(f"is measured as {' and as '.join(sorted(names))}", where=dataset, fix="dvc repro score")
    [name] = names
    options: Any = parse(measures.get(name).Options, dict(grid.options.get(name, {})), f"measures.{name}")
    if name == "association":
        yield from _association(dataset, options, cells, grid)
        return
    rules: dict[str, Measured] = {cell.run.family: measured(name, options, cell.run.family) for cell in cells}
    loaded: dict[Run, pd.DataFrame] = {}
    for cell in cells:
        for run in (cell.run, cell.parent):
            if run is not None and run not in loaded:
                with _located(run, dataset):
                    loaded[run] = rules[run.family].items(run.records(dataset))
    for category in _categories(loaded.values(), rules, grid.compare):
        for cell in cells:
            yield from _items(dataset, category, cell, loaded, rules[cell.run.family], grid)


def _items(
    dataset: str, category: str, cell: Cell, loaded: Mapping[Run, pd.DataFrame], rule: Measured, grid: Grid
) -> Iterator[Row]:
    chosen = {run: items if category == OVERALL else items[items["category"] == category]
              for run, items in loaded.items() if run in (cell.run, cell.parent)}
    own = chosen[cell.run]
    usable = own[own["usable"].astype(bool)]
    for metric in rule.metrics:
        if not metric.weight(usable).sum():  # nothing to count: the measure leaves it out, too
            continue
        row: Row = {"model": cell.model, "variant": cell.variant, "dataset": dataset, "category": category,
                    "metric": metric.name, "kind": metric.kind, "headline": metric is rule.metrics[0]}
        row |= level(metric, usable, grid.compare, grid.seed, dataset, category)
        if cell.parent is not None:
            with _located(cell.run, dataset):
                row |= change(metric, chosen[cell.parent], own, grid.compare, grid.seed, dataset, category)
        yield row


def _association(dataset: str, options: association.Options, cells: Sequence[Cell], grid: Grid) -> Iterator[Row]:
    """Rows of SEAT: of each category the mean absolute effect size, and the effect size of each test."""
    compare = grid.compare
    known: dict[Run, tuple[pd.DataFrame, dict[str, Resampled]]] = {}

    def of(run: Run) -> tuple[pd.DataFrame, dict[str, Resampled]]:
        with _located(run, dataset):
            records, vectors = run.records(dataset), run.vectors(dataset)
            return records, {
                category: resample(tests, vectors, resamples=compare.resamples, seed=grid.seed, ddof=options.ddof)
                for category, tests in seat_tests(records).items() if category in compare.categories
            }

    for cell in cells:
        parent = cell.parent or cell.run
        if parent not in known:
            known[parent] = of(parent)
        records, child = known[parent] if cell.parent is None else of(cell.run)
        with _located(cell.run, dataset):
            refuse_other_items(items_by_text(known[parent][0]), items_by_text(records))
        for category, found in child.items():
            tests = seat_tests(records)[category]
            for each in compare_association(tests, known[parent][1][category], found,
                                            confidence=compare.confidence, seed=grid.seed):
                yield _association_row(dataset, category, cell, each, compare)


def _association_row(dataset: str, category: str, cell: Cell, found: AssociationChange, compare: Compare) -> Row:
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


@contextmanager
def _located(run: Run, dataset: str) -> Iterator[None]:
    """Name the records file in errors that do not."""
    try:
        yield
    except DataError as error:
        if str(run.folder) in str(error):
            raise
        path = run.folder / f"{dataset}.parquet"
        raise DataError(error.what, where=path if error.where is None else f"{path}: {error.where}",
                        fix=error.fix) from error


def _refuse_other_kind(dataset: str, cell: Cell) -> None:
    if cell.parent is None:
        return
    if dataset not in cell.parent.measures:
        raise DataError(f"lacks the dataset {dataset}, which {cell.run.folder} has", where=cell.parent.folder)
    if cell.parent.family != cell.run.family:
        raise DataError(f"is a {cell.run.family} model and its parent a {cell.parent.family} one: "
                        "their scores do not compare", where=cell.run.folder)


def _categories(tables: Any, rules: Mapping[str, Measured], compare: Compare) -> list[str]:
    present = {str(name) for items in tables for name in items["category"].unique()}
    if all(rule.pooled for rule in rules.values()):
        return [*(name for name in compare.categories if name in present), OVERALL]
    return sorted(present)
