"""The benchmarks' metrics, from stored records alone: no model, no torch.

``python -m stages.measure --params params.yaml --model M --variant V`` is a stage of the pipeline;
``python -m stages.measure DIR [--json]`` prints the metrics of the records in a folder that
``stages.score`` wrote, of every checkpoint if there are several; ``python -m stages.measure
stereoset --gold GOLD.json --predictions PREDICTIONS.json [--json]`` scores upstream's prediction files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages import measures
from stages.common.errors import DataError, run
from stages.common.metrics_file import Leaf, clean, dumps, flatten, write_metrics, write_rows
from stages.common.params import load_params, parse
from stages.common.records import read_records, read_vectors
from stages.measures._run import Run, read_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a cell's metrics, or print those of a folder of records or of a prediction file."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["stereoset"]:
        _predictions(words[1:])
        return 0
    parser = argparse.ArgumentParser(prog="python -m stages.measure", description="Metrics from stored records.")
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="records folder of stages.score; or:")
    parser.add_argument("--params", help="params file of a suite (with --model and --variant)")
    parser.add_argument("--model", help="slug of the model in the params file")
    parser.add_argument("--variant", help="slug of the variant in the params file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table (with DIR)")
    given = parser.parse_args(words)
    suite = (given.params, given.model, given.variant)
    if given.folder and not any(suite):
        _print(measure_folder(given.folder), given.json)
    elif all(suite) and not given.folder and not given.json:
        measure_suite(*suite)
    else:
        parser.error("give --params, --model and --variant; or DIR; or stereoset, --gold and --predictions")
    return 0


def measure_suite(params_file: str, model: str, variant: str) -> None:
    """Write the metrics of a model and variant of a suite: of its last checkpoint, and of all as flat rows.

    Raises:
        ParamsError: The params file does not know the model or variant.
        DataError: Records are missing or broken.
    """
    params = load_params(params_file)
    params.cell(model, variant)
    folder, metrics_folder = Path("data/records", params.suite, model, variant), Path("metrics", params.suite)
    final, trajectory = (metrics_folder / kind / model / f"{variant}.json" for kind in ("models", "trajectories"))
    run_of = read_run(folder)
    found = {name: _checkpoint_metrics(run_of, name, params.measures) for name in run_of.in_order}
    rows: list[dict[str, Leaf]] = [
        {"model": model, "variant": variant, "checkpoint": name, "fraction": run_of.checkpoints[name].fraction, **row}
        for name, metrics in found.items()
        for row in _rows(metrics)
    ]
    write_rows(trajectory, rows)
    last = {**found[run_of.in_order[-1]], "model": {"family": run_of.family, **run_of.model}}
    write_metrics(final, last)


def measure_folder(folder: Path) -> dict[str, Any]:
    """Metrics of a records folder with the measures' default settings.

    Returns:
        ``{dataset: {category: {metric: number}}}`` and ``model``; of several checkpoints, this by checkpoint.

    Raises:
        DataError: Records are missing or broken.
    """
    run_of = read_run(folder)
    about = {"family": run_of.family, **run_of.model}
    found = {name: {**_checkpoint_metrics(run_of, name, {}), "model": about} for name in run_of.in_order}
    return found if len(found) > 1 else found[run_of.in_order[0]]


def _checkpoint_metrics(run_of: Run, checkpoint: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {}
    for slug, dataset in sorted(run_of.datasets.items()):
        path = run_of.folder / checkpoint / f"{slug}.parquet"
        vectors = path.with_name(f"{slug}.vectors.parquet")
        module = measures.get(dataset.measure)
        options = parse(module.Options, settings.get(dataset.measure, {}), f"measures.{dataset.measure}")
        records = read_records(path)
        embeddings = read_vectors(vectors) if vectors.is_file() else None
        try:
            metrics[slug] = module.measure(records, options, embeddings, family=run_of.family)
        except DataError as error:
            place = path if error.where is None else f"{path}: {error.where}"
            raise DataError(error.what, where=place, fix=error.fix) from error
    return metrics


def _rows(metrics: Mapping[str, Any]) -> list[dict[str, Leaf]]:
    """Numbers of one checkpoint as flat rows, sorted."""
    return [
        {"dataset": dataset, "category": category, "metric": metric, "value": value}
        for dataset, categories in sorted(metrics.items())
        for category, numbers in sorted(categories.items())
        for metric, value in sorted(flatten(numbers).items())
        if not isinstance(value, str)
    ]


def _predictions(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.measure stereoset", description="Score a StereoSet predictions file as upstream does."
    )
    parser.add_argument("--gold", type=Path, required=True, help="StereoSet's data file")
    parser.add_argument("--predictions", type=Path, required=True, help="scores of its sentences, by sentence id")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args(words)

    from stages.measures._stereoset_predictions import score_predictions

    _print(score_predictions(given.gold, given.predictions), given.json)


def _print(metrics: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(dumps(metrics), end="")
        return
    leaves = flatten(clean(metrics))
    width = max(map(len, leaves))
    for name, value in leaves.items():
        print(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    run(main)
