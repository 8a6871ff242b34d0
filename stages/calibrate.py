"""Train tiny models on planted worlds, compress them and score them: what the measures are calibrated on."""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.calibrating.cell import Cell
from stages.calibrating.pool import run_cells
from stages.common.errors import run
from stages.common.files import atomic_folder
from stages.common.params import Params, load_params
from stages.lab.calibration import grid_of
from stages.lab.result import write_result


def main() -> None:
    """Command line: ``python -m stages.calibrate --params P --grid G``."""
    parser = argparse.ArgumentParser(prog="python -m stages.calibrate", description=__doc__)
    parser.add_argument("--params", required=True, help="params file of the suite")
    parser.add_argument("--grid", required=True, help="slug of the calibration grid in it")
    arguments = parser.parse_args()
    print(f"wrote {calibrate(load_params(arguments.params), arguments.grid)}")


def calibrate(params: Params, grid: str) -> Path:
    """Write the records of every cell of a grid to ``data/calibration/<suite>/<grid>/<cell>``.

    Returns:
        The grid's folder, put in place whole.

    Raises:
        ParamsError: No such grid, or settings that a model or method does not have.
        ProjectError: A model that cannot be trained, compressed or scored; its cell is named.
    """
    settings = grid_of(params, grid)
    specs = settings.cells
    cells = [
        Cell(spec.name, settings.worlds[spec.world], settings.learners[spec.learner].model, spec.seed,
             settings.recipes(spec.learner), params.scoring.token_budget)
        for spec in specs
    ]
    target = Path("data/calibration", params.suite, grid)
    with atomic_folder(target) as folder:
        for spec, result in zip(specs, run_cells(cells, settings.workers), strict=True):
            write_result(folder / spec.name, result)
    return target


if __name__ == "__main__":
    run(main)
