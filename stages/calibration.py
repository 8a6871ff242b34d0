"""Calibrate every measure on planted worlds: what it says beside what is true, and what compression did to that."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from stages.common.errors import run
from stages.common.files import write_text
from stages.common.metrics_file import write_metrics
from stages.common.params import Params, load_params
from stages.common.records import write_table
from stages.evidence.calibration_rows import CellRecords, tables
from stages.evidence.calibration_summary import Grid, summarise
from stages.evidence.settings import compare_of
from stages.lab.calibration import Calibration, grid_of
from stages.lab.result import read_result
from stages.reporting.calibration import draw_calibration
from stages.reporting.calibration_tables import calibration_text


def main() -> None:
    """Command line: ``python -m stages.calibration --params P --grid G``."""
    parser = argparse.ArgumentParser(prog="python -m stages.calibration", description=__doc__)
    parser.add_argument("--params", required=True, help="params file of the suite")
    parser.add_argument("--grid", required=True, help="slug of the calibration grid in it")
    arguments = parser.parse_args()
    for path in analyse(load_params(arguments.params), arguments.grid):
        print(f"wrote {path}")


def analyse(params: Params, slug: str) -> list[Path]:
    """Write a grid's numbers, text and figure to ``metrics/<suite>/calibration``, and its rows to ``data/evidence``.

    Returns:
        The files written.

    Raises:
        ParamsError: No such grid.
        DataError: Records are missing or not whole.
    """
    grid, compare = grid_of(params, slug), compare_of(params)
    found = tables(_cells(params, slug, grid), grid.baseline, params.measures, resamples=grid.resamples,
                   confidence=compare.confidence, seed=params.seed)
    summary = summarise(found, Grid(grid.baseline, grid.twins, grid.resamples, compare.confidence, params.seed))
    folder = Path("metrics", params.suite, "calibration")
    rows = Path("data/evidence/calibration", params.suite, f"{slug}.parquet")
    write_table(rows, pa.Table.from_pandas(found.levels, preserve_index=False))
    write_metrics(folder / f"{slug}.json", summary)
    write_text(folder / f"{slug}.md", calibration_text(summary, slug, worlds=len(grid.worlds), models=len(grid.cells)))
    draw_calibration(found.levels, summary, folder / f"{slug}.svg", learners=list(grid.learners),
                     variants=list(dict.fromkeys([grid.baseline, *grid.variants])), baseline=grid.baseline)
    return [rows, *(folder / f"{slug}.{kind}" for kind in ("json", "md", "svg"))]


def _cells(params: Params, slug: str, grid: Calibration) -> Iterator[CellRecords]:
    folder = Path("data/calibration", params.suite, slug)
    for spec in grid.cells:
        yield CellRecords(spec, grid.worlds[spec.world], grid.learners[spec.learner].model.family,
                          read_result(folder / spec.name))


if __name__ == "__main__":
    run(main)
