"""Running many cells in processes of one thread each; the results do not depend on how many."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from stages.calibrating.cache import CACHE, key_of
from stages.calibrating.cell import Cell, run_cell
from stages.lab.result import CellResult, read_result, write_result


def run_cells(cells: Sequence[Cell], workers: int = 1, cache: Path = CACHE) -> list[CellResult]:
    """Results of cells, in their order; those computed before are read from the cache.

    Args:
        cells: What to compute.
        workers: Processes; with 1 it runs in this one.
        cache: Folder of results, a subfolder each; safe to delete.

    Raises:
        ProjectError: Of a cell; it is named. Cells done by then are in the cache.
    """
    places = [cache / key_of(cell) for cell in cells]
    missing = {place: cell for place, cell in zip(places, cells, strict=True) if not place.is_dir()}
    # The longest first, so that no process is left alone with one at the end.
    order = sorted(missing, key=lambda place: (-_cost(missing[place]), missing[place].name))
    for number, cell in enumerate(_computed(missing, order, workers), 1):
        print(f"calibrating: {cell.name}, {number} of {len(missing)}", file=sys.stderr, flush=True)
    return [read_result(place) for place in places]


def _computed(missing: dict[Path, Cell], order: Sequence[Path], workers: int) -> Iterator[Cell]:
    """Compute cells into their places, giving each when it is done."""
    if workers == 1 or len(missing) < 2:
        for place in order:
            _compute(missing[place], place)
            yield missing[place]
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures: dict[Future[None], Cell] = {pool.submit(_compute, missing[place], place): missing[place]
                                             for place in order}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _compute(cell: Cell, place: Path) -> None:
    write_result(place, run_cell(cell))


def _cost(cell: Cell) -> int:
    return cell.model.training.steps * cell.model.training.batch_size
