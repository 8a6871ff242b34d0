"""Compare compressed models with their parents on the same items, over the whole grid.

In the pipeline:   python -m stages.compare --params params.yaml
On any records:    python -m stages.compare PARENT CHILD [--params params.yaml] [--json]

PARENT and CHILD are records folders that ``stages.score`` wrote. ``metrics/<suite>/summary.json`` has the
numbers to watch (``dvc metrics diff``), ``data/evidence/<suite>.parquet`` all of them, and
``data/evidence/<suite>.bins.parquet`` where preferences flipped, by the parent's entropy.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from stages.common.errors import DataError, ParamsError, run
from stages.common.metrics_file import dumps, write_metrics
from stages.common.params import Params, load_params
from stages.common.records import arrow_schema, write_table
from stages.evidence.curves import measured_anew, read_metrics
from stages.evidence.entropy import BIN_COLUMNS
from stages.evidence.floors import read_floors, with_floors
from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.level import with_bias
from stages.evidence.runs import open_run
from stages.evidence.settings import Compare, compare_of
from stages.evidence.summary import summary
from stages.evidence.table import COLUMNS, rounded
from stages.evidence.training_noise import checkpoint_noise, with_noise, with_seed_noise
from stages.evidence.verdict import with_verdicts


def compare_suite(params_file: str) -> None:
    """Write a suite's evidence table and its summary.

    Raises:
        ParamsError: The params file has a mistake.
        DataError: Records are missing, malformed, or not of the same items in parent and child; or
            the metrics of a model are not those of its records.
    """
    params = load_params(params_file)
    compare = compare_of(params)
    cells, grid = _cells(params, compare.baseline), Grid(compare, params.seed, params.measures)
    table, bins = evidence(cells, grid)
    unknown = sorted(set(compare.categories) - set(table["category"]))
    if unknown:
        raise ParamsError(f"no dataset has the category {unknown[0]!r}", where=f"{params_file}: compare.categories")
    metrics = Path("metrics", params.suite)
    _refuse_other_metrics(table, params.suite)
    floors = pd.concat([read_floors(Path("data", "floors", params.suite), model) for model in params.models])
    table = with_bias(with_floors(table, floors, compare.confidence), cells, grid)
    if "seeds" in compare.verdict.noise:
        table = with_seed_noise(table, floors)
    if "checkpoints" in compare.verdict.noise:
        table = with_noise(table, {model: _noise(params.suite, model, compare) for model in params.models})
    table = rounded(with_verdicts(table, compare))
    _write(Path("data", "evidence", f"{params.suite}.parquet"), table, COLUMNS)
    _write(Path("data", "evidence", f"{params.suite}.bins.parquet"), bins, BIN_COLUMNS)
    write_metrics(metrics / "summary.json", summary(table, bins))


def compare_folders(parent: Path, child: Path, params_file: str | None = None) -> pd.DataFrame:
    """Compare the records of any two models that were scored on the same data.

    Args:
        parent: Records folder.
        child: Records folder.
        params_file: Where to take ``compare``, ``measures`` and ``seed`` from; defaults if left out.

    Returns:
        The evidence table of the child, under its folder's name. Its verdicts know no noise of training.
    """
    grid = Grid(Compare(), seed=0)
    if params_file is not None:
        params = load_params(params_file)
        grid = Grid(compare_of(params), params.seed, params.measures)
    table = evidence([Cell(parent.name, child.name, open_run(child), open_run(parent))], grid).table
    return with_verdicts(table, grid.compare)


def _noise(suite: str, model: str, compare: Compare) -> pd.DataFrame:
    """How far adjacent checkpoints of a model's baseline differ."""
    rows = read_metrics(suite, "trajectories", model, compare.baseline)
    return checkpoint_noise(rows, compare.confidence, compare.verdict.noise_from)


def _write(path: Path, table: pd.DataFrame, columns: dict[str, str]) -> None:
    write_table(path, pa.Table.from_pandas(table, schema=arrow_schema(columns), preserve_index=False))


def _cells(params: Params, baseline: str) -> list[Cell]:
    """Every model with every variant applied to it, the baseline first: it is the parent of the others.

    The baseline of a model with a ``teacher`` has the teacher's baseline for its parent.
    """
    root = Path("data", "records", params.suite)
    parents = {model: open_run(root / model / baseline) for model in params.models}
    cells = []
    for model, spec in params.models.items():
        teacher = getattr(spec, "teacher", None)
        cells.append(Cell(model, baseline, parents[model], parents[teacher] if teacher is not None else None))
        cells += [Cell(model, variant, open_run(root / model / variant), parents[model])
                  for variant in params.variants if variant != baseline and params.applies(model, variant)]
    return cells


def _refuse_other_metrics(table: pd.DataFrame, suite: str) -> None:
    """Check that every value is the one that the measure stage printed."""
    for (model, variant), rows in table.groupby(["model", "variant"]):
        printed = read_metrics(suite, "models", str(model), str(variant))
        for row in rows.to_dict("records"):
            categories = printed.get(row["dataset"], {})
            numbers = categories.get(row["category"], {})
            expected = numbers.get("score_unrounded" if row["metric"] == "score" else row["metric"])
            if expected is None or not math.isclose(row["value"], expected, rel_tol=1e-6, abs_tol=2e-6):
                raise DataError(
                    f"{row['dataset']} {row['category']}: {row['metric']} is {row['value']} from the records, and "
                    f"{expected} here", where=Path("metrics", suite, "models", str(model), f"{variant}.json"),
                    fix=measured_anew(str(model), str(variant)))


def _text(table: pd.DataFrame) -> str:
    """The bias rows of one comparison as aligned text."""
    lines = [f"{'dataset':<16}{'category':<22}{'metric':<17}{'parent':>9}{'child':>9}{'change':>9}  interval"
             f"{'p adjusted':>24}{'flips':>12}  verdict"]
    for row in table[table["category"].ne("") & table["change"].notna()].to_dict("records"):
        flips = "" if pd.isna(row["flips_more"]) else f"+{row['flips_more']:.0f} -{row['flips_less']:.0f}"
        bounds = f"[{row['change_low']:.3f}, {row['change_high']:.3f}]"
        lines.append(f"{row['dataset']:<16}{row['category']:<22.21}{row['metric']:<17}{row['parent']:>9.3f}"
                     f"{row['value']:>9.3f}{row['change']:>+9.3f}  {bounds:<20}{row['p_adjusted']:>12.4f}{flips:>12}"
                     f"  {row['verdict'] or ''}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(prog="python -m stages.compare", description="Compare models with their parents.")
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="records folders of PARENT and CHILD")
    parser.add_argument("--params", help="params file of a suite")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table (with PARENT and CHILD)")
    given = parser.parse_args(arguments)
    if len(given.folders) == 2:
        parent, child = given.folders
        table = compare_folders(parent, child, given.params)
        print(dumps(_as_rows(table)), end="") if given.json else print(_text(table))
    elif not given.folders and given.params and not given.json:
        compare_suite(given.params)
    else:
        parser.error("give --params, or the records folders of PARENT and CHILD")
    return 0


def _as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items() if not pd.isna(value)}
            for row in table.to_dict("records")]


if __name__ == "__main__":
    run(main)
