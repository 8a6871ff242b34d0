"""Is it bias, or is it damage? Compressed models against uncompressed ones of the same quality, for a whole suite.

Usage: ``python -m stages.contrast --params params.yaml``. From the records, the metrics over training and the
evidence table it writes ``data/contrast/<suite>.parquet`` (``stages.evidence.contrast`` has its columns) and
``metrics/<suite>/contrast.json``, its headline numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from stages import compression
from stages.common.errors import DataError, run
from stages.common.metrics_file import write_metrics
from stages.common.params import Params, load_params
from stages.common.records import read_table, write_table
from stages.evidence.agreement import Settings, agreement_rows
from stages.evidence.contrast import COLUMNS as CONTRAST_COLUMNS
from stages.evidence.contrast import Row, contrast_table
from stages.evidence.contrast_grid import How, contrast_rows
from stages.evidence.contrast_runs import ModelRuns, open_checkpoints
from stages.evidence.runs import open_run
from stages.evidence.settings import compare_of, contrast_of
from stages.evidence.table import COLUMNS, OVERALL
from stages.evidence.trends import trend_rows
from stages.evidence.trends_best import FULL, INT8, best_in_training

HEADLINES = ("score", "ss", "mean_abs_effect")
GRADED = "log_odds"
_COUNTS = ("seeds", "cells", "runs")
_ARROW = {"string": pa.string(), "float64": pa.float64()}


def contrast_suite(params_file: str) -> None:
    """Write a suite's contrasts.

    Raises:
        ParamsError: The params file has a mistake.
        DataError: Records, metrics or the evidence table are missing or malformed, or records are not of the
            same items in all runs of a model.
    """
    params = load_params(params_file)
    compare = compare_of(params)
    evidence = read_table(Path("data", "evidence", f"{params.suite}.parquet"), list(COLUMNS))
    settings = Settings(contrast_of(params).resamples, compare.confidence, params.seed)
    table = contrast_table([
        *_contrasts(params), *agreement_rows(evidence, compare.categories, settings), *_trends(params, evidence),
    ])
    schema = pa.schema([(name, _ARROW[kind]) for name, kind in CONTRAST_COLUMNS.items()])
    write_table(Path("data", "contrast", f"{params.suite}.parquet"),
                pa.Table.from_pandas(table, schema=schema, preserve_index=False))
    write_metrics(Path("metrics", params.suite, "contrast.json"), summary(table))


def controls(params: Params) -> dict[str, tuple[str, ...]]:
    """The noise controls of each variant: variants of one step ``noise`` that is ``like`` it.

    What counts is the typed settings, so that a default written out is the same as one left out.
    """
    steps = {name: compression.parse_variant(variant.recipe, f"variants.{name}")
             for name, variant in params.variants.items()}
    likes = {name: compression.parse_variant(like, f"variants.{name}.like") for name, parsed in steps.items()
             if len(parsed) == 1 and (like := getattr(parsed[0], "like", None)) is not None}
    found = {name: tuple(control for control, like in likes.items() if like == parsed)
             for name, parsed in steps.items()}
    return {name: names for name, names in found.items() if names}


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """The rows of headline metrics, and of the log-odds beside them, as nested numbers: by analysis, then by subject.

    ``match`` has the fraction of training that each variant was matched with, once for all its measures.
    """
    nested: dict[str, Any] = {}
    for row in table.to_dict("records"):
        analysis, where = str(row["analysis"]), [row[name] for name in ("model", "variant", "dataset", "category")]
        if analysis in ("matched", "noise"):
            if row["metric"] not in (*HEADLINES, GRADED):
                continue
            leaves = {name: name for name in ("estimate", "low", "high", "p_adjusted", "seeds")}
            if row["metric"] == GRADED:
                leaves = {name: f"{GRADED}_{name}" for name in leaves if name != "seeds"}
            if analysis == "matched" and not pd.isna(row["fraction"]):
                nested.setdefault("match", {}).setdefault(row["model"], {})[row["variant"]] = {
                    name: row[name] for name in ("fraction", "fraction_low", "fraction_high") if not pd.isna(row[name])}
        elif analysis.startswith("agreement"):
            where = [row["category"], f"{row['dataset']}/{row['metric']}", row["against"]]
            leaves = {"estimate": "rho"}
            if row["category"] == OVERALL:
                leaves |= {"low": "low", "high": "high", "items": "cells"}
        elif analysis == "trend":
            where = [row["variant"], row["dataset"], row["category"], f"{row['metric']} with {row['against']}"]
            leaves = {"estimate": "tau_c", "p_naive": "p_naive", "p_value": "p_value", "clusters": "runs"}
        else:
            where = [row["dataset"], row["metric"], row["model"] or "mean of models", row["variant"]]
            leaves = {"estimate": "fraction", "low": "low", "high": "high", "reference": "claimed",
                      "p_value": "p_value"}
        place = nested.setdefault(analysis, {})
        for name in where:
            place = place.setdefault(str(name), {})
        place |= {leaf: int(row[column]) if leaf in _COUNTS else row[column]
                  for column, leaf in leaves.items() if not pd.isna(row[column])}
    return nested


def _contrasts(params: Params) -> Iterator[Row]:
    compare = compare_of(params)
    root, found = Path("data", "records", params.suite), controls(params)
    how = How(contrast_of(params), compare, params.seed, params.corpus, params.measures)
    for model in params.models:
        checkpoints, fractions = open_checkpoints(root / model / compare.baseline)
        variants = [name for name in params.variants if name != compare.baseline and params.applies(model, name)]
        own = {name: tuple(control for control in found.get(name, ()) if control in variants) for name in variants}
        runs = {name: open_run(root / model / name) for name in variants}
        yield from contrast_rows(ModelRuns(model, checkpoints, fractions, runs, own), how)


def _trends(params: Params, evidence: pd.DataFrame) -> Iterator[Row]:
    """Rows over training: of the metrics' trends, and of the best checkpoint by each StereoSet."""
    compare, baseline = compare_of(params), compare_of(params).baseline
    root = Path("metrics", params.suite)
    curves = pd.DataFrame(
        [row for model, variant in params.cells for row in _read(root / "trajectories" / model / f"{variant}.json")],
        columns=["model", "variant", "fraction", "dataset", "category", "metric", "value"],
    )
    sizes = {model: _read(root / "models" / model / f"{baseline}.json").get("model", {}).get("parameters")
             for model in params.models}
    headlines = evidence.loc[evidence["headline"] & evidence["metric"].isin(HEADLINES), ["dataset", "metric"]]
    triples = evidence[(evidence["metric"] == "lm") & (evidence["category"] == OVERALL)]
    largest = triples.sort_values(["items", "dataset"], ascending=[False, True], kind="stable")["dataset"]
    yield from trend_rows(
        curves, {model: float(size) for model, size in sizes.items() if size is not None}, baseline=baseline,
        headlines=sorted(set(headlines.itertuples(index=False, name=None))),
        categories=(*compare.categories, OVERALL), lm=str(largest.iloc[0]) if len(largest) else None,
        seed=params.seed,
    )
    claims = {name: INT8 for name, variant in params.variants.items()
              if [step["method"] for step in variant.steps] == ["int8_dynamic"]} | {baseline: FULL}
    how = How(contrast_of(params), compare, params.seed, params.corpus, params.measures)
    for dataset in sorted(set(triples["dataset"])):
        yield from best_in_training(dataset, Path("data", "records", params.suite), params.cells, claims, how)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", where=path, fix="dvc repro measure") from None
    except json.JSONDecodeError as error:
        raise DataError(f"not valid JSON: {error}", where=path, fix="dvc repro measure") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and contrast."""
    parser = argparse.ArgumentParser(prog="python -m stages.contrast",
                                     description="Compressed models against uncompressed ones of the same quality.")
    parser.add_argument("--params", required=True, help="params file of the suite")
    contrast_suite(parser.parse_args(arguments).params)
    return 0


if __name__ == "__main__":
    run(main)
