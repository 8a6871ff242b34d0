"""Write a suite's results for readers: tables in Markdown and figures in SVG.

Usage: ``python -m stages.report --params params.yaml``. Reads the evidence table, the contrast table and the
trajectories; the same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from stages.common.errors import run
from stages.common.files import atomic_folder, write_text
from stages.common.params import load_params
from stages.common.records import read_table
from stages.evidence.contrast import COLUMNS as CONTRAST_COLUMNS
from stages.evidence.curves import read_curves
from stages.evidence.entropy import BIN_COLUMNS
from stages.evidence.settings import compare_of
from stages.evidence.table import COLUMNS
from stages.reporting.families import family
from stages.reporting.text import report_text
from stages.reporting.view import Order, View


def report_suite(params_file: str) -> None:
    """Write ``metrics/<suite>/report.md`` and the figures beside it.

    Raises:
        ParamsError: The params file has a mistake.
        DataError: The evidence table, the contrast table or a trajectory is missing or malformed.
    """
    params = load_params(params_file)
    compare = compare_of(params)
    order = Order(
        list(params.models), list(params.variants), compare.baseline, compare.categories, 1 - compare.confidence,
        {name: family(variant.steps) for name, variant in params.variants.items()},
    )
    view = View(
        read_table(Path("data", "evidence", f"{params.suite}.parquet"), list(COLUMNS)),
        read_table(Path("data", "contrast", f"{params.suite}.parquet"), list(CONTRAST_COLUMNS)),
        read_table(Path("data", "evidence", f"{params.suite}.bins.parquet"), list(BIN_COLUMNS)), order,
    )
    curves = read_curves(params.suite, params.cells)

    # Matplotlib takes its time to import; mistakes in names are reported before that.
    from stages.reporting.figures import draw_figures

    target = Path("metrics", params.suite)
    datasets = view.bias_datasets(list(params.datasets))
    with atomic_folder(target / "figures") as folder:
        figures = draw_figures(view, curves, folder, datasets, compare.confidence)
    write_text(target / "report.md", report_text(view, params.suite, datasets, figures, compare))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and report."""
    parser = argparse.ArgumentParser(prog="python -m stages.report", description="Tables and figures of a suite.")
    parser.add_argument("--params", required=True, help="params file of the suite")
    report_suite(parser.parse_args(arguments).params)
    return 0


if __name__ == "__main__":
    run(main)
