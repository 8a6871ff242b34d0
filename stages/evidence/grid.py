"""The whole grid: every model and variant, dataset, category and metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from stages import measures
from stages.common.errors import DataError
from stages.common.params import Family, parse
from stages.evidence.asked import Asked, Row, ask
from stages.evidence.association_rows import association_rows
from stages.evidence.change import answer
from stages.evidence.entropy import bins_table, entropy_bins
from stages.evidence.metrics import Measured, measured
from stages.evidence.runs import Run, located
from stages.evidence.settings import Compare
from stages.evidence.table import OVERALL, evidence_table


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


class Evidence(NamedTuple):
    """What a grid of comparisons gives."""

    table: pd.DataFrame
    """One row a model, variant, dataset, category and metric (``stages.evidence.table``)."""
    bins: pd.DataFrame
    """Flips by the parent's entropy, a row a model, variant, dataset and bin (``stages.evidence.entropy``)."""


def evidence(cells: Sequence[Cell], grid: Grid) -> Evidence:
    """Compare every cell with its parent over all datasets.

    Raises:
        DataError: Records are missing, malformed or of other items than the parent's.
    """
    rows: list[Row] = []
    bins: list[Row] = []
    for dataset in sorted({name for cell in cells for name in cell.run.measures}):
        chosen = [cell for cell in cells if dataset in cell.run.measures]
        measure, options = _measure(dataset, chosen, grid)
        if measure == "association":
            rows += association_rows(dataset, options.ddof, chosen, grid.compare, grid.seed)
        else:
            rules = {cell.run.family: measured(measure, options, cell.run.family) for cell in chosen}
            rows += _item_rows(dataset, rules, chosen, grid, bins)
    return Evidence(evidence_table(rows), bins_table(bins))


def _measure(dataset: str, cells: Sequence[Cell], grid: Grid) -> tuple[str, Any]:
    """The measure of a dataset, the same for all models, and its options."""
    for cell in cells:
        _refuse_other_kind(dataset, cell)
    names = {cell.run.measures[dataset] for cell in cells}
    if len(names) > 1:
        raise DataError(f"is measured as {' and as '.join(sorted(names))}", where=dataset, fix="dvc repro score")
    [name] = names
    return name, parse(measures.get(name).Options, dict(grid.options.get(name, {})), f"measures.{name}")


def _item_rows(
    dataset: str, rules: Mapping[Family, Measured], cells: Sequence[Cell], grid: Grid, bins: list[Row]
) -> Iterator[Row]:
    """Rows of one dataset of items; its bins are added to ``bins``.

    Models are read one after the other, and only what must be resampled of them is kept; then each category's
    clusters are drawn, once for all of them.
    """
    parents = {cell.parent for cell in cells}
    kept: dict[Run, pd.DataFrame] = {}

    def items(run: Run) -> pd.DataFrame:
        if run in kept:
            return kept[run]
        with located(run, dataset):
            found = rules[run.family].items(run.records(dataset))
        if run in parents:
            kept[run] = found
        return found

    waiting: dict[str, list[tuple[Row, Asked]]] = {}
    for cell in cells:
        rule, own = rules[cell.run.family], items(cell.run)
        parent = None if cell.parent is None else items(cell.parent)
        names: Row = {"model": cell.model, "variant": cell.variant, "dataset": dataset}
        with located(cell.run, dataset):
            for category, chosen, before in _categories(own, parent, rule, grid.compare):
                for asked in ask(rule.metrics, chosen, before, dataset, category):
                    metric = asked.metric
                    row: Row = {**names, "category": category, "metric": metric.name, "kind": metric.kind,
                                "headline": metric is rule.metrics[0]}
                    waiting.setdefault(category, []).append((row, asked))
            if parent is not None and rule.metrics[0].preference:
                bins += entropy_bins(rule.metrics[0], parent, own, grid.compare.entropy_bins, names)
    for category, rows in sorted(waiting.items()):
        found = answer([asked for _, asked in rows], grid.compare, grid.seed, dataset, category)
        yield from (row | columns for (row, _), columns in zip(rows, found, strict=True))


def _categories(
    own: pd.DataFrame, parent: pd.DataFrame | None, rule: Measured, compare: Compare
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame | None]]:
    """A model's items and its parent's, by category; of measures that pool, also all of them together."""
    for name in sorted(own["category"].unique()):
        if not rule.pooled or name in compare.categories:
            yield name, own[own["category"] == name], None if parent is None else parent[parent["category"] == name]
    if rule.pooled:
        yield OVERALL, own, parent


def _refuse_other_kind(dataset: str, cell: Cell) -> None:
    if cell.parent is None:
        return
    if dataset not in cell.parent.measures:
        raise DataError(f"lacks the dataset {dataset}, which {cell.run.folder} has", where=cell.parent.folder)
    if cell.parent.family != cell.run.family:
        raise DataError(f"is a {cell.run.family} model and its parent a {cell.parent.family} one: "
                        "their scores do not compare", where=cell.run.folder)
