"""Is it bias, or is it damage? Compressed models against uncompressed ones of the same quality, for a whole suite.

Usage: ``python -m stages.contrast --params params.yaml``. From the records, the metrics over training and the
evidence table it writes ``data/contrast/<suite>.parquet`` (``stages.evidence.contrast`` has its columns) and
``metrics/<suite>/contrast.json``, its headline numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from stages import compression
from stages.common.errors import run
from stages.common.metrics_file import write_metrics
from stages.common.params import Params, load_params
from stages.common.records import arrow_schema, read_table, write_table
from stages.evidence.agreement import Settings, agreement_rows
from stages.evidence.contrast import COLUMNS as CONTRAST_COLUMNS
from stages.evidence.contrast import HEADLINES, Row, contrast_table
from stages.evidence.contrast_grid import contrast_rows
from stages.evidence.contrast_metrics import How
from stages.evidence.contrast_runs import ModelRuns, open_checkpoints
from stages.evidence.contrast_summary import summary
from stages.evidence.curves import read_curves, read_metrics
from stages.evidence.runs import open_run
from stages.evidence.settings import compare_of, contrast_of
from stages.evidence.table import COLUMNS, OVERALL
from stages.evidence.trends import trend_rows
from stages.evidence.trends_best import FULL, INT8, best_in_training
from stages.evidence.trends_size import Size


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
    write_table(Path("data", "contrast", f"{params.suite}.parquet"),
                pa.Table.from_pandas(table, schema=arrow_schema(CONTRAST_COLUMNS), preserve_index=False))
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


def along_training(params: Params) -> list[str]:
    """The variants that are applied to each checkpoint of a model's training.

    The others are made from its last checkpoint; one that is trained has checkpoints of its own training.
    """
    return [name for name, variant in params.variants.items()
            if variant.checkpoints == "all"
            and not any(step.from_last for step in compression.parse_variant(variant.recipe, f"variants.{name}"))]


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
    along = along_training(params)
    described = {model: read_metrics(params.suite, "models", model, baseline).get("model", {})
                 for model in params.models}
    sizes = {model: Size(f"{facts.get('architecture', 'model')} {params.models[model].family}",
                         float(facts["parameters"]))
             for model, facts in described.items() if facts.get("parameters") is not None}
    headlines = evidence.loc[evidence["headline"] & evidence["metric"].isin(HEADLINES), ["dataset", "metric"]]
    triples = evidence[(evidence["metric"] == "lm") & (evidence["category"] == OVERALL)]
    largest = triples.sort_values(["items", "dataset"], ascending=[False, True], kind="stable")["dataset"]
    yield from trend_rows(
        read_curves(params.suite, params.cells), sizes, baseline=baseline, along=along,
        headlines=sorted(set(headlines.itertuples(index=False, name=None))),
        categories=(*compare.categories, OVERALL), lm=str(largest.iloc[0]) if len(largest) else None,
        seed=params.seed,
    )
    claims = {name: INT8 for name, variant in params.variants.items()
              if [step["method"] for step in variant.steps] == ["int8_dynamic"]} | {baseline: FULL}
    how = How(contrast_of(params), compare, params.seed, params.corpus, params.measures)
    cells = [cell for cell in params.cells if cell[1] in along]
    for dataset in sorted(set(triples["dataset"])):
        yield from best_in_training(dataset, Path("data", "records", params.suite), cells, claims, how)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and contrast."""
    parser = argparse.ArgumentParser(prog="python -m stages.contrast",
                                     description="Compressed models against uncompressed ones of the same quality.")
    parser.add_argument("--params", required=True, help="params file of the suite")
    contrast_suite(parser.parse_args(arguments).params)
    return 0


if __name__ == "__main__":
    run(main)
