"""Read a dataset's upstream files into one tidy table and hold it to its Great Expectations.

``python -m stages.validate --params params.yaml --dataset stereoset_dev`` is a stage of the pipeline;
``python -m stages.validate --benchmark seat --folder path/to/files`` checks any folder and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from stages import benchmarks
from stages.common.errors import DataError, run
from stages.common.files import write_text
from stages.common.metrics_file import write_metrics
from stages.common.params import choose, load_params
from stages.common.records import write_table
from stages.validation import report
from stages.validation.runner import Finding, run_checks

PROVENANCE = "provenance.json"


def main() -> int:
    """Validate one dataset; 0 if every expectation holds, 1 if not."""
    arguments = _parse()
    if arguments.benchmark:
        folder = Path(arguments.folder)
        facts = _facts(folder) if (folder / PROVENANCE).is_file() else {}
        return 0 if _check(arguments.benchmark, folder, facts, None) else 1
    params = load_params(arguments.params)
    dataset = choose(params.datasets, arguments.dataset, "dataset")
    folder = Path("data/raw", params.suite, arguments.dataset)
    clean = Path("data/clean", params.suite, f"{arguments.dataset}.parquet")
    clean.unlink(missing_ok=True)  # a table that was not checked must not be taken for one that was
    full_report = Path("build/validation", f"{params.suite}-{arguments.dataset}.json")
    checked = _check(dataset.benchmark, folder, _facts(folder), full_report)
    if checked is None:
        return 1
    table, findings = checked
    write_metrics(
        Path("metrics", params.suite, "validation", f"{arguments.dataset}.json"),
        report.metrics(dataset.benchmark, table, findings),
    )
    write_table(clean, pa.Table.from_pandas(table, preserve_index=False))
    return 0


def _check(
    name: str, folder: Path, facts: dict[str, Any], full_report: Path | None
) -> tuple[pd.DataFrame, list[Finding]] | None:
    """Read and check a folder; ``None`` after telling what failed."""
    benchmark = benchmarks.get(name)
    if not folder.is_dir():
        raise DataError("no such folder", where=folder, fix="run: dvc repro acquire")
    table = benchmark.read(folder, facts)
    findings = run_checks(table, benchmark.checks(table, facts))
    failed = report.failures(table, findings, _origin(benchmark, folder))
    if not failed:
        print(f"{folder}: all {len(findings)} expectations hold of {len(table)} rows")
        return table, findings
    print(report.to_text(failed), file=sys.stderr)
    print(f"error: {folder}: {len(failed)} of {len(findings)} expectations failed", file=sys.stderr)
    if full_report:
        write_text(full_report, report.to_json(failed))
        print(f"all rows: {full_report}", file=sys.stderr)
    return None


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / PROVENANCE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
    except FileNotFoundError as error:
        raise DataError("no such file", where=path, fix="run: dvc repro acquire") from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"no JSON object with 'facts': {error}", where=path, fix="run: dvc repro -f acquire") from error
    return dict(facts)


def _origin(benchmark: Any, folder: Path) -> Callable[[dict[str, Any]], str]:
    """How to name the place a row came from: the benchmark's own way, or the file if there is but one."""
    if hasattr(benchmark, "origin"):
        return lambda row: f"{folder}/{benchmark.origin(row)}"
    files = [path for path in folder.iterdir() if path.name != PROVENANCE]
    return lambda row: str(files[0] if len(files) == 1 else folder)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stages.validate", description="Check a dataset.")
    parser.add_argument("--params", help="params file of the suite")
    parser.add_argument("--dataset", help="slug of a dataset in it")
    parser.add_argument("--benchmark", help=f"in place of a params file: {', '.join(benchmarks.names())}")
    parser.add_argument("--folder", help="folder of the benchmark's upstream files")
    arguments = parser.parse_args()
    given = {name for name, value in vars(arguments).items() if value}
    if given not in ({"params", "dataset"}, {"benchmark", "folder"}):
        parser.error("give --params and --dataset, or --benchmark and --folder")
    return arguments


if __name__ == "__main__":
    run(main)
