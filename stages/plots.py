"""Gather what ``dvc plots`` draws of a whole suite: bias over training, and every variant's change.

DVC's plots take a file each; one for every cell would not show a variant beside its parent. So
``metrics/<suite>/plots/trajectories.json`` has the headline metrics of all cells over training, and
``metrics/<suite>/plots/changes.json`` the changes of the summary with their intervals.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.common.errors import DataError, run
from stages.common.metrics_file import Leaf, write_rows
from stages.common.params import Params, load_params

HEADLINES = ("score", "ss", "lm", "mean_abs_effect", "perplexity")
CATEGORIES = ("gender", "race", "religion", "overall", "valid", "test")
"""What is drawn of each data set: the groups of the paper, the pooled value, a corpus' splits."""


def main(argv: list[str] | None = None) -> None:
    """Write both files of a suite."""
    parser = argparse.ArgumentParser(prog="python -m stages.plots", description=__doc__.partition("\n")[0])
    parser.add_argument("--params", required=True, help="params file of the suite")
    params = load_params(parser.parse_args(argv).params)
    folder = Path("metrics", params.suite)
    write_rows(folder / "plots" / "trajectories.json", trajectories(params, folder / "trajectories"))
    write_rows(folder / "plots" / "changes.json", changes(_read(folder / "summary.json")))


def trajectories(params: Params, folder: Path) -> list[dict[str, Leaf]]:
    """Rows of the headline metrics of every model and variant, in the order of params.

    Raises:
        DataError: A cell's file is missing.
    """
    return [
        row
        for model, variant in params.cells
        for row in _read(folder / model / f"{variant}.json")
        if row["metric"] in HEADLINES and row["category"] in CATEGORIES
    ]


def changes(summary: Mapping[str, Any]) -> list[dict[str, Leaf]]:
    """One row for every cell of a summary that was compared with a parent.

    ``low`` and ``high``, the interval's ends, are left out where there is no interval.
    """
    rows: list[dict[str, Leaf]] = []
    for model, variants in sorted(summary.items()):
        for variant, datasets in sorted(variants.items()):
            for dataset, categories in sorted(datasets.items()):
                for category, cell in sorted(categories.items()):
                    found = {name: cell[leaf] for leaf, name in _LEAVES.items() if leaf in cell}
                    if "change" in found:
                        where = {"model": model, "variant": variant, "dataset": dataset, "category": category}
                        rows.append({**where, **found})
    return rows


_LEAVES = {"change": "change", "change_low": "low", "change_high": "high"}


def _read(path: Path) -> Any:
    if not path.is_file():
        raise DataError("no such file", where=path, fix="run the stage that writes it: dvc repro")
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)
