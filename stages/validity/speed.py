"""How long the inference takes on one core: a benchmark of StereoSet's size, and a grid like suite ``mini``'s."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from stages.evidence.change import change
from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.resampling import bootstrap_draws
from stages.evidence.runs import open_run
from stages.evidence.settings import Compare
from stages.validity.coverage import bias_metrics
from stages.validity.designs import Design
from stages.validity.large_runs import items_of, write_large_run
from stages.validity.rows import Row

BOOTSTRAP, COMPARISON = 2.0, 60.0
"""Seconds."""
_ITEMS, _TARGETS, _TERMS = 6392, 79, 600
_MODELS, _VARIANTS = 4, 25
_CHILDREN = 2
"""Runs written for a model beside its parent; its variants read them in turn."""


def speed_rows(models: int = _MODELS, variants: int = _VARIANTS) -> list[Row]:
    """Seconds of 10,000 cluster bootstraps of a metric and its change, and of a whole comparison."""
    rows = [_bootstrap_row("macro", "stereotype_triples", _TARGETS), _bootstrap_row("micro", "pair_preference", _TERMS)]
    with TemporaryDirectory(prefix="validity-") as folder:
        cells = _suite(Path(folder), models, variants)
        seconds = _seconds(lambda: evidence(cells, Grid(Compare(), 0)))
    return [*rows, Row(f"seconds of a comparison of {models} models x {variants} variants", seconds, 0.0, COMPARISON)]


def _bootstrap_row(average: str, measure: Literal["pair_preference", "stereotype_triples"], clusters: int) -> Row:
    sizes = tuple(int(size) for size in np.bincount(items_of((_ITEMS, clusters))))
    design = Design(average, measure, sizes, 0.5)
    metric, _ = bias_metrics(design)
    parent, child = design.draw(np.random.default_rng(0), 0.0)
    bootstrap_draws.cache_clear()
    seconds = _seconds(lambda: change(metric, parent, child, Compare(resamples=10_000), 0, "speed"))
    name = f"seconds of 10,000 bootstraps, {_ITEMS} items in {clusters} clusters ({average})"
    return Row(name, seconds, 0.0, BOOTSTRAP)


def _suite(folder: Path, models: int, variants: int) -> list[Cell]:
    """A grid of runs on disk, a parent and its variants for every model."""
    cells = []
    for model in range(models):
        places = [folder / f"{model}-{number}" for number in range(1 + _CHILDREN)]
        for number, place in enumerate(places):
            write_large_run(place, 100 * model + number)
        parent = open_run(places[0])
        cells.append(Cell(f"{model}", "parent", parent))
        cells += [Cell(f"{model}", f"{number:02d}", open_run(places[1 + number % _CHILDREN]), parent)
                  for number in range(variants - 1)]
    return cells


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
