"""Project tracked metrics into MLflow: one run a model and variant, logged once, however often this runs.

Usage: ``python -m stages.track [--suite NAME ...]``. The store is ``sqlite:///mlflow.db``, or
``MLFLOW_TRACKING_URI``. Never an input of a stage.
"""

from __future__ import annotations

import argparse
import logging
import os
import warnings
from pathlib import Path

from filelock import FileLock

from stages.common.errors import DataError, run
from stages.tracking.cells import Cell, read_cells
from stages.tracking.git import git_tags
from stages.tracking.server import DEFAULT_DATABASE, TrackingError, prepare, shown
from stages.tracking.suites import Suite, choose_suites, read_locks

FIGURES = ("*.png", "*.svg")


def main(argv: list[str] | None = None) -> int:
    """Log what is new; print one line a run."""
    parser = argparse.ArgumentParser(prog="python -m stages.track", description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", action="append", default=[], help="only this suite (may be repeated)")
    chosen = parser.parse_args(argv).suite
    root = Path()
    cells = _collect(root, chosen)
    # Absolute, since MLflow keeps the stores it has opened by their address.
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(root / DEFAULT_DATABASE).resolve()}"
    with FileLock(root / f"{DEFAULT_DATABASE}.lock"):
        prepare(uri)
        _project(root, uri, cells)
    return 0


def _collect(root: Path, chosen: list[str]) -> dict[Suite, list[Cell]]:
    cells = {}
    for suite in choose_suites(root, chosen):
        found = read_cells(root, suite)
        if found is not None:
            cells[suite] = found
        elif chosen:
            raise DataError(f"suite {suite.name} has no metrics", where=suite.params_file, fix=f"run {suite.command}")
        else:
            print(f"skipped        {suite.name}: no metrics yet (run {suite.command})")
    if not cells:
        raise DataError("no suite has metrics", fix="run dvc repro")
    return cells


def _project(root: Path, uri: str, cells: dict[Suite, list[Cell]]) -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of MLflow's own dependencies
    from mlflow.exceptions import MlflowException

    from stages.tracking.runs import EXPERIMENT, Runs

    logging.getLogger("alembic").setLevel(logging.WARNING)
    repository = git_tags(root)
    try:
        for suite, group in cells.items():
            runs = Runs(uri, {**repository, "dvc.lock": read_locks([root / path for path in suite.locks(root)]).md5})
            figures = sorted(p for pattern in FIGURES for p in (root / "metrics" / group[0].suite).rglob(pattern))
            for cell in group:
                print(f"{'logged' if runs.project(cell, figures) else 'already there':<14} {cell.name}", flush=True)
    except MlflowException as error:
        raise TrackingError(f"MLflow refuses: {error.message.splitlines()[0]}", where=shown(uri)) from error
    print(f"experiment {EXPERIMENT} in {shown(uri)}")


if __name__ == "__main__":
    run(main)
